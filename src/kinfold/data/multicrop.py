"""Random crops of several sizes, the views of DeepCluster and of multi-crop (Caron et al. 2018, 2020)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def resized_crop(
    x: Tensor,
    generator: torch.Generator,
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """Cut a random part out of each image and bring it to the image's size ``(b, c, h, w) -> (b, c, h, w)``.

    Parameters
    ----------
    x : (b, c, h, w) float
    scale : (low, high)
        Share of the area, uniform.
    ratio : (low, high)
        Width to height, uniform on a logarithmic scale. A side longer than the image is cut to it.

    Examples
    --------
    >>> x = torch.rand(2, 1, 8, 8)
    >>> whole = resized_crop(x, torch.Generator(), scale=(1, 1), ratio=(1, 1))
    >>> torch.allclose(whole, x, atol=1e-5)
    True
    """
    draw = torch.rand(4, len(x), generator=generator)
    area = scale[0] + (scale[1] - scale[0]) * draw[0]
    slim = torch.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * draw[1]).sqrt()
    wide, high = (area.sqrt() * slim).clamp(max=1.0), (area.sqrt() / slim).clamp(max=1.0)
    left, top = (2 * draw[2] - 1) * (1 - wide), (2 * draw[3] - 1) * (1 - high)
    zero = torch.zeros_like(wide)
    matrix = torch.stack([torch.stack([wide, zero, left], 1), torch.stack([zero, high, top], 1)], 1).to(x.device)
    grid = functional.affine_grid(matrix, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid.to(x.dtype), mode="bilinear", padding_mode="border", align_corners=False)
