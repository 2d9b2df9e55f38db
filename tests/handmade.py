"""Benchmark results as the runner writes them, with numbers of the test's choosing, and rows of tables made of them."""

from __future__ import annotations

from typing import Any


def spread(value: float) -> dict[str, Any]:
    return {"mean": value, "sd": 0.012, "values": [value, value]}


def result(identifier: str, dataset: str, nmi: float, **more: Any) -> dict[str, Any]:
    one = spread(nmi)
    found = {"scenario": identifier, "dataset": dataset, "n": 575, "n_clusters": 20, "pretrained": None}
    found |= {"metrics": {"nmi": one, "acc": one, "ari": one}, "seconds": {"mean": 60.0}, "peak_mb": 1234}
    found |= {"health": {"restarts": 0, "collapsed": 0}}
    return found | {"cpu_seconds": {"mean": 100.0}, "command": "kinfold benchmark x"} | more


def by_id(*results: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {r["scenario"]: r for r in results}


def row(text: str, start: str) -> list[str]:
    """Cells of the one row that begins so."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]
