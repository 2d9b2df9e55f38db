"""What the numbers of pixels mean: bytes, shares of full brightness, or numbers of a scale of their own."""

from __future__ import annotations

import copy

import numpy as np

from kinfold.data.images import Images

__all__ = ["alike", "scale_of"]

BYTES, SHARES, NUMBERS = "bytes", "shares", "numbers"
SLACK = 2.0  # shares of full brightness may reach a little beyond 1, as interpolation leaves them


def scale_of(images: Images) -> str | None:
    """Scale of the pixels: "bytes", "shares" (decimals up to about 1), "numbers", or None for what has no brightness.

    Vectors have none, nor have decimals below 0, such as standardised ones.

    Examples
    --------
    >>> scale_of(Images(np.zeros((2, 1, 4, 4), dtype=np.uint8)))
    'bytes'
    >>> scale_of(Images(np.full((2, 1, 4, 4), 16, dtype=np.float32)))
    'numbers'
    """
    if images.is_vectors:
        return None
    if images.pixels.dtype == np.uint8:
        return BYTES
    lowest, highest = _range(images)
    if lowest < 0:
        return None
    return SHARES if highest <= SLACK else NUMBERS


def alike(images: Images, fitted: str | None) -> Images:
    """New images on the scale on which a model was fitted.

    Whole numbers from 0 to 255 are kept as bytes, of which a network sees shares of 255; decimals it sees as they are.
    The same values could therefore come to a model in two ways.

    Parameters
    ----------
    images : Images
        As they were read.
    fitted : str or None
        `scale_of` the fitted images; None, of a run that does not say it, changes nothing.

    Returns
    -------
    Images
        The same, or with their pixels as decimals and a note that says so.

    Examples
    --------
    >>> alike(Images(np.full((1, 1, 2, 2), 16, dtype=np.uint8)), "numbers").pixels.max()
    np.float32(16.0)
    """
    if fitted is None or images.is_vectors:
        return images
    if images.pixels.dtype == np.uint8:
        return _with(images, 1.0, "as numbers, as the fitted ones are") if fitted == NUMBERS else images
    lowest, highest = _range(images)
    if fitted == NUMBERS or lowest < 0 or not SLACK < highest <= 255:
        return images
    return _with(images, 255.0, "as shares of 255, as the fitted ones are")


def _range(images: Images) -> tuple[float, float]:
    """Least and most, in pieces: pixels may be a memory map."""
    pieces = [images.pixels[start : start + 1024] for start in range(0, len(images), 1024)]
    if not pieces:
        return 0.0, 0.0
    ends = np.array([(piece.min(), piece.max()) for piece in pieces])
    return float(ends[:, 0].min()), float(ends[:, 1].max())


def _with(images: Images, divisor: float, how: str) -> Images:
    scaled = copy.copy(images)
    scaled._digests = None
    scaled.pixels = images.pixels.astype(np.float32) / np.float32(divisor)
    scaled.pixels.flags.writeable = False
    scaled.note = [*images.note, f"values from {images.pixels.min():g} to {images.pixels.max():g} are taken {how}."]
    return scaled
