"""Speed: Kinfold's part and its named alternatives, measured in one run."""

from __future__ import annotations

from collections.abc import Iterator

from kinfold.benchmark.scenarios.scenario import Scenario


def speed() -> Iterator[Scenario]:
    for n in (10_000, 70_000, 1_000_000):
        yield Scenario(f"agglomerate-{n}", "speed", "speed", "agglomerate", parameters={"n": n})
    yield Scenario("agglomerate-dense-3000", "speed", "speed", "agglomerate_dense", parameters={"n": 3_000})
    yield Scenario("jule-training-throughput", "speed", "speed", "training", parameters={"n": 6_000})
    yield Scenario("information-training-share", "speed", "speed", "passes", parameters={"n": 5_000})
    yield Scenario("kmeans-10m", "speed", "speed", "kmeans", parameters={"n": 10_000_000}, once=True)
    yield Scenario("hierarchical-10m", "speed", "speed", "hierarchical_kmeans", parameters={"n": 10_000_000}, once=True)
    yield Scenario("kmeans-growth", "speed", "speed", "kmeans_growth", parameters={"n": 10_000_000}, once=True)
    yield Scenario("views-mnist", "speed", "speed", "views", parameters={"n": 2_000, "kind": "grey"})
    yield Scenario("views-cifar10", "speed", "speed", "views", parameters={"n": 1_000, "kind": "colour"})
