"""Views that pretext tasks are made of: quarter turns, and the strong crops and colours of contrastive learning.

Vectors have views too, so that every algorithm takes a table: their columns are rolled in place of a turn, and noise
stands for a crop.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kinfold.data.photometric import colour_jitter, grey
from kinfold.data.views import jitter
from kinfold.data.warp import area_boxes, coin, random_maps, warp


def quarter_turns(x: Tensor) -> Tensor:
    """Every image in four orientations, one orientation after the other ``(b, c, h, w) -> (4 b, c, h, w)``.

    Gidaris 2018. Images that are not square are squeezed back into their shape; vectors are rolled by quarters of their
    columns ``(b, d) -> (4 b, d)``.

    Examples
    --------
    >>> quarter_turns(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).flatten(1)
    tensor([[1., 2., 3., 4.],
            [2., 4., 1., 3.],
            [4., 3., 2., 1.],
            [3., 1., 4., 2.]])
    """
    if x.ndim == 2:
        return torch.cat([x.roll(-(turn * x.shape[1] // 4), 1) for turn in range(4)])
    turned = [torch.rot90(x, turn, (2, 3)) for turn in range(4)]
    size = x.shape[-2:]
    return torch.cat([
        t if t.shape[-2:] == size else functional.interpolate(t, size, mode="bilinear", align_corners=False)
        for t in turned
    ])  # fmt: skip


def strong(x: Tensor, generator: torch.Generator, *, strength: float = 1.0) -> Tensor:
    """A strong random view ``(b, c, h, w) -> (b, c, h, w)``, or vectors with noise ``(b, d) -> (b, d)``.

    Colour images as in SimCLR (Chen 2020): a crop of a random area, mirrored or not, other colours for four of five,
    grey for one of five. Grey images, among them writing, are not mirrored: they are turned by up to 25 degrees,
    slanted, moved and stretched, and their contrast changes.

    Parameters
    ----------
    strength : float
        Of everything but the mirror; 1 is the paper's for CIFAR: crops of 8 % of the area and more, colours at one
        half. For vectors the noise has 0.6 times the spread of each column in the batch.
    """
    if x.ndim == 2:
        spread = x.std(0, correction=0)
        return x + 0.6 * strength * spread * jitter(torch.zeros_like(x), generator, spread=1.0)
    n, size = len(x), (x.shape[2], x.shape[3])
    if x.shape[1] != 3:
        reach = 0.15 * strength
        maps = random_maps(
            n, generator, degrees=25 * strength, shift=(reach * size[1], reach * size[0]),
            scale=(1 - 0.25 * strength, 1 + 0.25 * strength), shear=15 * strength,
        )  # fmt: skip
        turned = warp(x, size, matrix=maps, padding="border")
        return colour_jitter(turned, generator, brightness=0.4 * strength, contrast=0.4 * strength)
    boxes = area_boxes(n, x.shape, generator, scale=(1 - 0.92 * strength, 1.0))
    return recoloured(warp(x, size, box=boxes, mirrored=coin(n, generator)), generator, strength=strength)


def recoloured(x: Tensor, generator: torch.Generator, *, strength: float = 1.0) -> Tensor:
    """Other colours for four of five images, grey for one of five ``(b, 3, h, w) -> (b, 3, h, w)``.

    Parameters
    ----------
    strength : float
        1 is what SimCLR does for CIFAR, one half of what it does for photographs.

    Examples
    --------
    >>> recoloured(torch.rand(2, 3, 4, 4), torch.Generator()).shape
    torch.Size([2, 3, 4, 4])
    """
    n, half = len(x), 0.4 * strength
    other = colour_jitter(x, generator, brightness=half, contrast=half, saturation=half, hue=half / 4)
    x = torch.where(coin(n, generator, 0.8).to(x.device)[:, None, None, None], other, x)
    return torch.where(coin(n, generator, 0.2).to(x.device)[:, None, None, None], grey(x).expand_as(x), x)


def beside(x: Tensor, y: Tensor) -> Tensor:
    """Two views of each image as one of twice the channels or columns, to be parted by ``chunk(2, 1)``.

    A share of the batch then holds both views of its images, whatever the number of processes.
    """
    return torch.cat([x, y], 1)
