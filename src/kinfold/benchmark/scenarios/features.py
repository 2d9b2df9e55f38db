"""Features learnt first: patches, exchanged targets, k-means as a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kinfold.benchmark.scenarios.scenario import Scenario


def coates_ng() -> Iterator[Scenario]:
    for n_atoms, dictionary, last in (
        (200, "gain-shape", "omp1"),
        (400, "kmeans", "triangle"),
        (1600, "kmeans", "triangle"),
    ):
        options = {"n_atoms": n_atoms, "dictionary": dictionary}
        yield Scenario(
            f"coates-ng-k{n_atoms}-{last}", "coates-ng", "probe", "CoatesNg", "cifar10-full", parameters=options,
            once=n_atoms > 1000,
        )  # fmt: skip


def nat() -> Iterator[Scenario]:
    for name in ("mnist-full", "mnist-test", "usps"):
        yield Scenario(f"nat-{name}-default", "nat", "cluster", "NAT", name)
    changes: dict[str, dict[str, Any]] = {
        "never-exchanged": {"reassign_every": 0},
        "not-refined": {"n_refine": 0},
        "rotation": {"rotation": True},
        "sphere": {"variant": "sphere"},
    }
    for change, parameters in changes.items():
        yield Scenario(f"nat-mnist-test-{change}", "nat", "cluster", "NAT", "mnist-test", parameters=parameters)
