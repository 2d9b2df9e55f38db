"""The paper's networks by their published sizes, the generic builder on any shape, and unit length."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfold.errors import InputError
from kinfold.nn.backbones import Standardize, chosen, convnet, network, perceptron, shrunk, torch7_init


@pytest.mark.parametrize(("shape", "parameters"), [
    ((1, 128, 128), 389_510),
    ((3, 128, 128), 392_010),
    ((1, 16, 16), 289_560),
    ((1, 28, 28), 576_210),
    ((1, 112, 92), 1_470_860),
    ((3, 32, 32), 266_710),
    ((1, 32, 32), 264_210),
    ((3, 55, 55), 1_634_710),
])  # fmt: skip
def test_the_papers_networks_have_their_sizes(shape: tuple[int, int, int], parameters: int) -> None:
    assert sum(p.numel() for p in convnet(shape).parameters()) == parameters


@settings(max_examples=15, deadline=None)
@given(c=st.sampled_from([1, 3, 4]), h=st.integers(1, 70), w=st.integers(1, 70))
def test_any_shape_gives_unit_features(c: int, h: int, w: int) -> None:
    x = torch.rand(3, c, h, w)
    features = convnet((c, h, w), width=4, n_features=6)(x)
    assert features.shape == (3, 6)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))


def test_large_images_are_averaged_down_first() -> None:
    net = network("convnet", (1, 96, 64), width=4, largest_side=48).eval()
    x = torch.rand(2, 1, 96, 64)
    assert net.seen == shrunk((1, 96, 64), 48) == (1, 48, 32)
    torch.testing.assert_close(net(x), net(net.front(x)))
    torch.testing.assert_close(net.front(x)[:, :, 0, 0], x[:, :, :2, :2].mean((2, 3)))


def test_inputs_are_standardised_and_constant_ones_left_alone() -> None:
    layer = Standardize((2, 1, 1))
    x = torch.stack([torch.rand(50, 4, 4) * 9 + 5, torch.full((50, 4, 4), 3.0)], 1)
    layer.measure(x)
    y = layer(x)
    torch.testing.assert_close(y[:, 0].mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(y[:, 0].std(correction=0), torch.tensor(1.0), atol=1e-5, rtol=0)
    assert float(y[:, 1].abs().max()) == 0.0


def test_released_first_weights() -> None:
    net = perceptron(50, width=400)
    torch7_init(net, torch.Generator().manual_seed(0))
    weights = torch.cat([m.weight.detach().flatten() for m in net if isinstance(m, torch.nn.Linear)])
    gains = torch.cat([m.weight.detach() for m in net if isinstance(m, torch.nn.BatchNorm1d)])
    assert 0.0099 < float(weights.std()) < 0.0101
    assert 0.0 <= float(gains.min()) < 0.1 < 0.9 < float(gains.max()) <= 1.0


def test_auto_goes_by_the_input() -> None:
    assert chosen((1, 200, 200)) == "convnet"
    assert chosen((3, 32, 32)) == "convnet"
    assert chosen((20,)) == "perceptron"
    assert network("auto", (20,))(torch.rand(2, 20)).shape == (2, 160)
    assert network("perceptron", (1, 5, 4))(torch.rand(2, 1, 5, 4)).shape == (2, 160)


@pytest.mark.parametrize(
    ("name", "shape"), [("resnet9000", (1, 8, 8)), ("convnet", (7,)), ("efficientnet-lite0", (7,))]
)
def test_names_that_do_not_fit(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=name):
        network(name, shape)
