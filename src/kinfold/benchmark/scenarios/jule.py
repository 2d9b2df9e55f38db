"""JULE: the paper's table, single changes of the default preset, and the released code's defects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kinfold.benchmark.scenarios.scenario import (
    COMPARED_FROM_SCRATCH,
    FACES,
    HERE,
    OWN,
    PHOTOGRAPHS,
    PRETRAINED,
    YARDSTICKS,
    Scenario,
)

# What the table of changes measures: one parameter of the fast preset each (the default is the same method with a
# schedule of two to five times the length), then the released code's defects in the paper's preset.
ABLATED = ("umist", "cmu-pie", "usps", "mnist-test")
WITH_DEFECTS = ("usps", "mnist-test")
ABLATIONS: dict[str, dict[str, Any]] = {
    "nothing": {},  # the preset once more, on the processor that measures the changes
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
    # off in the presets
    "nearest-negatives": {"negatives": "nearest"},
    "local-bandwidth": {"bandwidth": "local"},
    "recalibrated": {"recalibrate": True},
    "three-final-rounds": {"n_final": 3},
    "three-that-agree": {"n_final": 3, "consensus": True},
    "reassigned": {"reassign": True},
}
# And what photographs without a pretrained network get in the default preset.
OF_PHOTOGRAPHS: dict[str, dict[str, Any]] = {
    "not-told-apart": {"weight_contrast": 0.0},
    "final-rounds": {"n_final": 6},
    "not-reassigned": {"reassign": False},
}
OF_THE_PAPER: dict[str, dict[str, Any]] = {
    "undampened": {"learning_rate": 0.01},  # the released rate without its dampened momentum
    "stray-groups-join": {"smallest": 0.2},
}
DEFECTS = ("anchor-gradient", "dampening", "batch-norm", "half-neighbors", "fast-update")


def _backbone(dataset: str, preset: str) -> dict[str, Any]:
    """Said where "auto" would decide by what is installed: colour images of 64 pixels and more."""
    if dataset in PHOTOGRAPHS:
        return {"backbone": PRETRAINED if preset == "default" else "convnet"}
    return {"backbone": "convnet"} if dataset in COMPARED_FROM_SCRATCH else {}


def jule() -> Iterator[Scenario]:
    for name in (*HERE, *OWN):
        for preset in ("default", "paper", *(("fast",) if name in (*YARDSTICKS, *ABLATED) else ())):
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


def ablations() -> Iterator[Scenario]:
    for name in ABLATED:
        for change, parameters in ABLATIONS.items():
            yield Scenario(f"ablation-{name}-{change}", "ablation", "cluster", "JULE", name, "fast", parameters)
    for change, parameters in OF_PHOTOGRAPHS.items():
        parameters = _backbone("cifar10", "default") | parameters
        yield Scenario(f"ablation-cifar10-{change}", "ablation", "cluster", "JULE", "cifar10", "default", parameters)
    for name in WITH_DEFECTS:
        for change, parameters in OF_THE_PAPER.items():
            yield Scenario(f"ablation-{name}-{change}", "ablation", "cluster", "JULE", name, "paper", parameters)
        for defect in (*((d,) for d in DEFECTS), DEFECTS):
            change = "all-defects" if defect == DEFECTS else defect[0]
            yield Scenario(
                f"ablation-{name}-released-{change}",
                "ablation",
                "cluster",
                "JULE",
                name,
                "paper",
                {"as_released": defect},
            )
