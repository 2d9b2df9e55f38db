"""Residual networks for small images, edges and sub-heads."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from kinfold.nn.backbones import net6c
from kinfold.nn.edges import Sobel
from kinfold.nn.residual import BasicBlock, net5g
from kinfold.nn.subheads import SubHeads


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def count(net: nn.Module) -> int:
    return sum(w.numel() for w in net.parameters())


def test_numbers_of_weights_are_the_published_ones() -> None:
    """Trunk and one head of ten clusters: 4.35 and 21.28 million."""
    assert round((count(net6c(1)) + count(nn.Linear(4608, 10))) / 1e6, 2) == 4.35
    assert round((count(net5g(2)) + count(nn.Linear(512, 10))) / 1e6, 2) == 21.28
    assert round(count(net6c(1, width=32)) / 1e6, 2) == 1.08


def test_maps_have_the_papers_sizes() -> None:
    assert net6c(1)(torch.zeros(2, 1, 24, 24)).shape == (2, 4608)
    assert net6c(3, width=4)(torch.zeros(2, 3, 8, 5)).shape == (2, 32 * 2 * 2)
    net = net5g(2, width=4)
    sizes = []
    x = torch.zeros(1, 2, 32, 32)
    for layer in net[:-2]:
        x = layer(x)
        sizes.append(x.shape[-1])
    assert sizes[0] == 32 and sizes[3] == 17
    assert sorted(set(sizes), reverse=True) == [32, 17, 9, 5, 3]
    assert net(torch.zeros(2, 2, 64, 64)).shape == net(torch.zeros(2, 2, 32, 32)).shape == (2, 32)


def test_layers_that_read_the_input_are_as_deep_as_said() -> None:
    blocks = [layer for layer in net5g(2, width=4) if isinstance(layer, BasicBlock)]
    assert len(blocks) == 3 + 4 + 6 + 3
    assert sum(not isinstance(block.shortcut, nn.Identity) for block in blocks) == 3


def test_edges_are_the_correlation_with_the_kernels() -> None:
    x = torch.rand(2, 3, 7, 6, generator=seeded())
    grey = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    padded = functional.pad(grey, (1, 1, 1, 1))
    across = torch.zeros(2, 7, 6)
    for i, weight in enumerate((1.0, 2.0, 1.0)):
        across += weight * (padded[:, i : i + 7, :6] - padded[:, i : i + 7, 2:])
    found = Sobel()(x)
    torch.testing.assert_close(found[:, 0], across, atol=1e-5, rtol=0)
    turned = Sobel()(x.transpose(2, 3))
    torch.testing.assert_close(found[:, 1], turned[:, 0].transpose(1, 2), atol=1e-5, rtol=0)
    assert Sobel(include_rgb=True)(x).shape == (2, 5, 7, 6)
    torch.testing.assert_close(Sobel()(grey[:, None]), found)
    assert not Sobel().state_dict()


def test_sub_heads_are_linear_layers_of_their_own() -> None:
    heads = SubHeads(6, 3, 4)
    x = torch.randn(5, 6, generator=seeded())
    one = nn.Linear(6, 4)
    heads.set(1, one.weight, one.bias)
    found = heads(x)
    torch.testing.assert_close(found[:, 1], one(x))
    torch.testing.assert_close(
        found[:, 2], functional.linear(x, heads.weight[heads.rows(2)], heads.bias[heads.rows(2)])
    )


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (28, 28), (20, 33)])
def test_any_size_goes_in(size: tuple[int, int]) -> None:
    assert torch.isfinite(net6c(1, width=2, kernel=3)(torch.zeros(2, 1, *size))).all()
