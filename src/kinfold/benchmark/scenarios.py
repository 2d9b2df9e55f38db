"""Scenarios: what is measured, under ids that are permanent.

An id never changes its workload. To measure something else, add an id. Results lie in
``benchmarks/results/<id>.json``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from kinfold.benchmark.datasets import SETS
from kinfold.errors import InputError

Task = Literal["cluster", "estimate", "predict", "retrieve", "few-labels", "first-steps", "speed"]
Group = Literal["jule", "imsat", "iic", "baselines", "ablation", "speed"]

PRETRAINED = "efficientnet-lite0"


@dataclass(frozen=True)
class Scenario:
    """One workload.

    Attributes
    ----------
    id : str
        Permanent name.
    group : str
        Which ``kinfold benchmark`` command runs it.
    task : str
        ``"cluster"``: labels of the set; ``"estimate"``: the same without the number of clusters; ``"predict"``: fit on
        the set, sort others; ``"retrieve"``: codes of the set, see `kinfold.ops.retrieval`; ``"few-labels"`` and
        ``"first-steps"``: see `kinfold.benchmark.invariance`; ``"speed"``: see `kinfold.benchmark.speed`.
    algorithm : str
        A public estimator, or a method of `kinfold.benchmark.baselines` or `kinfold.benchmark.speed`.
    dataset : str or None
        A key of `kinfold.benchmark.datasets.SETS`.
    preset : str or None
        The estimator's preset.
    parameters : mapping
        Further constructor parameters.
    pretrained : str or None
        Weights that were trained on other images; such a score is marked in every table.
    deterministic : bool
        Every seed gives the same answer, so one is run.
    """

    id: str
    group: Group
    task: Task
    algorithm: str
    dataset: str | None = None
    preset: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    pretrained: str | None = None
    deterministic: bool = False

    @property
    def variant(self) -> str:
        """What distinguishes this scenario from others of its algorithm and set: the last part of the id."""
        return self.id.rsplit("-", 1)[-1]

    @property
    def command(self) -> str:
        """The command that makes this result, without the number of seeds."""
        if self.group == "speed":
            return f"kinfold benchmark speed --only {self.id}"
        if self.group == "jule" and self.task == "cluster":
            preset = "" if self.variant == "default" else f" --preset {self.variant}"
            return f"kinfold benchmark jule --data DIR --only {self.dataset}{preset}"
        if self.id == f"{self.group}-{self.dataset}-default":
            return f"kinfold benchmark {self.group} --data DIR --only {self.dataset}"
        return f"kinfold benchmark {self.id} --data DIR"


# Sets with a copy at hand, then those for which a user brings one.
HERE = tuple(name for name, s in SETS.items() if not s.own and s.kept is None)
OWN = tuple(name for name, s in SETS.items() if s.own)
PHOTOGRAPHS = ("flowers5", "imagenet10", "imagenet-dogs", "tiny-imagenet", "cub", "cars", "dogs", "stl10")
FACES = ("umist", "cmu-pie", "frgc", "ytf")  # the authors merged a fifth of the clusters a period on these, else 0.9
COMPARED_FROM_SCRATCH = ("coil100",)  # large and in colour, but what was published saw no other images
YARDSTICKS = ("umist", "usps", "mnist-test")  # sets for which the released code's CPU seconds are known

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


# What the table of changes measures: one parameter of the default preset each, then the released code's defects.
ABLATED = ("umist", "cmu-pie", "usps", "mnist-test")
ABLATIONS: dict[str, dict[str, Any]] = {
    "no-views": {"view_strength": 0.0},
    "foreseen-negatives": {"negatives": "foreseen"},
    "twenty-neighbors": {"n_neighbors": 20},
    "no-final-rounds": {"n_final": 0},
    "clusters-kept": {"rebuild": False},
    "stray-groups-count": {"smallest": 0.0},
    "not-centred": {"center": False},
    "one-period": {"n_periods": 1},
    "no-local-term": {"n_local": 1},
    "affinity-loss": {"loss": "affinity"},
    "gamma-two": {"gamma": 2.0},
    "narrower": {"width": 50},
}
# One change each of IMSAT's default preset, on USPS.
IMSAT_CHANGES: dict[str, dict[str, Any]] = {
    "no-warm-start": {"warm_steps": 0},
    "no-views": {"view_strength": 0.0, "reach": 0.25},
    "no-adversary": {"reach": 0.0},
    "adversary-of-the-paper": {"reach": 0.25},
    "neighbours": {"n_positives": 7},
    "one-head": {"n_heads": 1},
    "no-anneal": {"anneal": 0.0},
}
DEFECTS = ("anchor-gradient", "dampening", "batch-norm", "half-neighbors", "fast-update")


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


def _backbone(dataset: str, preset: str) -> dict[str, Any]:
    """Said where "auto" would decide by what is installed: colour images of 64 pixels and more."""
    if dataset in PHOTOGRAPHS:
        return {"backbone": PRETRAINED if preset == "default" else "convnet"}
    return {"backbone": "convnet"} if dataset in COMPARED_FROM_SCRATCH else {}


def _jule() -> Iterator[Scenario]:
    for name in (*HERE, *OWN):
        for preset in ("default", "paper", *(("fast",) if name in YARDSTICKS else ())):
            backbone = _backbone(name, preset)
            if preset == "paper" and name in FACES:
                backbone = backbone | {"unrolling_rate": 0.2}
            yield Scenario(
                f"jule-{name}-{preset}",
                "jule",
                "cluster",
                "JULE",
                name,
                preset,
                backbone,
                PRETRAINED if PRETRAINED in backbone.values() else None,
            )
    for name in ("coil100", "cifar10", "cifar10-full"):
        yield Scenario(
            f"jule-{name}-frozen", "jule", "cluster", "JULE", name, "default", {"backbone": PRETRAINED}, PRETRAINED
        )
    for name in HERE:
        backbone = _backbone(name, "default")
        yield Scenario(
            f"jule-{name}-estimated",
            "jule",
            "estimate",
            "JULE",
            name,
            "default",
            backbone,
            PRETRAINED if PRETRAINED in backbone.values() else None,
        )
    yield Scenario("jule-mnist-test-predict", "jule", "predict", "JULE", "mnist-test", "default")


def _baselines() -> Iterator[Scenario]:
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


def _features() -> Iterator[Scenario]:
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


def _ablations() -> Iterator[Scenario]:
    for name in ABLATED:
        for change, parameters in ABLATIONS.items():
            yield Scenario(f"ablation-{name}-{change}", "ablation", "cluster", "JULE", name, "default", parameters)
        for defect in (*((d,) for d in DEFECTS), DEFECTS):
            change = "all-defects" if defect == DEFECTS else defect[0]
            yield Scenario(
                f"ablation-{name}-released-{change}",
                "ablation",
                "cluster",
                "JULE",
                name,
                "paper",
                {"as_released": defect} | ({"unrolling_rate": 0.2} if name in FACES else {}),
            )


def _speed() -> Iterator[Scenario]:
    for n in (10_000, 70_000, 1_000_000):
        yield Scenario(f"agglomerate-{n}", "speed", "speed", "agglomerate", parameters={"n": n})
    yield Scenario("agglomerate-dense-3000", "speed", "speed", "agglomerate_dense", parameters={"n": 3_000})
    for name, n, kind in (("mnist", 2_100, "grey"), ("cifar10", 1_100, "colour")):
        yield Scenario(f"views-{name}", "speed", "speed", "views", parameters={"n": n, "kind": kind})
    yield Scenario("jule-training-throughput", "speed", "speed", "training", parameters={"n": 6_000})


def _imsat() -> Iterator[Scenario]:
    for name in ("usps", "mnist-test", "mnist-full"):
        yield Scenario(f"imsat-{name}-default", "imsat", "cluster", "IMSAT", name, "default")
    yield Scenario("imsat-mnist-full-paper", "imsat", "cluster", "IMSAT", "mnist-full", "paper")
    rpt = {"regularizer": "random"}
    yield Scenario("imsat-rpt-mnist-full-paper", "imsat", "cluster", "IMSAT", "mnist-full", "paper", rpt)
    yield Scenario("imsat-hash-mnist-full", "imsat", "retrieve", "IMSATHash", "mnist-full", "paper", {"n_bits": 16})
    yield Scenario(
        "imsat-hash-mnist-full-default", "imsat", "retrieve", "IMSATHash", "mnist-full", parameters={"n_bits": 16}
    )
    unequal = "mnist-unbalanced"
    kept = SETS[unequal].kept or ()
    for variant, parameters in {
        "balanced": {}, "prior": {"prior": tuple(k / sum(kept) for k in kept)}, "slack": {"slack": 0.1},
    }.items():  # fmt: skip
        yield Scenario(f"imsat-{unequal}-{variant}", "imsat", "cluster", "IMSAT", unequal, "default", parameters)
    for change, parameters in IMSAT_CHANGES.items():
        yield Scenario(f"imsat-usps-{change}", "imsat", "cluster", "IMSAT", "usps", "default", parameters)
    yield Scenario(f"kmeans-pixels-{unequal}", "baselines", "cluster", "kmeans", unequal)


def _iic() -> Iterator[Scenario]:
    for name in ("usps", "mnist-test", "mnist-full"):
        yield Scenario(f"iic-{name}-default", "iic", "cluster", "IIC", name, "default")
    released = {"as_released": ("no-overclustering",)}
    yield Scenario("iic-mnist-full-paper", "iic", "cluster", "IIC", "mnist-full", "paper", released)
    few = {"n_clusters": 25}  # the paper's
    identifier = "iic-overclustering-mnist-1percent"
    yield Scenario(identifier, "iic", "few-labels", "IIC", "mnist-full", "default", few)
    yield Scenario("iic-cifar10-first-steps", "iic", "first-steps", "IIC", "cifar10-full", "paper")


SCENARIOS: dict[str, Scenario] = {
    s.id: s for s in (*_jule(), *_baselines(), *_features(), *_ablations(), *_speed(), *_imsat(), *_iic())
}


def scenario(identifier: str) -> Scenario:
    """Scenario of this id.

    Raises
    ------
    InputError
        If there is none.

    Examples
    --------
    >>> scenario("jule-umist-paper").command
    'kinfold benchmark jule --data DIR --only umist --preset paper'
    """
    if identifier not in SCENARIOS:
        raise InputError(
            f"there is no benchmark scenario {identifier!r}; expected {', '.join(get_args(Group))}, tables, or "
            f"an id such as {', '.join(list(SCENARIOS)[:3])}."
        )
    return SCENARIOS[identifier]


def select(name: str, only: str | None = None, preset: str | None = None) -> list[Scenario]:
    """Scenarios that one command runs, in their permanent order.

    Parameters
    ----------
    name
        ``"jule"``: the paper's table, that is the estimator and, on the same input, k-means and plain graph degree
        linkage; ``"imsat"``, ``"iic"``: the default preset, changes of it and k-means; ``"baselines"``,
        ``"ablation"``, ``"speed"``; or the id of one scenario.
    only
        One set (or, for ``"speed"``, one id).
    preset
        ``"paper"``, ``"fast"``, ``"frozen"``: this preset of the estimator; None for its default. ``"all"`` for each.

    Raises
    ------
    InputError
        If nothing carries these names.

    Examples
    --------
    >>> [s.id for s in select("jule", only="umist")]
    ['jule-umist-default', 'kmeans-pixels-umist', 'gdl-pixels-umist']
    """
    if name not in get_args(Group):
        return [scenario(name)]
    wanted = [s for s in SCENARIOS.values() if s.group == name]
    if name == "jule":
        tables = [s for s in wanted if s.task == "cluster"]
        wanted = [s for s in tables if preset == "all" or s.variant == (preset or "default")]
        if preset is None:
            wanted += [s for s in SCENARIOS.values() if s.group == "baselines" and s.algorithm in BESIDE]
    if name in ("imsat", "iic"):
        wanted = [s for s in wanted if preset == "all" or s.preset == (preset or "default")]
        if preset is None:
            sets = {s.dataset for s in wanted}
            wanted += [s for s in SCENARIOS.values() if s.algorithm == "kmeans" and s.dataset in sets]
    if only is not None:
        wanted = [s for s in wanted if only in (s.dataset, s.id)]
    if not wanted:
        chosen = f"{name!r}" + (f" with only={only!r}" if only else "") + (f" and preset={preset!r}" if preset else "")
        raise InputError(f"no benchmark scenario is called {chosen}; expected a set among {', '.join(SETS)}.")
    return wanted
