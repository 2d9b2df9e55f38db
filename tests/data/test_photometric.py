"""Colours: the same numbers as torchvision's, factor by factor."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional as steps

from kinfold.data.photometric import (
    brightened,
    colour_jitter,
    contrasted,
    cutout,
    grey,
    hued,
    mixup,
    saturated,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("ours", "theirs", "factors"),
    [
        (brightened, steps.adjust_brightness, (0.6, 1.0, 1.4)),
        (contrasted, steps.adjust_contrast, (0.6, 1.0, 1.4)),
        (saturated, steps.adjust_saturation, (0.6, 1.0, 1.4)),
        (hued, steps.adjust_hue, (-0.125, 0.0, 0.07, 0.5)),
    ],
)
def test_a_factor_does_what_torchvisions_does(
    ours: Callable[[Tensor, Tensor], Tensor], theirs: Callable[[Tensor, float], Tensor], factors: tuple[float, ...]
) -> None:
    x = torch.rand(len(factors), 3, 6, 5, generator=seeded())
    x[0, :, 0, 0], x[0, :, 0, 1] = 0.5, 0.0  # greys have no hue
    found = ours(x, torch.tensor(factors))
    for i, factor in enumerate(factors):
        torch.testing.assert_close(found[i], theirs(x[i], factor), atol=2e-3, rtol=0)  # their luma has four digits


def test_grey_is_torchvisions() -> None:
    x = torch.rand(2, 3, 4, 4, generator=seeded())
    torch.testing.assert_close(grey(x), steps.rgb_to_grayscale(x), atol=1e-3, rtol=0)
    assert grey(x[:, :1]).shape == (2, 1, 4, 4)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([1, 3]), st.floats(0, 1), st.floats(0, 0.5))
def test_jittered_colours_stay_colours(seed: int, channels: int, strength: float, hue: float) -> None:
    x = torch.rand(7, channels, 4, 4, generator=seeded(seed))
    y = colour_jitter(x, seeded(seed), brightness=strength, contrast=strength, saturation=strength, hue=hue)
    assert y.shape == x.shape and float(y.min()) >= 0 and float(y.max()) <= 1


def test_every_order_is_drawn() -> None:
    """Of brightness 2 and contrast 0 either comes first, half of the time, when both are certain."""
    x = torch.full((1000, 1, 1, 2), 0.4)
    x[..., 1] = 0.8
    both = {
        round(float(contrasted(brightened(x[:1], torch.tensor([2.0])), torch.tensor([0.5]))[0, 0, 0, 0]), 3),
        round(float(brightened(contrasted(x[:1], torch.tensor([0.5])), torch.tensor([2.0]))[0, 0, 0, 0]), 3),
    }
    assert both == {0.85, 1.0}
    found = colour_jitter(x, seeded(), brightness=0.4, contrast=0.4)
    assert len(torch.unique(found[:, 0, 0, 0])) > 900


def test_a_square_is_cut_wholly_inside() -> None:
    x = torch.ones(3000, 2, 9, 12)
    y = cutout(x, seeded(), sides=(2, 6), probability=0.5, value=0.25)
    cut = y[:, 0] == 0.25
    areas = cut.sum((1, 2))
    assert set(areas.tolist()) == {0, 4, 16, 36}
    assert 0.42 < float((areas == 0).float().mean()) < 0.58
    torch.testing.assert_close(cut, y[:, 1] == 0.25)
    rows, columns = cut.any(2).sum(1), cut.any(1).sum(1)
    torch.testing.assert_close(rows, columns)
    corners = cut[areas == 4][:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.any(0).all()


def test_mixed_images_lie_between_partners() -> None:
    x = torch.rand(6, 1, 3, 3, generator=seeded())
    mixed, share = mixup(x, seeded())
    for i in range(6):
        torch.testing.assert_close(mixed[i], share[i] * x[i] + (1 - share[i]) * x[5 - i])
