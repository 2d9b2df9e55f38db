from __future__ import annotations

import torch

from kinfold.data.multicrop import resized_crop


def ramp(n: int = 50) -> torch.Tensor:
    """Left to right from 0 to 1."""
    return torch.linspace(0, 1, 32).repeat(n, 1, 32, 1)


def test_the_whole_image_is_itself() -> None:
    x = torch.rand(3, 2, 8, 12)
    torch.testing.assert_close(resized_crop(x, torch.Generator(), scale=(1, 1), ratio=(1, 1)), x)


def test_a_crop_covers_the_share_that_was_asked_for() -> None:
    """On a ramp the range of the values is the width of the crop: half of it for a quarter of the area."""
    y = resized_crop(ramp(), torch.Generator().manual_seed(0), scale=(0.25, 0.25), ratio=(1, 1))
    spread = y[:, 0, 0, -1] - y[:, 0, 0, 0]
    torch.testing.assert_close(spread, torch.full((50,), 0.5), atol=0.04, rtol=0)
    assert y[:, 0, 0, 0].min() < 0.1
    assert y[:, 0, 0, -1].max() > 0.9


def test_draws_come_from_the_generator() -> None:
    x = torch.rand(4, 1, 8, 8)
    one, two = (resized_crop(x, torch.Generator().manual_seed(1)) for _ in range(2))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert one.shape == x.shape
