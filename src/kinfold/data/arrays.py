"""Arrays of images or features: how a shape is read, and which numbers become pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from kinfold.data.decode import cover, stretch, stretched
from kinfold.data.store import Array, allocate, is_mapped
from kinfold.errors import InputError
from kinfold.phrases import plural

__all__ = ["Array", "as_channels", "as_pixels", "fit_size", "holds_bytes", "refuse_masked"]

_EXPECTED = "expected (n, h, w), (n, h, w, 1|3), (n, 1|3, h, w), or (n, d) for features"
_CHANNELS = (1, 3)
_BLOCK = 2**24  # values looked at together, so that checks never double the memory


def as_pixels(
    array: Array,
    *,
    shape: tuple[int, ...] | None = None,
    image_size: tuple[int, int] | None = None,
    first: bool = False,
    what: str = "images",
) -> tuple[Array, list[str]]:
    """Read an array as images or feature vectors: any -> (n, c, h, w) or (n, d).

    The layout rule: two axes are features (n, d); three are grey images (n, h, w); four are colour or grey images whose
    channel axis is the one of length 1 or 3. When both the second and the last axis could be channels, the layout that
    gives `shape` wins if only one does; otherwise the last axis is the channels (NumPy's habit), or the second when
    `first` is true (torch's habit).

    The number rule: ``uint8`` stays; ``bool`` becomes 0 and 255; other integers become ``uint8`` unchanged when they
    all lie in 0..255 (``uint16`` never counts as such), otherwise each image is stretched (see `stretch`); floating
    point stays as it is, in ``float32``. Features are always ``float32``.

    Parameters
    ----------
    array
        The numbers. Not modified; the result may be a read-only view of it.
    shape
        The shape each image must get, ``(c, h, w)``, or ``(d,)`` for features.
    image_size
        ``(h, w)`` in pixels; ``None`` keeps the size.
    first
        Whether an ambiguous shape is read channels first.
    what
        The subject of an error's sentence.

    Returns
    -------
    pixels, note
        The images or features, and plain sentences about what was done to them.

    Raises
    ------
    InputError
        For other shapes, no rows, numbers that are not numbers, NaN or infinity.

    Examples
    --------
    >>> pixels, note = as_pixels(np.zeros((5, 28, 28, 3), dtype=np.uint8))
    >>> pixels.shape, note
    ((5, 3, 28, 28), [])
    """
    refuse_masked(array, what)
    array = np.asarray(array)
    note: list[str] = []
    _check_kind(array, what)
    if array.ndim == 2:
        return _vectors(array, shape, image_size, what), note
    images = _channels_first(array, shape, first, what, note)
    if shape is not None and len(shape) != 3:
        raise InputError(
            f"{what} has shape {array.shape}; expected (n, {shape[0]}): features, as the model was fitted on."
        )
    pixels = _as_numbers(images, what, note)
    if shape is not None:
        pixels = as_channels(pixels, shape[0])
        image_size = (shape[1], shape[2])
    if image_size is not None and pixels.shape[2:] != tuple(image_size):
        before = "{} x {}".format(*pixels.shape[2:])
        side = image_size
        pixels = _each(pixels, lambda one: fit_size(one, side), (pixels.shape[1], *side), pixels.dtype)
        note.append(
            f"resized {plural(len(pixels), 'image')} from {before} to {image_size[0]} x {image_size[1]} "
            "(height x width; scaled to cover, centre crop)"
        )
    pixels = pixels.view()
    pixels.flags.writeable = False
    return pixels, note


def refuse_masked(values: Any, what: str) -> None:
    """Check that no value of an array, or of one of its rows, is masked: what lies below a mask means nothing.

    Raises
    ------
    InputError
        When one is.

    Examples
    --------
    >>> refuse_masked(np.ma.masked_greater([[1, 9]], 5), "table")
    Traceback (most recent call last):
    ...
    kinfold.errors.InputError: table has masked values; expected none: fill them, X.filled(0), or leave those rows out.
    """
    parts = values if isinstance(values, (list, tuple)) else [values]
    if any(isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part) for part in parts):
        raise InputError(f"{what} has masked values; expected none: fill them, X.filled(0), or leave those rows out.")


def _check_kind(array: Array, what: str) -> None:
    if array.dtype.kind == "c":
        raise InputError(f"Complex data not supported: {what} has dtype {array.dtype}; expected real numbers.")
    if array.dtype.kind not in "buif":
        raise InputError(f"{what} has dtype {array.dtype}; expected numbers (uint8, another integer, float or bool).")
    if array.ndim not in (2, 3, 4):
        cure = " Reshape your data: X.reshape(-1, 1) for one feature, X[None] for one image." if array.ndim < 2 else ""
        raise InputError(f"{what} has shape {array.shape}; {_EXPECTED}.{cure}")
    if len(array) == 0:
        raise InputError(f"{what} has 0 sample(s) (shape={array.shape}) while a minimum of 1 is required.")
    if 0 in array.shape:
        axis = "0 feature(s)" if array.ndim == 2 else "no pixels"
        raise InputError(f"{what} has {axis} (shape={array.shape}) while a minimum of 1 is required.")


def _vectors(array: Array, shape: tuple[int, ...] | None, image_size: tuple[int, int] | None, what: str) -> Array:
    if shape is not None and len(shape) == 3:
        raise InputError(f"{what} has shape {array.shape}, a feature matrix; expected images of shape {shape}.")
    if shape is not None and array.shape[1] != shape[0]:
        raise InputError(f"{what} has {array.shape[1]} features; expected {shape[0]}, as the model was fitted on.")
    if image_size is not None:
        raise InputError(f"{what} is a feature matrix of shape {array.shape}; image_size applies to images only.")
    return _as_float(array, what)


def _channels_first(array: Array, shape: tuple[int, ...] | None, first: bool, what: str, note: list[str]) -> Array:
    """(n, h, w) or (n, h, w, c) or (n, c, h, w) -> (n, c, h, w), a view."""
    if array.ndim == 3:
        if array.shape[2] in _CHANNELS and min(array.shape[:2]) >= 8:
            raise InputError(
                f"{what} has shape {array.shape}, which looks like one image; use images[None] for one image."
            )
        if shape is not None and len(shape) == 3 and shape[0] in _CHANNELS[1:] and array.shape == shape:
            raise InputError(f"{what} has shape {array.shape}, which is one image; use images[None] for one image.")
        return array[:, None]
    can_first, can_last = array.shape[1] in _CHANNELS, array.shape[3] in _CHANNELS
    if not can_first and not can_last:
        raise InputError(f"{what} has shape {array.shape}; {_EXPECTED}.")
    last = np.moveaxis(array, 3, 1)
    if can_first and can_last:
        fits = [array.shape[1:] == shape, last.shape[1:] == shape]
        if fits[0] != fits[1]:
            first = fits[0]
        layout = "(n, c, h, w)" if first else "(n, h, w, c)"
        if array.shape != last.shape or array.shape[1] != 1:
            note.append(f"shape {array.shape} can be read in two ways; it was read as {layout}")
        return array if first else last
    return array if can_first else last


def _as_numbers(images: Array, what: str, note: list[str]) -> Array:
    """(n, c, h, w) of any number -> the same in uint8 or float32."""
    kind = images.dtype.kind
    if images.dtype == np.uint8:
        return images
    if kind == "b":
        white: Array = images.astype(np.uint8) * np.uint8(255)
        return white
    if kind == "f":
        return _as_float(images, what)
    if holds_bytes(images):
        return images.astype(np.uint8)
    note.append(stretched(len(images), str(images.dtype)))
    return _each(images, stretch, images.shape[1:], np.uint8)


def holds_bytes(pixels: Array) -> bool:
    """Whether integers are bytes, and not values to be stretched; 16 unsigned bits never are.

    Examples
    --------
    >>> holds_bytes(np.array([0, 255])), holds_bytes(np.array([0, 256])), holds_bytes(np.array([7], dtype=np.uint16))
    (True, False, False)
    """
    unsigned16 = (pixels.dtype.kind, pixels.dtype.itemsize) == ("u", 2)  # of either byte order
    return not unsigned16 and int(pixels.min()) >= 0 and int(pixels.max()) <= 255


def _each(images: Array, change: Callable[[Array], Array], shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Change images one by one: (n, ...) -> (n, *shape); what came mapped from a large file goes to a file again."""
    room = (len(images), *shape)
    rows: Array = allocate(room, dtype).rows if is_mapped(images) else np.empty(room, dtype)
    for i, image in enumerate(images):
        rows[i] = change(image)
    return rows


def _as_float(array: Array, what: str) -> Array:
    """Any numbers -> float32 of the same shape, finite; a copy unless it is float32 already."""
    result = array
    if array.dtype != np.float32:
        result = allocate(array.shape, np.float32).rows if is_mapped(array) else np.empty(array.shape, np.float32)
    step = max(1, _BLOCK // max(1, math.prod(array.shape[1:])))
    for start in range(0, len(array), step):
        part = array[start : start + step]
        if result is not array:
            with np.errstate(over="ignore"):  # what overflows is found below
                result[start : start + step] = part
            part = result[start : start + step]
        good = np.isfinite(part).reshape(len(part), -1).all(axis=1)
        if not good.all():
            row = start + int(np.argmin(good))
            raise InputError(
                f"{what} contains NaN, infinity or a value too large for dtype('float32') (first in row {row}); "
                "remove or fill those rows."
            )
    return result


def as_channels(pixels: Array, channels: int) -> Array:
    """Grey to RGB by repetition, or RGB to grey by luma 0.299, 0.587, 0.114: (..., c, h, w) -> (..., channels, h, w).

    Examples
    --------
    >>> as_channels(np.zeros((2, 1, 4, 4), dtype=np.uint8), 3).shape
    (2, 3, 4, 4)
    """
    have = pixels.shape[-3]
    if have == channels:
        return pixels
    if (have, channels) == (1, 3):
        return np.repeat(pixels, 3, axis=-3)
    if (have, channels) != (3, 1):
        raise InputError(f"images have {have} channels; expected {channels}, as the model was fitted on.")
    red, green, blue = pixels[..., 0, :, :], pixels[..., 1, :, :], pixels[..., 2, :, :]
    if pixels.dtype == np.uint8:  # the integers Pillow uses, so that arrays and files agree to the last bit
        grey: Array = (
            red * np.uint32(19595) + green * np.uint32(38470) + blue * np.uint32(7471) + np.uint32(0x8000)
        ) >> 16
        return grey.astype(np.uint8)[..., None, :, :]
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    return grey.astype(np.float32)[..., None, :, :]


def fit_size(image: Array, size: tuple[int, int]) -> Array:
    """Scale one image to cover `size` and crop the centre: (c, h, w) -> (c, *size).

    Examples
    --------
    >>> fit_size(np.ones((3, 20, 40), dtype=np.float32), (10, 10)).shape
    (3, 10, 10)
    """
    if image.shape[1:] == tuple(size):
        return image
    if image.dtype == np.uint8 and image.shape[0] == 3:
        planes = np.asarray(cover(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))), size))
        fitted: Array = planes.transpose(2, 0, 1)
    else:
        fitted = np.stack([np.asarray(cover(Image.fromarray(np.ascontiguousarray(plane)), size)) for plane in image])
        fitted = np.clip(fitted, image.min(), image.max())  # bicubic overshoots at edges: 0..1 would not stay 0..1
    return fitted
