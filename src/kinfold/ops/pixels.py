"""Raw images as rows of unit length, small enough to seek neighbours among."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

LARGEST_SIDE = 32
CHUNK = 2048


def pixel_features(pixels: npt.NDArray[np.generic], *, centred: bool) -> npt.NDArray[np.float32]:
    """Raw images as rows of unit length ``(n, c, h, w) -> (n, d)``.

    Sides above 32 pixels are averaged down to 32. Images are read in pieces, so that a memory map stays on disk.

    Parameters
    ----------
    pixels : (n, c, h, w) uint8 or float32
    centred : bool
        Subtract the mean image before the rows are scaled.

    Examples
    --------
    >>> pixel_features(np.eye(4, dtype=np.float32).reshape(4, 1, 2, 2), centred=False).shape
    (4, 4)
    """
    small = np.concatenate([_small(pixels[i : i + CHUNK]) for i in range(0, len(pixels), CHUNK)])
    if centred:
        small -= small.mean(0)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-10)
    return small


def _small(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    x = torch.from_numpy(np.array(pixels, dtype=np.float32))
    h, w = x.shape[-2:]
    scale = LARGEST_SIDE / max(h, w)
    if scale < 1:
        x = functional.interpolate(x, size=(max(1, round(h * scale)), max(1, round(w * scale))), mode="area")
    rows: npt.NDArray[np.float32] = x.reshape(len(x), -1).numpy()
    return rows
