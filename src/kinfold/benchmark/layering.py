"""Features judged layer by layer: a linear probe on each layer of a learnt network, less that of an untrained one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kinfold.benchmark import datasets, measure
from kinfold.benchmark.fitting import estimator, hide_labels, outcome

if TYPE_CHECKING:
    from kinfold.benchmark.scenarios import Scenario


def work(wanted: Scenario, task: dict[str, Any]) -> dict[str, Any]:
    """Learn on the source, or the set itself, without labels, then probe every layer on the scenario's set.

    The probe is that of `kinfold.evaluate.protocols`. Scores are accuracies: ``learnt`` and ``random`` of the best
    layer of each network, ``learnt_output`` and ``random_output`` of the features themselves, ``pixels``; ``gain`` and
    ``gain_output`` are their differences.
    ``nmi_previous_second`` and ``nmi_previous_last`` compare the pseudo-labels of a round with those before.
    """
    from kinfold.evaluate import evaluate

    images = datasets.load(str(wanted.dataset), task["data"])
    y, k = hide_labels(images)
    source = datasets.load(str(wanted.source or wanted.dataset), task["data"])
    hide_labels(source)
    model, usage = measure.timed(lambda: estimator(wanted, k, task["seed"]).fit(source))
    rows = evaluate(model, images, "linear", y, seed=task["seed"]).rows
    scores = summary(rows)
    agreed = [row["nmi_previous"] for row in model.result_.history if row.get("nmi_previous")]
    if agreed:
        scores |= {"nmi_previous_second": agreed[0], "nmi_previous_last": agreed[-1]}
    return outcome(len(images), k, scores, usage)


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Accuracies of the probe in a few numbers.

    Examples
    --------
    >>> rows = [{"features": name, "layer": layer, "accuracy": value} for name, layer, value in (
    ...     ("DeepCluster", "conv", 0.5), ("DeepCluster", "output", 0.4), ("random network", "conv", 0.35),
    ...     ("random network", "output", 0.25), ("pixels", "", 0.3))]
    >>> {name: round(value, 2) for name, value in summary(rows).items() if "gain" in name}
    {'gain': 0.15, 'gain_output': 0.15}
    """
    found: dict[str, float] = {}
    for row in rows:
        name = {"random network": "random", "pixels": "pixels"}.get(row["features"], "learnt")
        found[name] = max(found.get(name, 0.0), row["accuracy"])
        if row["layer"] == "output":
            found[f"{name}_output"] = row["accuracy"]
    found["gain"] = found["learnt"] - found["random"]
    found["gain_output"] = found["learnt_output"] - found["random_output"]
    return found
