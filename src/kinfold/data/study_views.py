"""The two views of the study of losses and transformations: the plain one, and the strong one ("geometric").

Peng, Desrosiers, Pedersoli, arXiv 1910.01665: IIC's crops for grey images; its crops and colours, looked at in grey,
for colour images. Vectors have a plain view too, and noise for a strong one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kinfold.data.photometric import grey
from kinfold.data.views import iic_colour_plain, iic_colour_transformed, iic_mnist_plain, iic_mnist_transformed, jitter


def kind(shape: Sequence[int]) -> str:
    """Which of the study's kinds of input this is: "vector", "grey" or "colour"."""
    return "vector" if len(shape) == 1 else "grey" if shape[0] == 1 else "colour"


def crop_and_size(shape: Sequence[int]) -> tuple[int, int]:
    """Side of the plain crop, and what it is resized to: 20 of 28 to 24 in grey, 20 of 32 to 32 in colour.

    Examples
    --------
    >>> crop_and_size((1, 28, 28)), crop_and_size((3, 32, 32))
    ((20, 24), (20, 32))
    """
    side = min(shape[1:])
    shares = (20 / 28, 24 / 28) if kind(shape) == "grey" else (20 / 32, 1.0)
    return max(1, round(shares[0] * side)), max(1, round(shares[1] * side))


def weak(source: Tensor, generator: torch.Generator) -> Tensor:
    """The plain view: a crop, in grey ``(b, c, H, W) -> (b, 1, h, w)``; vectors as they are."""
    shape = source.shape[1:]
    if kind(shape) == "vector":
        return source
    crop, size = crop_and_size(shape)
    if kind(shape) == "grey":
        return iic_mnist_plain(source, generator, crop=crop, size=size)
    return grey(iic_colour_plain(source, generator, crop=crop, size=size))


def strong(source: Tensor, generator: torch.Generator) -> Tensor:
    """The strong view ``(b, c, H, W) -> (b, 1, h, w)``; vectors with noise."""
    shape = source.shape[1:]
    if kind(shape) == "vector":
        return jitter(source, generator, spread=0.3)
    crop, size = crop_and_size(shape)
    if kind(shape) == "grey":
        crops = tuple(max(1, round(share / 28 * min(shape[1:]))) for share in (16, 20, 24))
        return iic_mnist_transformed(source, generator, crops=crops, size=size)
    return grey(iic_colour_transformed(source, generator, crop=crop, size=size))
