"""IMSAT's tables: its presets beside what was published, unequal classes, changes one by one, and codes."""

from __future__ import annotations

from typing import Any

from kinfold.benchmark import published, tables
from kinfold.benchmark.datasets import SETS
from kinfold.benchmark.scenarios import IMSAT_CHANGES, SCENARIOS
from kinfold.benchmark.tables import NOTHING, Results

COMMAND = "kinfold benchmark imsat --data DIR"
MAIN = ("usps-default", "mnist-test-default", "mnist-full-default", "mnist-full-paper", "rpt-mnist-full-paper")
UNEQUAL = ("mnist-unbalanced-balanced", "mnist-unbalanced-prior", "mnist-unbalanced-slack")


def clusters(results: Results) -> str:
    """Presets and unequal classes, then one change of the default preset a row."""
    head = ["what", "n", "published ACC", "goal ACC", "Kinfold ACC", "worst seed", "NMI", "ARI", "k-means ACC", "CPU s"]
    rows = [_row(f"imsat-{name}", results) for name in (*MAIN, *UNEQUAL)]
    text = tables._table(head, rows) + tables._made(f"{COMMAND} --preset all", "imsat-*.json")
    text += f"Published: {published.IMSAT_QUOTED}.\n"
    found = {change: results.get(f"imsat-usps-{change}") for change in IMSAT_CHANGES}
    if not any(found.values()):
        return text + f"\nWhat each part brings, on USPS: not measured yet, `{COMMAND} --only usps`.\n"
    lines = [["default preset", "", *_scores(results.get("imsat-usps-default"))]]
    for change, parameters in IMSAT_CHANGES.items():
        what = ", ".join(f"{key}={value!r}" for key, value in parameters.items())
        lines.append([change.replace("-", " "), f"`{what}`", *_scores(found[change])])
    return text + "\n" + tables._table(["change, on USPS", "parameters", "ACC", "worst seed", "CPU s"], lines)


def codes(results: Results) -> str:
    """Retrieval by codes of 16 bits."""
    head = ["preset", "mAP", "precision of the first 500", "precision within distance 2", "codes in use", "CPU s"]
    rows = []
    for identifier, preset in (("imsat-hash-mnist-full", "paper"), ("imsat-hash-mnist-full-default", "default")):
        ours = results.get(identifier)
        names = ("map", "precision_first", "precision_radius")
        used = NOTHING if ours is None else f"{ours['metrics']['n_codes']['mean']:,.0f}"
        rows.append([preset, *(tables._metric(ours, name) for name in names), used, tables._mean(ours, "cpu_seconds")])
    made = tables._made("kinfold benchmark imsat-hash-mnist-full --data DIR", "imsat-hash-*.json")
    return tables._table(head, rows) + made


def _row(identifier: str, results: Results) -> list[str]:
    scenario, ours = SCENARIOS[identifier], results.get(identifier)
    name = str(scenario.dataset)
    what = f"{SETS[name].title}, preset {scenario.preset}"
    what += "".join(f", {key}" for key in scenario.parameters if key != "regularizer")
    method = "IMSAT (RPT)" if scenario.parameters else "IMSAT (VAT)"
    shown = published.figure(name, method) if scenario.preset == "paper" else None
    goal = published.IMSAT_GOALS.get(identifier)
    return [
        what + (", random changes (RPT)" if "regularizer" in scenario.parameters else ""), f"{SETS[name].n:,}",
        NOTHING if shown is None else tables._printed(shown.acc), NOTHING if goal is None else f"≥ {goal:.3f}",
        *_scores(ours)[:2], tables._metric(ours, "nmi"), tables._metric(ours, "ari"),
        tables._metric(results.get(f"kmeans-pixels-{name}"), "acc"), tables._mean(ours, "cpu_seconds"),
    ]  # fmt: skip


def _scores(ours: dict[str, Any] | None) -> list[str]:
    worst = NOTHING if ours is None else f"{min(ours['metrics']['acc']['values']):.3f}"
    return [tables._metric(ours, "acc"), worst, tables._mean(ours, "cpu_seconds")]
