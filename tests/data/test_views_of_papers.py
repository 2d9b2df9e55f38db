"""Views named after a paper have the distribution of its per-image torchvision pipeline.

Each pipeline below is written with torchvision's own transforms on 8-bit pictures, as the released code draws them.
Many draws of one picture are compared with as many of ours: the mean and the mean square of every pixel, within five
standard errors (one false alarm in a million pixels) and the rounding of 8-bit steps; and where the mass of the picture
lies, how it is spread and how bright it is, by a two-sample Kolmogorov-Smirnov test at one in a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torch import Tensor
from torchvision.transforms import v2

from kinfold.data.views import (
    central,
    iic_colour_plain,
    iic_colour_transformed,
    iic_mnist_plain,
    iic_mnist_transformed,
)

N = 600
ROUNDING = 1.5 / 255
JITTER = v2.ColorJitter(0.4, 0.4, 0.4, 0.125)

digits_plain = v2.Compose([v2.RandomChoice([v2.RandomCrop(20), v2.CenterCrop(20)]), v2.Resize(24)])
digits_transformed = v2.Compose(
    [
        v2.RandomApply([v2.RandomRotation(25)], p=0.5),
        v2.RandomChoice([v2.RandomCrop(side) for side in (16, 20, 24)]),
        v2.Resize(24),
        JITTER,
    ]
)
colours_plain = v2.Compose([v2.RandomCrop(20), v2.Resize(32)])
colours_transformed = v2.Compose([v2.RandomCrop(20), v2.Resize(32), v2.RandomHorizontalFlip(), JITTER])


def picture(channels: int, side: int) -> np.ndarray:
    """Smooth strokes on a dark ground, not symmetric, with pixels at the edge too."""
    y, x = np.mgrid[0:side, 0:side] / side
    layers = [
        np.exp(-((x - 0.3 - 0.1 * c) ** 2 + (y - 0.6) ** 2) / 0.03) * (0.9 - 0.2 * c)
        + 0.5 * np.exp(-((x - 0.95) ** 2 + (y - 0.1 * c) ** 2) / 0.02)
        for c in range(channels)
    ]
    return (np.stack(layers, -1).clip(0, 1) * 255).astype(np.uint8)


@cache
def drawn(pipeline: v2.Compose, channels: int, side: int) -> Tensor:
    """Many draws of one picture by a per-image pipeline ``-> (N, c, h, w)``."""
    image = picture(channels, side)
    source = Image.fromarray(image[..., 0] if channels == 1 else image)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        views = np.stack([np.asarray(pipeline(source)) for _ in range(N)])
    return torch.from_numpy(views).reshape(*views.shape[:3], channels).permute(0, 3, 1, 2).double() / 255


def markers(x: Tensor) -> dict[str, Tensor]:
    """Where the mass lies, how far it spreads, how bright it is: one number an image each."""
    mass = x.sum(1)
    total = mass.sum((1, 2))
    rows, columns = torch.arange(x.shape[2]).double(), torch.arange(x.shape[3]).double()
    row, column = (mass.sum(2) * rows).sum(1) / total, (mass.sum(1) * columns).sum(1) / total
    spread = ((mass.sum(2) * rows**2).sum(1) / total - row**2).sqrt()
    found = {"row": row, "column": column, "spread": spread, "total": total, "contrast": x.flatten(1).std(1)}
    if x.shape[1] == 3:
        found["red to blue"] = x[:, 0].sum((1, 2)) - x[:, 2].sum((1, 2))
    return found


@pytest.mark.parametrize(
    ("ours", "theirs", "channels", "side"),
    [
        (iic_mnist_plain, digits_plain, 1, 28),
        (iic_mnist_transformed, digits_transformed, 1, 28),
        (iic_colour_plain, colours_plain, 3, 32),
        (iic_colour_transformed, colours_transformed, 3, 32),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_distribution_is_the_papers(
    ours: Callable[[Tensor, torch.Generator], Tensor], theirs: v2.Compose, channels: int, side: int
) -> None:
    image = picture(channels, side)
    expected = drawn(theirs, channels, side)
    x = (torch.from_numpy(image).permute(2, 0, 1).float() / 255).expand(N, -1, -1, -1)
    found = ours(x, torch.Generator().manual_seed(1)).double()
    assert found.shape == expected.shape
    for power in (1, 2):
        a, b = found**power, expected**power
        error = ((a.var(0) + b.var(0)) / N).sqrt()
        gap = (a.mean(0) - b.mean(0)).abs() - power * ROUNDING - 5 * error
        assert float(gap.max()) < 0, f"the mean of pixels to the power {power} is off by {float(gap.max()):.4f}"
    one, two = markers(found), markers(expected)
    for name, values in one.items():
        # Rounding to 8 bits moves a marker by thousandths; blurred by a tenth of its spread, that does not show.
        noise = 0.1 * torch.rand(N, generator=torch.Generator().manual_seed(2)).double()
        unit = float(two[name].std()) or 1.0
        a, b = ((each / unit + noise).numpy() for each in (values, two[name]))
        assert ks_2samp(a, b).pvalue > 1e-5, f"{name} is distributed differently"


def test_a_wrong_pipeline_is_noticed() -> None:
    """The comparison has teeth: crops of one size in place of three do not pass."""
    expected = markers(drawn(digits_transformed, 1, 28))
    x = (torch.from_numpy(picture(1, 28)).permute(2, 0, 1).float() / 255).expand(N, -1, -1, -1)
    wrong = markers(iic_mnist_transformed(x, torch.Generator().manual_seed(1), crops=(24,)).double())
    assert ks_2samp(wrong["total"].numpy(), expected["total"].numpy()).pvalue < 1e-5


def test_the_evaluated_view_is_torchvisions() -> None:
    image = picture(1, 28)
    expected = v2.Compose([v2.CenterCrop(20), v2.Resize(24)])(Image.fromarray(image[..., 0]))
    x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    found = central(x, crop=20, size=24)[0, 0]
    torch.testing.assert_close(found, torch.from_numpy(np.array(expected)).float() / 255, atol=ROUNDING, rtol=0)
