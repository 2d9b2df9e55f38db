"""What a benchmark scenario is, and the sets that scenarios are made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kinfold.benchmark.datasets import SETS

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
        the set, sort others; ``"retrieve"``: codes of the set, see `kinfold.ops.retrieval`. What the others
        do is in a module of their own, see `kinfold.benchmark.worker`.
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
    once : bool
        One seed is run, as a run takes long and what it shows (memory, growth, one cell of a curve) varies little.
    source : str or None
        The set that is learnt on, where the scenario's own is the one that the features are used on.
    """

    id: str
    group: str
    task: str
    algorithm: str
    dataset: str | None = None
    preset: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    pretrained: str | None = None
    deterministic: bool = False
    once: bool = False
    source: str | None = None

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
