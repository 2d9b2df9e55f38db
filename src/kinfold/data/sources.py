"""What a source is, told apart and read."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from kinfold.data.arrays import as_pixels
from kinfold.data.images import Images, ReadingProgress
from kinfold.errors import InputError

__all__ = ["read"]


def read(
    source: Any,
    *,
    labels: Any,
    shape: tuple[int, ...] | None,
    image_size: int | tuple[int, int] | None,
    cache: str | os.PathLike[str] | None,
    progress: ReadingProgress | None,
) -> Images:
    """Read `source` as `kinfold.as_images` describes it."""
    if isinstance(source, Images):
        return source
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    if isinstance(source, torch.Tensor):
        array, what, first = source.detach().cpu().numpy(), "tensor", True
    else:
        array, what, first = np.asarray(source), "array", False
    pixels, note = as_pixels(array, shape=shape, image_size=size, first=first)
    known: npt.NDArray[np.int64] | None = None
    if labels is not None:
        known = np.asarray(labels).astype(np.int64)
        if known.shape != (len(pixels),):
            raise InputError(f"labels has shape {known.shape}; expected ({len(pixels)},), one for each image.")
    return Images(pixels, labels=known, source=f"{what} {tuple(array.shape)}", note=note)
