"""IMSAT: the paper's rows, our default with single changes, unequal classes, and codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kinfold.benchmark.datasets import SETS
from kinfold.benchmark.scenarios.scenario import Scenario

# One change each of IMSAT's default preset, on USPS.
CHANGES: dict[str, dict[str, Any]] = {
    "no-warm-start": {"warm_steps": 0},
    "no-views": {"view_strength": 0.0, "reach": 0.25},
    "no-adversary": {"reach": 0.0},
    "adversary-of-the-paper": {"reach": 0.25},
    "neighbours": {"n_positives": 7},
    "one-head": {"n_heads": 1},
    "no-anneal": {"anneal": 0.0},
    "slack": {"slack": 0.01},
    "no-graph": {"n_graphs": 0},
    "head-answers": {"final": "head"},
}


def imsat() -> Iterator[Scenario]:
    for name in ("usps", "mnist-test", "mnist-full"):
        yield Scenario(f"imsat-{name}-default", "imsat", "cluster", "IMSAT", name, "default")
    yield Scenario("imsat-mnist-full-paper", "imsat", "cluster", "IMSAT", "mnist-full", "paper")
    rpt = {"regularizer": "random"}
    yield Scenario("imsat-rpt-mnist-full-paper", "imsat", "cluster", "IMSAT", "mnist-full", "paper", rpt)
    far = rpt | {"reach": 3.0}  # twelve times the adversarial change's; the best of single runs of 10 epochs, 1 to 4
    yield Scenario("imsat-rpt-far-mnist-full-paper", "imsat", "cluster", "IMSAT", "mnist-full", "paper", far)
    yield Scenario("imsat-hash-mnist-full", "imsat", "retrieve", "IMSATHash", "mnist-full", "paper", {"n_bits": 16})
    yield Scenario(
        "imsat-hash-mnist-full-default", "imsat", "retrieve", "IMSATHash", "mnist-full", parameters={"n_bits": 16}
    )
    unequal = "mnist-unbalanced"
    kept = SETS[unequal].kept or ()
    forms: dict[str, dict[str, Any]] = {
        "balanced": {},
        "prior": {"prior": tuple(k / sum(kept) for k in kept)},
        "slack": {"slack": 0.1},
    }
    for variant, parameters in forms.items():
        yield Scenario(f"imsat-{unequal}-{variant}", "imsat", "cluster", "IMSAT", unequal, "default", parameters)
    for change, parameters in CHANGES.items():
        yield Scenario(f"imsat-usps-{change}", "imsat", "cluster", "IMSAT", "usps", "default", parameters)
    yield Scenario(f"kmeans-pixels-{unequal}", "baselines", "cluster", "kmeans", unequal)
