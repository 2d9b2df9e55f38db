"""Methods that stand beside every algorithm: on pixels, and on the features of a frozen network."""

from __future__ import annotations

from collections.abc import Iterator

from kinfold.benchmark.datasets import SETS
from kinfold.benchmark.scenarios.scenario import HERE, OWN, PHOTOGRAPHS, PRETRAINED, Scenario

# Methods on pixels: (algorithm of `baselines`, largest n it is run on, why not beyond). Some need n² memory.
ON_PIXELS: dict[str, tuple[str, int, str]] = {
    "kmeans-pixels": ("kmeans", 10**9, ""),
    "gdl-pixels": ("gdl", 10**9, ""),
    "average-linkage-pixels": ("average_linkage", 12_000, "the distances of all pairs take n²·4 bytes"),
    "spectral-pixels": (
        "spectral",
        12_000,
        "the affinity of all pairs takes n²·8 bytes, its eigenvectors several times that",
    ),
    "ncuts-pixels": ("ncuts", 20_000, "the eigenvectors of the neighbour graph take hours without a preconditioner"),
    "nmf-pixels": ("nmf", 10**9, ""),
}
DETERMINISTIC = ("gdl", "gdl_centred", "gdl_features", "average_linkage")
BESIDE = ("kmeans", "gdl", "kmeans_features", "gdl_features")  # baselines that stand in the algorithm's own table


def infeasible(prefix: str, dataset: str) -> str | None:
    """Why a method on pixels is not run on a set, or None if it is.

    Examples
    --------
    >>> infeasible("kmeans-pixels", "mnist-full") is None
    True
    >>> infeasible("average-linkage-pixels", "mnist-full")
    'average-linkage-pixels is not run on 70,000 images: the distances of all pairs take n²·4 bytes'
    """
    _, largest, reason = ON_PIXELS[prefix]
    n = SETS[dataset].n
    return None if n <= largest else f"{prefix} is not run on {n:,} images: {reason}"


def on_pixels() -> Iterator[Scenario]:
    for prefix, (algorithm, _, _) in ON_PIXELS.items():
        for name in (*HERE, *OWN):
            if infeasible(prefix, name) is None:
                yield Scenario(
                    f"{prefix}-{name}",
                    "baselines",
                    "cluster",
                    algorithm,
                    name,
                    deterministic=algorithm in DETERMINISTIC,
                )
    for name in ("usps", "mnist-test", "mnist-full", "cmu-pie"):
        yield Scenario(f"gdl-centred-{name}", "baselines", "cluster", "gdl_centred", name, deterministic=True)


def on_features() -> Iterator[Scenario]:
    for method in ("kmeans", "gdl"):
        for name in (*PHOTOGRAPHS, "coil100", "cifar10", "cifar10-full"):
            algorithm = f"{method}_features"
            yield Scenario(
                f"{method}-features-{name}",
                "baselines",
                "cluster",
                algorithm,
                name,
                pretrained=PRETRAINED,
                deterministic=algorithm in DETERMINISTIC,
            )
