"""Features learnt first: patches, exchanged targets, k-means as a teacher."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kinfold.benchmark.scenarios.scenario import Scenario


def coates_ng() -> Iterator[Scenario]:
    # The last is for our copy: its coding noise drowns less in contrast and whitening that are damped more.
    workloads: dict[str, dict[str, Any]] = {
        "k200-omp1": {"n_atoms": 200, "dictionary": "gain-shape"},
        "k400-triangle": {"n_atoms": 400, "dictionary": "kmeans"},
        "k1600-triangle": {"n_atoms": 1600, "dictionary": "kmeans"},
        "k1600-mirror": {"n_atoms": 1600, "dictionary": "kmeans", "mirror": True},
        "k1600-omp1-mirror": {
            "n_atoms": 1600,
            "dictionary": "gain-shape",
            "mirror": True,
            "contrast": 100.0,
            "whitening": 0.3,
        },
    }
    for last, options in workloads.items():
        yield Scenario(
            f"coates-ng-{last}", "coates-ng", "probe", "CoatesNg", "cifar10-full", parameters=options,
            once=options["n_atoms"] > 1000,
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
