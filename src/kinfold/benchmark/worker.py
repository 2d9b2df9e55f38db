"""One seed of one scenario, in a process of its own: reads a task from standard input, writes one JSON file.

Run by `kinfold.benchmark.runner` as ``python -m kinfold.benchmark.worker``. The known classes are taken away from the
images before an algorithm sees them.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinfold.benchmark import measure
from kinfold.benchmark.fitting import estimator, hide_labels, outcome
from kinfold.benchmark.scenarios import Scenario, scenario

# Tasks whose work is done by a module of that name.
ELSEWHERE = {
    "speed": "speed",
    "transfer": "transfer",
    "verify": "transfer",
    "stream": "streaming",
    "probe": "probe",
    "layers": "layering",
    "few-labels": "invariance",
    "first-steps": "invariance",
}
PREDICTED = 10_000  # images of the rest that the prediction scenario sorts


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Carry out one task.

    Parameters
    ----------
    task
        ``scenario`` (id), ``seed``, ``data`` (folder), ``part`` (of a speed scenario, else None).
    """
    wanted = scenario(task["scenario"])
    if wanted.task in ELSEWHERE:
        found = import_module(f"kinfold.benchmark.{ELSEWHERE[wanted.task]}").work(wanted, task)
    elif wanted.task == "retrieve":
        found = _retrieve(wanted, task)
    elif wanted.task == "predict":
        found = _predict(wanted, task)
    else:
        found = _cluster(wanted, task)
    return {
        **found,
        "seed": task["seed"],
        "peak_mb": measure.peak_mb(),
        "versions": measure.versions(),
        "machine": measure.machine(),
        "code": measure.source_digest(),
    }


def _cluster(wanted: Scenario, task: dict[str, Any]) -> dict[str, Any]:
    from kinfold import metrics
    from kinfold.benchmark import baselines, datasets

    images = datasets.load(str(wanted.dataset), task["data"])
    y, n_clusters = hide_labels(images)
    health, pretrained = {"restarts": 0, "collapsed": 0}, wanted.pretrained
    variants: dict[str, NDArray[np.int64]] = {}
    if wanted.algorithm in baselines.METHODS:
        data = baselines.prepare(wanted.algorithm, images)
        baselines.METHODS[wanted.algorithm](data[:100], 2, 0)  # imports and compiles before the clock starts
        wished = int(wanted.parameters.get("n_clusters", n_clusters))
        labels, usage = measure.timed(lambda: baselines.METHODS[wanted.algorithm](data, wished, task["seed"]))
    else:
        model = estimator(wanted, None if wanted.task == "estimate" else n_clusters, task["seed"])
        _, usage = measure.timed(lambda: model.fit(images))
        labels, variants = model.labels_, model.result_.variants
        pretrained = model.result_.run.get("pretrained", pretrained)  # what was used, whatever was asked for
        health["restarts"] = sum("restarted" in sentence.lower() for sentence in model.result_.run.get("health", []))
    health["collapsed"] = int(np.bincount(labels).max() > 0.9 * len(labels))
    scores = metrics.scores(y, labels)
    for name, others in variants.items():
        scores |= {f"nmi_{name}": metrics.nmi(y, others), f"acc_{name}": metrics.accuracy(y, others)}
    if wanted.task == "estimate":
        scores["n_clusters"] = float(np.unique(labels).size)
    found = {"n": len(images), "n_clusters": n_clusters, "pretrained": pretrained, "scores": scores, "health": health}
    return {**found, **usage._asdict()}


def _predict(wanted: Scenario, task: dict[str, Any]) -> dict[str, Any]:
    """Fit on MNIST-test, sort 10,000 of the other images; clusters are named by the fitted images' classes."""
    from sklearn.metrics import roc_auc_score

    from kinfold import metrics
    from kinfold.benchmark import datasets
    from kinfold.data import as_images

    images = datasets.load(str(wanted.dataset), task["data"])
    y, n_clusters = hide_labels(images)
    rest = as_images(str(datasets.find("mnist-full", task["data"])))
    rest = rest.select(np.random.default_rng(datasets.SHUFFLE_SEED).permutation(60_000)[:PREDICTED])
    y_rest, _ = hide_labels(rest)
    model = estimator(wanted, n_clusters, task["seed"])
    _, usage = measure.timed(lambda: model.fit(images))
    probability, again = measure.timed(lambda: model.predict_proba(rest))
    classes, clusters = metrics.alignment(y, model.labels_)
    name = dict(zip(clusters.tolist(), classes.tolist(), strict=False))
    right = np.array([name.get(c) for c in probability.argmax(axis=1).tolist()], dtype=object) == y_rest
    scores = {
        "acc_fitted": metrics.accuracy(y, model.labels_),
        "acc_predicted": float(right.mean()),
        "auroc_confidence": float(roc_auc_score(right, probability.max(axis=1))),
        "seconds_predict": again.seconds,
    }
    return outcome(len(images), n_clusters, scores, usage)


def _retrieve(wanted: Scenario, task: dict[str, Any]) -> dict[str, Any]:
    """Codes of all images; 100 random ones a class are the queries, the others the gallery."""
    from kinfold.benchmark import datasets
    from kinfold.ops.retrieval import draw_queries, retrieval

    images = datasets.load(str(wanted.dataset), task["data"])
    y, n_clusters = hide_labels(images)
    model = estimator(wanted, None, task["seed"])
    _, usage = measure.timed(lambda: model.fit(images))
    scores = retrieval(model.codes_, y, draw_queries(y, 100, task["seed"]))
    scores["n_codes"] = float(model.n_clusters_)
    return outcome(len(images), n_clusters, scores, usage, collapsed=int(model.n_clusters_ < n_clusters))


def main() -> None:
    """Read the task, do it, write the result."""
    from kinfold.files import write_text

    task = json.load(sys.stdin)
    found = work(task)
    write_text(Path(task["result"]), json.dumps(found))


if __name__ == "__main__":
    main()
