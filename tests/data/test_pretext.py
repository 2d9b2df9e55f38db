"""Views of the pretext tasks: what they keep, how far they go, and that a seed repeats them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfold.data.pretext import area_boxes, beside, strong


@settings(max_examples=25, deadline=None)
@given(h=st.integers(2, 40), w=st.integers(2, 40), least=st.floats(0.08, 1.0), seed=st.integers(0, 99))
def test_crops_lie_inside(h: int, w: int, least: float, seed: int) -> None:
    boxes = area_boxes(30, (3, h, w), torch.Generator().manual_seed(seed), least=least)
    top, left, height, width = boxes.unbind(1)
    assert bool((boxes >= 0).all())
    assert bool((height >= 1).all()) and bool((width >= 1).all())
    assert bool((top + height <= h).all()) and bool((left + width <= w).all())


def test_crops_have_the_areas_they_should() -> None:
    boxes = area_boxes(4000, (3, 200, 200), torch.Generator().manual_seed(0), least=0.2)
    area = boxes[:, 2] * boxes[:, 3] / 200**2
    # Uniform from 0.2 to 1 but for those cut off at the border, which are the largest.
    assert 0.18 < float(area.min()) < 0.23
    assert float(area.mean()) == pytest.approx(0.6, abs=0.04)
    assert float((boxes[:, 3] / boxes[:, 2]).max()) < 1.4


@pytest.mark.parametrize("shape", [(6, 3, 12, 12), (6, 1, 10, 14), (6, 5)])
def test_a_view_has_the_shape_it_had_and_a_seed_repeats(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    kept = x.clone()
    one, two, other = (strong(x, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert one.shape == x.shape
    torch.testing.assert_close(one, two)
    assert not torch.equal(one, other)
    torch.testing.assert_close(x, kept)
    if x.ndim == 4:
        assert float(one.min()) >= 0
        assert float(one.max()) <= 1


@pytest.mark.parametrize("shape", [(6, 1, 9, 9), (6, 4)])
def test_strength_zero_changes_nothing(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape)
    torch.testing.assert_close(strong(x, torch.Generator(), strength=0.0), x, atol=1e-5, rtol=1e-5)


def test_two_views_part_again() -> None:
    x, y = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    one, two = beside(x, y).chunk(2, 1)
    torch.testing.assert_close(one, x)
    torch.testing.assert_close(two, y)
