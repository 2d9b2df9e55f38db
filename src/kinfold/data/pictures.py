"""Pictures that keep their own sizes, for methods that answer for every pixel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from kinfold.data.decode import load_picture, reason_of, upright
from kinfold.data.folder import find, listed
from kinfold.data.images import Images
from kinfold.errors import InputError

__all__ = ["as_pictures"]

Array = npt.NDArray[Any]


def as_pictures(source: Any, *, channels: int | None = None) -> list[Tensor]:
    """Read pictures of any sizes ``-> n of (c, h, w)``, bytes or float32.

    Parameters
    ----------
    source
        One file or a folder of files; an array or tensor ``(h, w)``, ``(h, w, 1|3)``, ``(n, h, w)``, ``(n, h, w, 1|3)``
        or ``(n, 1|3, h, w)``; `Images`; or a list of paths, Pillow pictures and arrays ``(h, w)`` or ``(h, w, 1|3)``.
        Files are decoded at full size.
    channels
        1 or 3, as the fitted pictures had; None takes 3 if any has 3.

    Raises
    ------
    InputError
        If there is no picture, or one cannot be read, has another shape, or holds NaN.

    Examples
    --------
    >>> [tuple(p.shape) for p in as_pictures([np.zeros((20, 30)), np.zeros((16, 16, 3), dtype=np.uint8)])]
    [(3, 20, 30), (3, 16, 16)]
    """
    found = [_checked(each, i) for i, each in enumerate(_each(source))]
    if not found:
        raise InputError("no picture came; expected at least one.")
    wanted = max(len(each) for each in found) if channels is None else channels
    return [_with_channels(torch.from_numpy(np.array(each, order="C")), wanted) for each in found]


def _each(source: Any) -> list[Array]:
    """One array a picture, channels first."""
    if isinstance(source, Images):
        return list(source.pixels)
    if isinstance(source, (str, os.PathLike)):
        if source == "":
            raise InputError("pictures came as an empty name, perhaps of a variable that is not set; expected a path.")
        path = Path(source)
        entries = find(path)[0] if path.is_dir() else listed([path])
        return [_decoded(entry.encoded, entry.name) for entry in entries]
    if isinstance(source, Image.Image):
        return [_channels_first(np.asarray(upright(source)))]
    if isinstance(source, (list, tuple)):
        return [picture for each in source for picture in _one(each)]
    return _split(_numbers(source))


def _one(each: Any) -> Sequence[Array]:
    if isinstance(each, (str, os.PathLike, Image.Image)):
        found = _each(each)
        if len(found) != 1:
            raise InputError(f"{each} holds {len(found)} pictures; expected a list of files, or one folder.")
        return found
    array = _numbers(each)
    if array.ndim == 3 and array.shape[2] not in (1, 3) and array.shape[0] in (1, 3):
        return [array]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise InputError(f"a picture has shape {array.shape}; expected (h, w), (h, w, 1|3) or (1|3, h, w).")
    return [_channels_first(array)]


def _split(array: Array) -> list[Array]:
    """Pictures of one array; a last axis of 1 or 3 is colour."""
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3)):
        return [_channels_first(array)]
    if array.ndim == 3:
        return [each[None] for each in array]
    if array.ndim == 4 and array.shape[3] in (1, 3):
        return [_channels_first(each) for each in array]
    if array.ndim == 4 and array.shape[1] in (1, 3):
        return list(array)
    raise InputError(
        f"pictures have shape {array.shape}; expected (h, w), (h, w, 1|3), (n, h, w), (n, h, w, 1|3) or (n, 1|3, h, w)."
    )


def _numbers(values: Any) -> Array:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise InputError(f"a picture holds {array.dtype}; expected numbers, a path or a Pillow picture.")
    return array if array.dtype == np.uint8 else array.astype(np.float32)


def _decoded(encoded: Any, name: str) -> Array:
    try:
        return _channels_first(np.asarray(load_picture(encoded)))
    except Exception as error:  # Pillow raises anything on damaged files
        raise InputError(f"{name} cannot be read: {reason_of(error, encoded)}; take it out.") from error


def _channels_first(array: Array) -> Array:
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _checked(array: Array, i: int) -> Array:
    if array.size == 0:
        raise InputError(f"picture {i} has shape {array.shape}; expected pixels.")
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        raise InputError(f"picture {i} contains NaN or infinity; replace those values first.")
    return array


def _with_channels(picture: Tensor, channels: int) -> Tensor:
    if len(picture) == channels:
        return picture
    if channels == 3:
        return picture.expand(3, -1, -1).contiguous()
    grey = (picture.float() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0, keepdim=True)
    return grey.round().to(torch.uint8) if picture.dtype == torch.uint8 else grey
