"""Warm start: whose weights a network begins with, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from kinfold import load
from kinfold.algorithms.nat import NAT
from kinfold.algorithms.rotnet import RotNet
from kinfold.checks import pictures
from kinfold.errors import InputError
from kinfold.estimator import DeepClusterer
from kinfold.nn.heads import WithHead
from kinfold.results import Clustering
from kinfold.runtime import Runtime
from kinfold.warm_start import warm_start


def begun(model: DeepClusterer[Any]) -> dict[str, torch.Tensor]:
    """The trunk as it is before the first round."""
    kept: dict[str, torch.Tensor] = {}

    def stop(state: Any, images: Any, run: Any) -> Any:
        trunk = getattr(state.net, "trunk", state.net)
        kept.update({name: value.clone() for name, value in trunk.state_dict().items()})
        raise KeyboardInterrupt

    model._round = stop  # type: ignore[method-assign]
    with pytest.raises(Exception, match="interrupted"):
        model.fit(pictures())
    return kept


@pytest.fixture(scope="module")
def first() -> Clustering:
    return RotNet(**{**RotNet._small(), "n_epochs": 1}, random_state=0).fit(pictures()).result_


def test_a_trunk_with_a_head_takes_one_without(first: Clustering, tmp_path: Path) -> None:
    """NAT's network has a head, RotNet's has none; by the result, by its folder and by its tensors."""
    folder = first.save(tmp_path / "run")
    small = {**NAT._small(), "n_epochs": 1, "n_refine": 0}
    for initial in (first, str(folder), folder, first.weights):
        found = begun(NAT(**small, initial=initial, random_state=1))
        assert set(found) == set(first.weights)
        for name, value in found.items():
            torch.testing.assert_close(value, first.weights[name])


def test_a_loaded_model_is_fitted_again_without_what_it_began_with(first: Clustering, tmp_path: Path) -> None:
    small = {**NAT._small(), "n_epochs": 1, "n_refine": 0}
    NAT(**small, initial=first, random_state=1).fit(pictures()).result_.save(tmp_path / "run")
    again: NAT = load(tmp_path / "run")
    assert again.initial is None
    assert clone(again).fit(pictures()).labels_.shape == again.labels_.shape


def test_heads_are_left_as_they_are() -> None:
    one, two = (WithHead(nn.Linear(3, 2), nn.Linear(2, 4)) for _ in range(2))
    before = two.head.weight.clone()
    facts = warm_start(two, one.state_dict())
    assert facts == {"initial": {"tensors": 2}}
    torch.testing.assert_close(two.trunk.weight, one.trunk.weight)
    torch.testing.assert_close(two.head.weight, before)
    assert warm_start(two, None) == {}


def test_the_run_says_what_it_began_with(first: Clustering, tmp_path: Path) -> None:
    folder = first.save(tmp_path / "first")
    model = NAT(**{**NAT._small(), "n_epochs": 1, "n_refine": 0}, initial=folder, random_state=0)
    model = clone(model).fit(pictures(), runtime=Runtime(device="cpu", folder=tmp_path / "second"))
    assert model.result_.run["initial"] == {"tensors": len(first.weights), "algorithm": "RotNet"}
    loaded = NAT.from_result(Clustering.load(tmp_path / "second"))
    np.testing.assert_array_equal(loaded.predict(pictures()), model.predict(pictures()))


@pytest.mark.parametrize(("initial", "says"), [
    ({"weight": torch.zeros(2, 3)}, "initial has no 'bias'"),
    ({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "more": torch.zeros(1)}, "the network has no 'more'"),
    ({"weight": torch.zeros(5, 3), "bias": torch.zeros(5)}, r"'bias' has shape \(5,\); expected \(2,\)"),
    (3, "initial is a int"),
    ({}, "initial is a dict"),
    ("no/such/folder", "no/such/folder"),
])  # fmt: skip
def test_another_network_is_refused(initial: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        warm_start(nn.Linear(3, 2), initial)
