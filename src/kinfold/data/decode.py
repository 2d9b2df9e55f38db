"""One image file to pixels: orientation, colour and size made the same for every format."""

from __future__ import annotations

from PIL import Image

__all__ = ["cover"]


def cover(picture: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale a picture until it covers ``size = (h, w)`` and crop the centre, in one pass.

    For a square size that is: shorter side resized, centre crop. Bicubic, antialiased when it shrinks.

    Examples
    --------
    >>> cover(Image.new("RGB", (300, 200)), (128, 128)).size
    (128, 128)
    """
    height, width = size
    if picture.size == (width, height):
        return picture
    scale = min(picture.width / width, picture.height / height)  # source pixels per target pixel
    left, top = (picture.width - width * scale) / 2, (picture.height - height * scale) / 2
    box = (left, top, min(left + width * scale, picture.width), min(top + height * scale, picture.height))
    return picture.resize((width, height), Image.Resampling.BICUBIC, box=box)
