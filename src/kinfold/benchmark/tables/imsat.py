"""IMSAT's tables: its presets beside what was published, unequal classes, changes one by one, and codes."""

from __future__ import annotations

from typing import Any

from kinfold.benchmark import published
from kinfold.benchmark.datasets import SETS
from kinfold.benchmark.scenarios import SCENARIOS
from kinfold.benchmark.scenarios.imsat import CHANGES
from kinfold.benchmark.tables.cells import (
    NOTHING,
    Result,
    Results,
    change,
    goal,
    made,
    mean,
    metric,
    printed,
    table,
    worst,
)

COMMAND = "kinfold benchmark imsat --data DIR"
MAIN = (
    "usps-default",
    "mnist-test-default",
    "mnist-full-default",
    "mnist-full-paper",
    "rpt-mnist-full-paper",
    "rpt-far-mnist-full-paper",
)
UNEQUAL = ("mnist-unbalanced-balanced", "mnist-unbalanced-prior", "mnist-unbalanced-slack")


def clusters(results: Results) -> str:
    """Presets and unequal classes, then one change of the default preset a row."""
    head = ["what", "n", "published ACC", "goal ACC", "Kinfold ACC", "worst seed", "its head's ACC", "NMI", "ARI"]
    head += ["k-means ACC", "CPU s"]
    rows = [_row(f"imsat-{name}", results) for name in (*MAIN, *UNEQUAL)]
    text = table(head, rows) + made(f"{COMMAND} --preset all", "imsat-*.json")
    text += (
        f"Published: {published.IMSAT_QUOTED}.\n"
        "Its head: what the head of lowest loss said before the neighbour graph of the features answered, where it was "
        "kept.\n"
    )
    found = {what: results.get(f"imsat-usps-{what}") for what in CHANGES}
    if not any(found.values()):
        return text + f"\nWhat each part brings, on USPS: not measured yet, `{COMMAND} --only usps`.\n"
    lines = [["default preset", "", *_scores(results.get("imsat-usps-default"))]]
    for what, parameters in CHANGES.items():
        lines.append([what.replace("-", " "), change(parameters), *_scores(found[what])])
    return text + "\n" + table(["change, on USPS", "parameters", "ACC", "worst seed", "CPU s"], lines)


def codes(results: Results) -> str:
    """Retrieval by codes of 16 bits."""
    head = ["preset", "mAP", "precision of the first 500", "precision within distance 2", "codes in use", "CPU s"]
    rows = []
    for identifier, preset in (("imsat-hash-mnist-full", "paper"), ("imsat-hash-mnist-full-default", "default")):
        ours = results.get(identifier)
        names = ("map", "precision_first", "precision_radius")
        used = NOTHING if ours is None else f"{ours['metrics']['n_codes']['mean']:,.0f}"
        rows.append([preset, *(metric(ours, name) for name in names), used, mean(ours, "cpu_seconds")])
    return table(head, rows) + made("kinfold benchmark imsat-hash-mnist-full --data DIR", "imsat-hash-*.json")


def _row(identifier: str, results: Results) -> list[str]:
    scenario, ours = SCENARIOS[identifier], results.get(identifier)
    name = str(scenario.dataset)
    what = f"{SETS[name].title}, preset {scenario.preset}"
    what += "".join(f", {_told(key, value)}" for key, value in scenario.parameters.items() if key != "regularizer")
    method = "IMSAT (RPT)" if scenario.parameters else "IMSAT (VAT)"
    shown = published.figure(name, method) if scenario.preset == "paper" else None
    return [
        what + (", random changes (RPT)" if "regularizer" in scenario.parameters else ""), f"{SETS[name].n:,}",
        NOTHING if shown is None else printed(shown.acc), goal(published.IMSAT_GOALS.get(identifier)),
        *_scores(ours)[:2], metric(ours, "acc_head"), metric(ours, "nmi"), metric(ours, "ari"),
        metric(results.get(f"kmeans-pixels-{name}"), "acc"), mean(ours, "cpu_seconds"),
    ]  # fmt: skip


def _told(key: str, value: Any) -> str:
    return f"{key} {value:g}" if isinstance(value, float) else key


def _scores(ours: Result | None) -> list[str]:
    return [metric(ours, "acc"), worst(ours), mean(ours, "cpu_seconds")]
