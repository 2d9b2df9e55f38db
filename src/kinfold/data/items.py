"""Any torch Dataset, or list of pictures, to pixels of one shape."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image

from kinfold.data.arrays import Array, as_channels, as_pixels, fit_size, holds_bytes
from kinfold.data.decode import stretched, upright
from kinfold.data.images import Images, ReadingProgress, Skipped, digest
from kinfold.data.rows import DEFAULT_SIDE
from kinfold.data.store import allocate, as_folder
from kinfold.errors import InputError
from kinfold.phrases import plural

__all__ = ["read_items"]

_EXPECTED = "expected an image (PIL, tensor or array) or (image, label)"


class _NewPlan(Exception):
    """An item does not fit the shape planned from those before; begin again with this one."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape)
        self.shape = shape


def read_items(
    dataset: Any,
    *,
    source: str,
    shape: tuple[int, ...] | None = None,
    image_size: tuple[int, int] | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: ReadingProgress | None = None,
) -> tuple[Images, list[int]]:
    """Read every item of a Dataset, one after another, straight into rows of one shape.

    The rule for sizes is that of files: items that share one size are kept (pictures of PIL up to 128 x 128, tensors
    of any size), else the shorter side is resized to 128 and the centre kept. The shape is planned from the first
    item; an item that breaks the plan begins the reading again, at most three times, so memory never holds more than
    the result.

    Parameters
    ----------
    dataset
        Anything with ``len`` and items by position, or an iterable that can be gone through more than once.

    Returns
    -------
    images, kept
        The images, named by their position in the dataset, and these positions.

    Raises
    ------
    InputError
        When there is no item, or an item is nothing like an image.
    """
    total = len(dataset) if hasattr(dataset, "__len__") else sum(1 for _ in dataset)
    if total == 0:
        raise InputError(f"{source} has no items; expected at least one image.")
    plan = shape
    while True:
        try:
            return _read(dataset, total, plan, shape, image_size, source, cache, progress)
        except _NewPlan as broken:
            plan = broken.shape


def _read(
    dataset: Any,
    total: int,
    plan: tuple[int, ...] | None,
    shape: tuple[int, ...] | None,
    image_size: tuple[int, int] | None,
    source: str,
    cache: str | os.PathLike[str] | None,
    progress: ReadingProgress | None,
) -> tuple[Images, list[int]]:
    store = None
    kept: list[int] = []
    labels: list[int | None] = []
    digests: list[Array] = []
    skipped: list[Skipped] = []
    resized = 0
    deeper: bool | None = None
    if progress is not None:
        progress.phase("reading the data set", total)
    try:
        for i, item in _items(dataset, total):
            if isinstance(item, Exception):
                skipped.append(Skipped(str(i), f"{type(item).__name__}: {' '.join(str(item).split())}"))
                continue
            image, label = _split(item)
            deep = _is_deep(image)
            if deep is not None and deep != deeper:
                if deeper is not None:
                    raise InputError(
                        f"item {i} of {source} holds integers {_KINDS[deep]}, those before it {_KINDS[deeper]}; "
                        "expected one kind in all items: give uint8, or floating point."
                    )
                deeper = deep
            pixels, changed = _pixels(image, plan, shape, image_size, f"item {i} of {source}")
            if store is None:
                plan = pixels.shape
                store = allocate((total, *plan), pixels.dtype, as_folder(cache))
            if pixels.dtype != store.rows.dtype:
                raise InputError(
                    f"item {i} of {source} is {pixels.dtype}, those before {store.rows.dtype}; expected one type."
                )
            store.rows[i] = pixels
            kept.append(i)
            labels.append(label)
            digests.append(digest(store.rows[i]))
            resized += changed
            if progress is not None:
                progress.advance()
        if store is None:
            first = skipped[0].reason if skipped else "it gave none"
            raise InputError(f"{source} has no readable item among {total} (the first: {first}); {_EXPECTED}.")
    except BaseException:
        if store is not None:
            store.discard()
        raise
    finally:
        if progress is not None:
            progress.done()
    rows = store.trim(np.array(kept, dtype=np.int64))
    if store.path is not None:  # nothing tells whether a Dataset changed, so its pixels are not kept for later runs
        store.discard()
    rows.flags.writeable = False
    known = np.array(labels, dtype=np.int64) if all(label is not None for label in labels) else None
    note = []
    if deeper:
        note.append(stretched(len(kept), "integers beyond bytes"))
    if resized:
        note.append(
            f"resized {plural(resized, 'image')} to {rows.shape[2]} x {rows.shape[3]} (scaled to cover, centre crop)"
        )
    images = Images(
        rows,
        names=[str(i) for i in kept],
        labels=known,
        label_names=_classes(dataset, known),
        skipped=skipped,
        source=source,
        note=note,
        digests=np.stack(digests),
    )
    return images, kept


def _items(dataset: Any, total: int) -> Iterator[tuple[int, Any]]:
    """Position and item, or the error in place of an item that cannot be read."""
    if not hasattr(dataset, "__len__"):
        yield from zip(range(total), dataset, strict=False)
        return
    for i in range(total):
        try:
            yield i, dataset[i]
        except Exception as error:  # whatever the Dataset's own code meets: a damaged file, for one
            yield i, error


def _split(item: Any) -> tuple[Any, int | None]:
    if isinstance(item, (tuple, list)) and item and not np.isscalar(item[0]):
        label = item[1] if len(item) > 1 else None
        if isinstance(label, (torch.Tensor, np.ndarray)) and np.asarray(label).size == 1:
            label = label.item()
        return item[0], int(label) if isinstance(label, (int, np.integer)) else None
    return item, None


_KINDS = {True: "beyond bytes", False: "that are bytes"}


def _is_deep(image: Any) -> bool | None:
    """Whether an item of integers is no byte image; None for other items, which need no such decision."""
    array = _array(image)
    if array is None or array.ndim == 1 or array.dtype.kind not in "iu" or array.dtype == np.uint8 or array.size == 0:
        return None
    return not holds_bytes(array)


def _array(image: Any) -> Array | None:
    """A tensor or an array as an array, None for anything else."""
    if isinstance(image, torch.Tensor):
        return image.detach().cpu().numpy()
    return image if isinstance(image, np.ndarray) else None


def _pixels(
    image: Any,
    plan: tuple[int, ...] | None,
    shape: tuple[int, ...] | None,
    image_size: tuple[int, int] | None,
    what: str,
) -> tuple[Array, bool]:
    """One item in the shape planned: -> (c, h, w) or (d,), and whether it was resized."""
    array, picture = _array(image), isinstance(image, Image.Image)
    if isinstance(image, Image.Image):
        plain = upright(image)
        pixels = np.asarray(plain)[None] if plain.mode == "L" else np.asarray(plain).transpose(2, 0, 1)
    elif array is not None and array.ndim in (1, 2, 3):
        wanted = shape if shape is not None and len(shape) == array.ndim else None
        pixels = as_pixels(array[None], first=isinstance(image, torch.Tensor), what=what)[0][0]
        if wanted is not None and pixels.ndim == 1 and pixels.shape != wanted:
            raise InputError(f"{what} has {len(pixels)} features; expected {wanted[0]}, as the model was fitted on.")
    else:
        raise InputError(f"{what} is {_described(image)}; {_EXPECTED}.")
    if pixels.ndim == 1 or (plan is not None and len(plan) == 1):
        if plan is not None and pixels.shape != plan:
            raise InputError(f"{what} has shape {tuple(pixels.shape)}; expected {tuple(plan)}, as those before it.")
        return pixels, False
    if plan is None:
        plan = (pixels.shape[0], *_first_size(pixels, image_size, picture))
    if shape is None and pixels.shape[0] == 3 and plan[0] == 1:
        raise _NewPlan((3, *plan[1:]))
    side = (plan[1], plan[2])
    if shape is None and image_size is None and pixels.shape[1:] != side and side != (DEFAULT_SIDE, DEFAULT_SIDE):
        raise _NewPlan((plan[0], DEFAULT_SIDE, DEFAULT_SIDE))
    return as_channels(fit_size(pixels, side), plan[0]), pixels.shape[1:] != side


def _first_size(pixels: Array, image_size: tuple[int, int] | None, picture: bool) -> tuple[int, int]:
    if image_size is not None:
        return image_size
    if picture and max(pixels.shape[1:]) > DEFAULT_SIDE:
        return DEFAULT_SIDE, DEFAULT_SIDE
    return pixels.shape[1], pixels.shape[2]


def _classes(dataset: Any, labels: Array | None) -> list[str] | None:
    names = getattr(dataset, "classes", None)
    if labels is None or not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        return None
    return list(names) if labels.min() >= 0 and labels.max() < len(names) else None


def _described(image: Any) -> str:
    shape = getattr(image, "shape", None)
    return f"a {type(image).__name__}" + (f" of shape {tuple(shape)}" if shape is not None else "")
