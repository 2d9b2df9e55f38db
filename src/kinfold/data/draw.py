"""Small pictures of images, for reports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from kinfold.data.arrays import Array
from kinfold.data.decode import load_picture

__all__ = ["bars", "from_file", "from_pixels"]


def from_pixels(pixels: Array, size: int) -> Image.Image:
    """A picture of decoded pixels: (c, h, w) -> RGB of at most size x size.

    Floating point in 0..1 is shown as it is; other ranges are stretched from their least to their greatest value.
    """
    if pixels.dtype.kind == "f":
        low, high = float(pixels.min()), float(pixels.max())
        if low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        pixels = np.rint((pixels - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    planes = np.ascontiguousarray(pixels.transpose(1, 2, 0))
    picture = Image.fromarray(planes[:, :, 0] if planes.shape[2] == 1 else planes).convert("RGB")
    return _shrink(picture, size)


def from_file(path: Path, size: int) -> Image.Image | None:
    """A picture of a file, at most size x size, or None when it can no longer be read."""
    try:
        return _shrink(load_picture(path, (size, size), crop=False).convert("RGB"), size)
    except Exception:  # a file that went away or changed: the decoded pixels serve instead
        return None


def bars(vector: Array, size: int) -> Image.Image:
    """A strip of bars, one for each feature or group of neighbouring features: (d,) -> RGB, size x size."""
    groups = np.array_split(np.asarray(vector, dtype=np.float64), min(len(vector), size))
    values = np.array([group.mean() for group in groups])
    top = max(float(np.abs(values).max()), 1e-12)
    canvas = np.full((size, size, 3), 255, dtype=np.uint8)
    middle = size // 2
    for column in range(size):
        reach = round(float(values[column * len(values) // size]) / top * (size // 2 - 1))
        start, stop = sorted((middle, middle - reach))
        canvas[start : stop + 1, column] = (70, 110, 180) if reach >= 0 else (200, 110, 70)
    return Image.fromarray(canvas)


def _shrink(picture: Image.Image, size: int) -> Image.Image:
    scale = size / max(picture.size)
    if scale >= 1 and max(picture.size) >= size:
        return picture
    width, height = (max(1, round(side * scale)) for side in picture.size)
    method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BICUBIC
    return picture.resize((width, height), method)
