"""The one-pass geometry: pixel by pixel what torchvision does one step after the other."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as steps

from kinfold.data.warp import area_boxes, central_boxes, coin, random_boxes, random_maps, warp
from kinfold.errors import InputError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def turn(degrees: float) -> torch.Tensor:
    a = math.radians(degrees)
    return torch.tensor([[[math.cos(a), -math.sin(a), 0.0], [math.sin(a), math.cos(a), 0.0]]])


def test_halves_of_a_ramp_by_hand() -> None:
    """Four pixels of the crop [2, 6) become eight: places 1.75, 2.25, ... inside [2, 5]."""
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    found = warp(ramp, (8, 8), box=torch.tensor([[2, 2, 4, 4]]))[0, 0, 0]
    torch.testing.assert_close(found, torch.tensor([2.0, 2.25, 2.75, 3.25, 3.75, 4.25, 4.75, 5.0]))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 9), st.integers(0, 100), st.integers(5, 12), st.booleans())
def test_a_resized_crop_is_torchvisions(side: int, seed: int, size: int, mirrored: bool) -> None:
    size = max(size, side)  # the papers enlarge; torchvision averages where it shrinks
    x = torch.rand(2, 3, 9, 11, generator=seeded(seed))
    box = random_boxes(2, x.shape, [side], seeded(seed))
    found = warp(x, (size, size), box=box, mirrored=torch.tensor([mirrored, False]))
    for i in range(2):
        top, left, height, width = (int(v) for v in box[i])
        expected = steps.resized_crop(x[i], top, left, height, width, [size, size])
        expected = steps.horizontal_flip(expected) if mirrored and i == 0 else expected
        torch.testing.assert_close(found[i], expected, atol=2e-6, rtol=0)


@settings(max_examples=25, deadline=None)
@given(h=st.integers(2, 40), w=st.integers(2, 40), least=st.floats(0.08, 1.0), seed=st.integers(0, 99))
def test_crops_lie_inside(h: int, w: int, least: float, seed: int) -> None:
    boxes = area_boxes(30, (3, h, w), torch.Generator().manual_seed(seed), scale=(least, 1.0))
    top, left, height, width = boxes.unbind(1)
    assert bool((boxes >= 0).all())
    assert bool((height >= 1).all()) and bool((width >= 1).all())
    assert bool((top + height <= h).all()) and bool((left + width <= w).all())


def test_crops_have_the_areas_they_should() -> None:
    boxes = area_boxes(4000, (3, 200, 200), torch.Generator().manual_seed(0), scale=(0.2, 1.0))
    area = boxes[:, 2] * boxes[:, 3] / 200**2
    # Uniform from 0.2 to 1 but for those cut off at the border, which are the largest.
    assert 0.18 < float(area.min()) < 0.23
    assert float(area.mean()) == pytest.approx(0.6, abs=0.04)
    assert float((boxes[:, 3] / boxes[:, 2]).max()) < 1.4


def test_a_crop_of_a_quarter_shows_half_the_width() -> None:
    """On a ramp from left to right the range of the values is the width of the crop."""
    ramp = torch.linspace(0, 1, 32).repeat(50, 1, 32, 1)
    box = area_boxes(50, ramp.shape, torch.Generator().manual_seed(0), scale=(0.25, 0.25), ratio=1.0)
    y = warp(ramp, (32, 32), box=box)
    spread = y[:, 0, 0, -1] - y[:, 0, 0, 0]
    torch.testing.assert_close(spread, torch.full((50,), 0.5), atol=0.04, rtol=0)
    assert y[:, 0, 0, 0].min() < 0.1
    assert y[:, 0, 0, -1].max() > 0.9


@pytest.mark.parametrize("degrees", [-25.0, -7.3, 0.0, 3.1, 24.9])
def test_a_turn_is_torchvisions(degrees: float) -> None:
    x = torch.rand(1, 1, 28, 28, generator=seeded())
    nearest = warp(x, (28, 28), matrix=turn(degrees), mode="nearest")
    torch.testing.assert_close(nearest, steps.rotate(x, degrees))
    smooth = warp(x, (28, 28), matrix=turn(degrees))
    expected = steps.rotate(x, degrees, interpolation=steps.InterpolationMode.BILINEAR)
    torch.testing.assert_close(smooth, expected, atol=1e-4, rtol=0)


def test_a_map_is_torchvisions_affine() -> None:
    """The same numbers, taken out of the draw: turn, shift, size and slant in one."""
    x = torch.rand(1, 1, 20, 20, generator=seeded())
    options = {"degrees": 18.0, "shift": (3.0, 2.0), "scale": (0.9, 1.1), "shear": 10.0}
    found = warp(x, (20, 20), matrix=random_maps(1, seeded(5), **options))
    draw = torch.rand(6, 1, generator=seeded(5))[:, 0]
    right, down = (float((2 * draw[i] - 1) * most) for i, most in ((3, 3.0), (4, 2.0)))
    expected = steps.affine(
        x, angle=-float(2 * draw[0] - 1) * 18, translate=[right, down], scale=0.9 + float(draw[2]) * 0.2,
        shear=[-float(2 * draw[1] - 1) * 10, 0.0], interpolation=steps.InterpolationMode.BILINEAR,
    )  # fmt: skip
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_turn_and_crop_in_one_pass_look_where_two_would() -> None:
    """On a plane of grey, where interpolation is exact, one pass equals two."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    plane = (0.3 * x + 0.7 * y)[None, None]
    box = torch.tensor([[12.0, 10.0, 16.0, 16.0]])
    once = warp(plane, (24, 24), box=box, matrix=turn(20))
    twice = warp(warp(plane, (40, 40), matrix=turn(20)), (24, 24), box=box)
    torch.testing.assert_close(once, twice, atol=1e-3, rtol=0)


def test_boxes_lie_everywhere_and_inside() -> None:
    boxes = random_boxes(3000, (1, 9, 12), [4, 6], seeded())
    assert set(boxes[:, 2].tolist()) == {4.0, 6.0}
    small = boxes[boxes[:, 2] == 4]
    assert set(small[:, 0].tolist()) == set(range(6)) and set(small[:, 1].tolist()) == set(range(9))
    counts = torch.bincount(small[:, 1].long())
    assert (counts - len(small) / 9).abs().max() < 5 * math.sqrt(len(small) / 9)
    assert 0.45 < len(small) / 3000 < 0.55


def test_a_crop_that_does_not_fit_is_explained() -> None:
    with pytest.raises(InputError, match="a crop of 20 pixels does not fit into images of 16 x 28"):
        random_boxes(2, (1, 16, 28), [4, 20], seeded())
    with pytest.raises(InputError, match="does not fit"):
        central_boxes(2, (1, 16, 28), 17)


def test_coins_and_maps_follow_their_probability() -> None:
    assert 0.2 < float(coin(2000, seeded(), 0.25).float().mean()) < 0.3
    maps = random_maps(2000, seeded(), degrees=20, probability=0.5)
    same = (maps[:, 0, 0] == 1).float().mean()
    assert 0.45 < float(same) < 0.55


def test_gradients_go_through_a_warp() -> None:
    x = torch.rand(1, 1, 8, 8, requires_grad=True)
    warp(x, (8, 8), matrix=turn(10)).sum().backward()
    assert x.grad is not None and float(x.grad.abs().sum()) > 0
