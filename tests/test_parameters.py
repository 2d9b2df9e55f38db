"""What estimators refuse before they look at an image: other kinds of thing, and numbers out of range."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import kinfold
from kinfold import CoatesNg, IICSegmentation, InputError
from kinfold.algorithms import names
from kinfold.parameters import ELSEWHERE, RANGES, fits, kinds_of

PICTURES = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
ESTIMATORS: list[type[Any]] = [*(getattr(kinfold, name) for name in names()), CoatesNg, IICSegmentation]
# Numbers that are checked where they are used, with what they depend on.
WITH_WORDS = {
    "n_pseudo_clusters", "n_overclusters", "reassign", "unrolling_rate", "contrast",
    "whitening", "image_size",
}  # fmt: skip


def declared(estimator: type[Any]) -> dict[str, list[str]]:
    return {
        name: kinds_of(p.annotation)
        for name, p in inspect.signature(estimator).parameters.items()
        if name not in ELSEWHERE
    }


CASES = [(estimator, name, kinds) for estimator in ESTIMATORS for name, kinds in declared(estimator).items()]


@pytest.mark.parametrize(("estimator", "name", "kinds"), CASES, ids=lambda v: getattr(v, "__name__", str(v)))
def test_another_kind_of_thing_is_refused_by_name(estimator: type[Any], name: str, kinds: list[str]) -> None:
    wrong: list[Any] = [2.5, "ten", float("nan"), float("inf"), True, (), None]
    for value in [v for v in wrong if not fits(v, kinds)]:
        with pytest.raises(InputError, match=rf"^{name} is .*; expected "):
            estimator(**{name: value}).fit(PICTURES)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_image_is_read_for_parameters_that_are_wrong(estimator: type[Any]) -> None:
    with pytest.raises(InputError, match=r"^width is |^n_atoms is "):
        estimator(**{"n_atoms" if estimator is CoatesNg else "width": 0}).fit("no-such-folder/of-images")


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_number_has_a_range(estimator: type[Any]) -> None:
    known = {**RANGES, **getattr(estimator, "_ranges", {})}
    counted = {name for name, kinds in declared(estimator).items() if {"int", "float"} & set(kinds)}
    assert counted - WITH_WORDS <= set(known)
    for name in counted & set(known):
        least = known[name][0]
        value = int(least) - 1 if "int" in declared(estimator)[name] else least - 0.5
        with pytest.raises(InputError, match=rf"^{name} is {value}; expected "):
            estimator(**{name: value}).fit(PICTURES)


@pytest.mark.parametrize("value", [1.5, -0.1, "strong"])
def test_a_number_or_auto_says_both(value: Any) -> None:
    says = rf"^view_strength is {value!r}; expected 'auto' or 0 to 1\."
    with pytest.raises(InputError, match=says):
        kinfold.JULE(3, view_strength=value).fit(PICTURES)
    if not isinstance(value, str):
        with pytest.raises(InputError, match=rf"^view_strength is {value}; expected 0 to 1\."):
            kinfold.SimCLR(3, view_strength=value).fit(PICTURES)


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, "a", True, np.random.default_rng(0)])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_seed_is_what_scikit_learn_takes(estimator: type[Any], seed: Any) -> None:
    with pytest.raises(InputError, match=r"^random_state is .*; expected a whole number from 0 to 4294967295, a numpy"):
        estimator(random_state=seed).fit(PICTURES)


def test_no_range_is_left_over() -> None:
    used = {name for estimator in ESTIMATORS for name in declared(estimator)}
    used |= set(declared(kinfold.FineTunedClassifier))
    assert set(RANGES) <= used


def test_numbers_of_numpy_are_numbers() -> None:
    assert fits(np.int64(3), ["int"])
    assert fits(np.float32(0.5), ["float"])
    assert fits(np.bool_(True), ["bool"])
    assert not fits(np.bool_(True), ["int", "float"])
    assert fits(np.array([0.5, 0.5]), ["Sequence", "None"])
