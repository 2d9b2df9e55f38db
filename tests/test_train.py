"""The two passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from kinfold.data.images import Images
from kinfold.errors import KinfoldError
from kinfold.runtime import Runtime
from kinfold.train import embed, fit_epoch, pixels

RUN = Runtime(device="cpu")


@dataclass
class Learner:
    """The least that fit_epoch needs."""

    net: nn.Module
    optimizer: torch.optim.Optimizer | None
    generator: torch.Generator
    round: int = 4


def learner(net: nn.Module, rate: float = 0.5) -> Learner:
    return Learner(net, torch.optim.SGD(net.parameters(), lr=rate), torch.Generator().manual_seed(0))


def vectors(*rows: list[float]) -> Images:
    return Images(np.array(rows, dtype=np.float32))


def test_bytes_are_scaled_and_floats_are_kept() -> None:
    images = Images(np.array([[[[0, 51, 255]]]], dtype=np.uint8))
    torch.testing.assert_close(pixels(images, np.array([0]), RUN), torch.tensor([[[[0.0, 0.2, 1.0]]]]))
    torch.testing.assert_close(pixels(vectors([3.0, -7.0]), np.array([0]), RUN), torch.tensor([[3.0, -7.0]]))


def test_embed_by_hand() -> None:
    net = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, 10.0]]))
    images = vectors([1.0, 2.0], [3.0, 4.0], [5.0, 6.0])
    features = embed(net, images, RUN, batch_size=2)
    torch.testing.assert_close(features, torch.tensor([[21.0], [43.0], [65.0]]))
    assert not features.requires_grad
    assert not features.is_inference()
    some = embed(net, images, RUN, index=np.array([2, 0, 2]))
    torch.testing.assert_close(some, torch.tensor([[65.0], [21.0], [65.0]]))


def test_embed_uses_running_statistics_and_puts_the_mode_back() -> None:
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2)).train()
    features = embed(net, vectors([1.0, 2.0], [3.0, 4.0]), RUN)
    torch.testing.assert_close(features, torch.tensor([[1.0, 2.0], [3.0, 4.0]]), atol=1e-4, rtol=1e-4)
    assert net.training
    torch.testing.assert_close(net[1].running_mean, torch.zeros(2))
    assert not embed(net.eval(), vectors([1.0, 2.0]), RUN).requires_grad
    assert not net.training


def test_features_that_are_not_finite_blame_the_network() -> None:
    class Exploded(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x / 0

    with pytest.raises(KinfoldError, match="features became NaN or infinite; lower the learning rate"):
        embed(Exploded(), vectors([1.0], [2.0]), RUN)


def test_embed_of_nothing_and_of_maps() -> None:
    assert embed(nn.Flatten(), vectors([1.0, 2.0]), RUN, index=np.array([], dtype=np.int64)).shape == (0, 0)
    images = Images(np.zeros((3, 1, 4, 4), dtype=np.uint8))
    assert embed(nn.Conv2d(1, 2, 3), images, RUN).shape == (3, 8)


def test_an_epoch_by_hand() -> None:
    state = learner(nn.Linear(1, 1, bias=False))
    with torch.no_grad():
        state.net.weight.fill_(1.0)  # type: ignore[union-attr, operator]
    seen: list[list[int]] = []

    def loss(net: nn.Module, index: Any, x: torch.Tensor) -> torch.Tensor:
        seen.append(index.tolist())
        return net(x).mean()

    value = fit_epoch(state, vectors([1.0], [3.0], [8.0]), loss, RUN, batches=[np.array([0, 1]), np.array([2])])
    # Losses 2 and 8 * 0; the weight goes 1 -> 1 - 0.5 * 2 = 0 -> -0.5 * 8 = -4.
    assert value == 1.0
    assert seen == [[0, 1], [2]]
    torch.testing.assert_close(state.net.weight, nn.Parameter(torch.tensor([[-4.0]])))


def test_views_draw_from_the_state() -> None:
    def shaken(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return x + torch.rand(x.shape, generator=generator)

    losses = []
    for _ in range(2):
        state = learner(nn.Linear(1, 1), rate=0.0)
        with torch.no_grad():
            for weight in state.net.parameters():
                weight.fill_(1.0)
        images, batches = vectors([1.0], [3.0]), [np.array([0, 1])] * 2
        losses.append(fit_epoch(state, images, lambda net, index, x: net(x).mean(), RUN, batches=batches, view=shaken))
    assert losses[0] == losses[1]
    assert 3.0 < losses[0] < 4.0


def test_an_epoch_trains_in_training_mode_and_may_be_empty() -> None:
    state = learner(nn.Linear(1, 1))
    state.net.eval()
    assert fit_epoch(state, vectors([1.0]), lambda net, index, x: net(x).sum(), RUN, batches=[]) == 0.0
    assert state.net.training


def test_a_loss_that_is_not_finite_names_round_and_cure() -> None:
    state = learner(nn.Linear(1, 1))
    with pytest.raises(KinfoldError, match="the loss became nan in round 5; lower the learning rate"):
        fit_epoch(state, vectors([1.0]), lambda net, index, x: net(x).sum() / 0 * 0, RUN, batches=[np.array([0])])


def test_no_optimizer_is_explained() -> None:
    state = learner(nn.Linear(1, 1))
    state.optimizer = None
    with pytest.raises(KinfoldError, match="no optimizer"):
        fit_epoch(state, vectors([1.0]), lambda net, index, x: net(x).sum(), RUN, batches=[np.array([0])])
