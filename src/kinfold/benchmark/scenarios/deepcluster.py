"""DeepCluster: both variants on MNIST, with many clusters too, the released sampler, and a probe on CIFAR-10."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kinfold.benchmark.scenarios.scenario import Scenario


def deepcluster() -> Iterator[Scenario]:
    group = "deepcluster"
    for name in ("mnist-full", "mnist-test", "usps"):
        yield Scenario(
            f"deepcluster-v1-{name}",
            group,
            "cluster",
            "DeepCluster",
            name,
            "default",
            {"variant": "v1", "final": "kmeans"},
        )
        yield Scenario(f"deepcluster-v2-{name}", group, "cluster", "DeepCluster", name, "default", {"variant": "v2"})
    # Learnt on all images, probed on the sample: a linear reader of sixty thousand would cost more than the learning.
    yield Scenario(
        "deepcluster-cifar10-probe", group, "layers", "DeepCluster", "cifar10", source="cifar10-full",
        parameters={"variant": "v2", "n_pseudo_clusters": 1000},
    )  # fmt: skip
    name = "mnist-test"
    choices: dict[str, dict[str, Any]] = {
        "v1-released": {"variant": "v1", "final": "kmeans", "as_released": ("sampler",)},
        "v1-pic": {"variant": "v1", "final": "kmeans", "assignment": "pic"},
        "v1-hundred": {"variant": "v1", "final": "kmeans", "n_clusters": 100, "n_pseudo_clusters": 100},
        "v1-graph": {"variant": "v1"},
        "v2-sinkhorn": {"variant": "v2", "assignment": "sinkhorn"},
        "v2-kmeans": {"variant": "v2", "final": "kmeans"},
    }
    for change, parameters in choices.items():
        yield Scenario(f"deepcluster-{change}-{name}", group, "cluster", "DeepCluster", name, "default", parameters)
    # Beside "v1-hundred": NMI and AMI rise with the number of clusters, so those of pixels have to be as many.
    for algorithm in ("kmeans", "gdl"):
        yield Scenario(
            f"{algorithm}-hundred-{name}", group, "cluster", algorithm, name, parameters={"n_clusters": 100},
            deterministic=algorithm == "gdl",
        )  # fmt: skip
