"""Views of the pretext tasks: what they keep, how far they go, and that a seed repeats them."""

from __future__ import annotations

import pytest
import torch

from kinfold.data.pretext import beside, recoloured, strong


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


def test_a_fifth_of_the_images_loses_its_colours() -> None:
    x = torch.rand(2000, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    made = recoloured(x, torch.Generator().manual_seed(1))
    grey = (made.amax(1) - made.amin(1)).amax((1, 2)) < 1e-6
    same = (made == x).flatten(1).all(1)
    assert float(grey.float().mean()) == pytest.approx(0.2, abs=0.03)
    assert float(same.float().mean()) == pytest.approx(0.2 * 0.8, abs=0.03)


def test_two_views_part_again() -> None:
    x, y = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    one, two = beside(x, y).chunk(2, 1)
    torch.testing.assert_close(one, x)
    torch.testing.assert_close(two, y)
