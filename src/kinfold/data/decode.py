"""One image file to pixels: orientation, colour, depth and size made alike for every format."""

from __future__ import annotations

import errno
import io
import os
import stat
import struct
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from kinfold.phrases import plural

__all__ = [
    "SUFFIXES",
    "Encoded",
    "Header",
    "Unreadable",
    "cover",
    "load_picture",
    "read_header",
    "read_pixels",
    "reason_of",
    "stretch",
    "stretched",
    "upright",
]

Encoded = Path | memoryview
"""Where the bytes of one image are: a file, or memory."""

# Formats with a clear signature that Pillow decodes by itself; EPS, for one, would start Ghostscript.
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")
SUFFIXES = {".jpg", ".jpeg", ".jpe", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"} | {
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif"
}  # fmt: skip
_GREY = {"1", "L", "LA", "La", "I", "F"}
_ORIENTATION = 274  # the Exif tag
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Unreadable(Exception):
    """One image cannot be used; the message is the reason as `skipped` lists it."""


@dataclass(frozen=True)
class Header:
    """What the first bytes of an image tell: upright ``(h, w)``, whether it is grey, whether it is over 8 bits."""

    size: tuple[int, int]
    grey: bool
    deep: bool


def read_header(encoded: Encoded) -> Header:
    """Read what the first bytes tell, without decoding.

    Raises
    ------
    Exception
        Of any kind, as Pillow may raise on damaged files; `reason_of` words it.
    """
    with _open(encoded) as picture:
        turned = _orientation(picture) >= 5 if "exif" in picture.info else False
        size = picture.size if turned else picture.size[::-1]
        return Header(size, _is_grey(picture), _is_deep(picture))


def read_pixels(encoded: Encoded, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """Decode one image to exactly ``shape = (c, h, w)``: -> (c, h, w).

    The first frame, turned as its Exif says, transparency over white, scaled to cover and cropped at the centre (see
    `cover`). More than 8 bits are stretched (see `stretch`); Pillow itself keeps the high byte of
    16-bit colour.
    """
    channels, height, width = shape
    picture = _as_mode(load_picture(encoded, (height, width)), "L" if channels == 1 else "RGB")
    pixels: npt.NDArray[np.uint8] = np.asarray(picture)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def load_picture(encoded: Encoded, size: tuple[int, int] | None = None, *, crop: bool = True) -> Image.Image:
    """Decode one image upright, in mode L or RGB.

    Parameters
    ----------
    encoded
        The file, or its bytes.
    size
        ``(h, w)`` to cover, or ``None`` for full size. A JPEG is decoded at the smallest of 1, 1/2, 1/4, 1/8 that
        still covers it, so that a photo is never held at full size.
    crop
        Whether to scale and crop to exactly `size`, or leave whatever covers it.
    """
    with _open(encoded) as picture:
        if size is not None:
            turned = "exif" in picture.info and _orientation(picture) >= 5
            picture.draft(None, size if turned else size[::-1])
        picture.load()
        turn = _orientation(picture)  # TIFF is turned by Pillow on loading, which removes the tag
        plain = upright(picture)
    if size is not None and crop:
        plain = cover(plain, size[::-1] if turn >= 5 else size)
    return plain.transpose(_TURNS[turn]) if turn in _TURNS else plain


def upright(picture: Image.Image) -> Image.Image:
    """Any mode of Pillow to L or RGB, transparency over white; orientation is the caller's.

    Examples
    --------
    >>> upright(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
    (255, 255, 255)
    """
    if _is_deep(picture):
        values = np.asarray(picture)
        if not np.isfinite(values).all():
            raise Unreadable("contains NaN or infinite values")
        return Image.fromarray(stretch(values))
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("L" if _is_grey(picture) else "RGB")
    return _as_mode(picture, "L" if _is_grey(picture) else "RGB")


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
    left, top = max(0.0, (picture.width - width * scale) / 2), max(0.0, (picture.height - height * scale) / 2)
    box = (left, top, min(left + width * scale, picture.width), min(top + height * scale, picture.height))
    return picture.resize((width, height), Image.Resampling.BICUBIC, box=box)


def stretch(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Stretch one image of many grey levels to 0..255: any shape -> the same shape.

    The 0.5 percentile becomes 0 and the 99.5 percentile 255, over all channels together; what lies beyond is clipped. A
    constant image becomes 0. Each image is stretched by itself, so it gives the same pixels whatever it is read with.
    Percentiles of an image above a million values are those of every second, third, … value.

    Examples
    --------
    >>> stretch(np.array([[1000, 3000]], dtype=np.uint16)).tolist()
    [[0, 255]]
    """
    sample = image.reshape(-1)[:: max(1, image.size // 2**20)]
    low, high = (float(value) for value in np.percentile(sample, (0.5, 99.5)))
    if high <= low:  # nearly all values are alike: let the few others be seen
        low, high = float(image.min()), float(image.max())
    if high <= low:
        return np.zeros(image.shape, dtype=np.uint8)
    exact = np.float32 if image.dtype.itemsize <= 2 else np.float64
    scaled = (image.astype(exact) - exact(low)) * exact(255.0 / (high - low))
    pixels: npt.NDArray[np.uint8] = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return pixels


def stretched(count: int, of: str) -> str:
    """What is told of images that were stretched.

    >>> stretched(1, "int32")
    'stretched 1 image of int32 to 0..255 (each from its 0.5 to its 99.5 percentile)'
    """
    return f"stretched {plural(count, 'image')} of {of} to 0..255 (each from its 0.5 to its 99.5 percentile)"


def reason_of(error: BaseException, encoded: Encoded) -> str:
    """Why an image could not be read, in words for `skipped`."""
    path = encoded if isinstance(encoded, Path) else None
    if isinstance(error, Unreadable):
        return str(error)
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return _bomb()
    if isinstance(error, FileNotFoundError):
        return "a broken link" if path is not None and path.is_symlink() else "no such file"
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, UnidentifiedImageError):
        if path is not None and path.suffix.lower() in SUFFIXES:
            return f"damaged, or not an image in spite of its name ({path.suffix})"
        return "not an image"
    if isinstance(error, MemoryError):
        return "too large for the memory there is"
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return "a link that leads to itself"
    said = " ".join(str(error).split()) or type(error).__name__
    if "truncated" in said.lower() or isinstance(error, (EOFError, struct.error)):
        return f"truncated ({said})"
    return f"damaged ({said})"


def _as_mode(picture: Image.Image, mode: str) -> Image.Image:
    return picture if picture.mode == mode else picture.convert(mode)  # convert would copy


def _bomb() -> str:
    return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, Pillow's limit against decompression bombs"


def _open(encoded: Encoded) -> Image.Image:
    """Open one image, its bytes not yet decoded."""
    if isinstance(encoded, memoryview):
        if len(encoded) == 0:
            raise Unreadable("empty")
        picture = Image.open(io.BytesIO(encoded), formats=_formats())
    else:
        status = os.stat(encoded)
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise Unreadable("not a regular file")
        if status.st_size == 0:
            raise Unreadable("empty file")
        picture = Image.open(encoded, formats=_formats())
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and picture.width * picture.height > limit:
        picture.close()
        raise Unreadable(_bomb())
    return picture


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged Exif: the picture itself may be whole
        return 1


def _is_deep(picture: Image.Image) -> bool:
    return picture.mode in ("I", "F") or picture.mode.startswith("I;")


def _is_grey(picture: Image.Image) -> bool:
    if picture.mode in ("P", "PA"):
        palette = np.array(picture.getpalette("RGB") or [0, 0, 0], dtype=np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return picture.mode in _GREY or picture.mode.startswith("I;")
