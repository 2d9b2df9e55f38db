"""Adversarial directions: against finite differences, and what a probe must leave alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from kinfold.ops.adversarial import adversarial_directions, changed, pushed, random_directions, unit
from kinfold.ops.information import kl


def small() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 7, bias=False), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3)).double()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_worst_direction_by_hand() -> None:
    # y = (3 a, b): from the start (0.6, 0.8) the gradient of |y|^2 is 2 xi (9 * 0.6, 0.8).
    x, start = torch.zeros(1, 2), torch.tensor([[0.6, 0.8]])
    found = adversarial_directions(lambda x: x * torch.tensor([3.0, 1.0]), x, start, lambda y: y.square().sum())
    torch.testing.assert_close(found, unit(torch.tensor([[5.4, 0.8]])))
    many = adversarial_directions(
        lambda x: x * torch.tensor([3.0, 1.0]), x, start, lambda y: y.square().sum(), n_iterations=20
    )
    torch.testing.assert_close(many, torch.tensor([[1.0, 0.0]]))


def test_the_direction_is_the_gradient_by_differences() -> None:
    net, x = small(), torch.randn(4, 5, generator=generator(), dtype=torch.float64)
    target = net(x).softmax(1).detach()
    start = random_directions((4, 5), generator(1)).double()

    def value(d: torch.Tensor) -> torch.Tensor:
        return kl(target, net(x + 2.0 * d).softmax(1))

    found = adversarial_directions(net, x, start, lambda y: kl(target, y.softmax(1)), xi=2.0)
    slopes = torch.zeros_like(x)
    for i in range(4):
        for j in range(5):
            step = torch.zeros_like(x)
            step[i, j] = 1e-6
            slopes[i, j] = ((value(start + step) - value(start - step)) / 2e-6).detach()
    torch.testing.assert_close(found, unit(slopes), rtol=1e-4, atol=1e-5)


def test_a_probe_leaves_the_weights_gradients_alone() -> None:
    net, x = small(), torch.randn(4, 5, generator=generator(), dtype=torch.float64)
    target = net(x).softmax(1).detach()
    adversarial_directions(net, x, random_directions((4, 5), generator(1)), lambda y: kl(target, y.softmax(1)))
    assert all(weight.grad is None for weight in net.parameters())
    assert not x.requires_grad


@settings(max_examples=20, deadline=None)
@given(scale=st.sampled_from([1e-35, 1e-10, 1.0, 1e15]), seed=st.integers(0, 99))
def test_directions_have_unit_length_at_any_scale(scale: float, seed: int) -> None:
    x = scale * torch.randn(3, 1, 4, 4, generator=generator(seed))
    torch.testing.assert_close(unit(x).flatten(1).norm(dim=1), torch.ones(3))
    torch.testing.assert_close(unit(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_images_are_moved_by_their_own_radius() -> None:
    x, d = torch.zeros(3, 1, 2, 2), random_directions((3, 1, 2, 2), generator())
    moved = pushed(x, d, torch.tensor([0.0, 1.0, 2.5]))
    torch.testing.assert_close(moved.flatten(1).norm(dim=1), torch.tensor([0.0, 1.0, 2.5]))
    torch.testing.assert_close(pushed(x, d, 2.0).flatten(1).norm(dim=1), torch.full((3,), 2.0))


@pytest.mark.parametrize(("scale", "lengths"), [(None, [8.0, 12.0]), (2.0, [5.0, 5.0])])
def test_the_probe_has_our_reach_or_the_released_length(scale: float | None, lengths: list[float]) -> None:
    """Four times each image's radius, or 10 units of the released input, of which one of x is `scale`."""
    x, start, radius = torch.zeros(2, 3), torch.eye(3)[:2], torch.tensor([2.0, 3.0])
    asked = []

    def outputs(y: Tensor) -> Tensor:
        asked.append(y.detach())
        return y * torch.tensor([0.0, 0.0, 1.0])

    far = changed(outputs, x, start, radius, torch.sum, regularizer="adversarial", scale=scale)
    torch.testing.assert_close(torch.cat(asked).norm(dim=1), torch.tensor(lengths))
    torch.testing.assert_close(far, radius[:, None] * torch.tensor([0.0, 0.0, 1.0]))
