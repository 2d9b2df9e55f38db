"""IIC: the paper's rows, our default, classes from one label in a hundred, and the first steps on CIFAR-10."""

from __future__ import annotations

from collections.abc import Iterator

from kinfold.benchmark.scenarios.scenario import Scenario


def iic() -> Iterator[Scenario]:
    for name in ("usps", "mnist-test", "mnist-full"):
        yield Scenario(f"iic-{name}-default", "iic", "cluster", "IIC", name, "default")
    yield Scenario(
        "iic-mnist-full-paper", "iic", "cluster", "IIC", "mnist-full", "paper", {"as_released": ("no-overclustering",)}
    )
    few = {"n_clusters": 25}  # the paper's
    yield Scenario("iic-overclustering-mnist-1percent", "iic", "few-labels", "IIC", "mnist-full", "default", few)
    # An hour or two a run, and the published log is that of one.
    yield Scenario("iic-cifar10-first-steps", "iic", "first-steps", "IIC", "cifar10-full", "paper", once=True)
