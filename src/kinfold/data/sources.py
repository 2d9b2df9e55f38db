"""What a source is, told apart and read."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from kinfold.data import archives
from kinfold.data.arrays import Array, as_pixels, refuse_masked
from kinfold.data.decode import read_header
from kinfold.data.features import FeatureShards, is_features
from kinfold.data.folder import Found, at_home, find, listed, read_list
from kinfold.data.images import Images, ReadingProgress, Skipped
from kinfold.data.items import read_items
from kinfold.data.rows import read_found
from kinfold.data.shards import expand, is_shards, spooled
from kinfold.data.store import allocate
from kinfold.errors import InputError
from kinfold.phrases import plural

__all__ = ["read"]

_EXPECTED = (
    "a folder, an image, a list of paths (.txt, .csv), .npz, .npy, .h5, .tar shards, a folder of features, "
    "torchvision:NAME, an array, a tensor or a torch Dataset"
)


@dataclass(frozen=True)
class _Reading:
    """What every way of reading is told."""

    shape: tuple[int, ...] | None
    image_size: tuple[int, int] | None
    cache: str | os.PathLike[str] | None
    progress: ReadingProgress | None

    def files(
        self, found: Sequence[Found], skipped: Sequence[Skipped], source: str
    ) -> tuple[Images, npt.NDArray[np.int64]]:
        return read_found(
            found,
            skipped,
            source=source,
            shape=self.shape,
            image_size=self.image_size,
            cache=self.cache,
            progress=self.progress,
        )

    def items(self, dataset: Any, source: str) -> tuple[Images, Sequence[int]]:
        return read_items(
            dataset,
            source=source,
            shape=self.shape,
            image_size=self.image_size,
            cache=self.cache,
            progress=self.progress,
        )

    def array(self, array: Array, source: str, *, what: str = "images", first: bool = False) -> Images:
        pixels, note = as_pixels(array, shape=self.shape, image_size=self.image_size, first=first, what=what)
        return Images(pixels, source=source, note=note)


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
    size = _size(image_size)
    if isinstance(source, Images):
        if shape is None and size is not None and not source.is_vectors:
            shape = (source.shape[0], *size)
        if labels is None and (shape is None or source.shape == tuple(shape)):
            return source
    told = _Reading(None if shape is None else tuple(shape), None if shape is not None else size, cache, progress)
    images, kept = _dispatch(source, told)
    if labels is not None:
        _label(images, labels, kept)
    if progress is not None:
        for sentence in images.note:
            progress.say(sentence)
    return images


def _dispatch(source: Any, told: _Reading) -> tuple[Images, Sequence[int] | npt.NDArray[np.int64] | None]:
    """Images, and for a list of candidates the position of each among them."""
    if isinstance(source, Images):
        return _again(source, told), None
    if isinstance(source, str) and source == "":
        raise InputError(f"images came as an empty name, perhaps of a variable that is not set; expected {_EXPECTED}.")
    if isinstance(source, str) and source.startswith("torchvision:"):
        return told.items(archives.open_torchvision(source), source)
    if isinstance(source, (str, os.PathLike)) and is_shards(source):
        return _from_shards(source, told), None
    if isinstance(source, (str, os.PathLike)):
        path = at_home(source)
        return (_from_features(path, told), None) if is_features(path) else _from_path(path, told)
    if isinstance(source, torch.Tensor):
        if source.layout != torch.strided:
            raise InputError("a sparse tensor came; expected a dense one: use X.to_dense().")
        tensor = source.detach().cpu()
        array = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        return told.array(array, f"tensor {tuple(array.shape)}", first=True), None
    if isinstance(source, (list, tuple)) and len(source) > 0:
        return _from_list(source, told)
    if hasattr(source, "__array__") or isinstance(source, (list, tuple)):
        return _from_array(source, told), None
    if hasattr(source, "toarray"):
        raise InputError("Sparse data was passed; expected a dense array: use X.toarray() to convert it.")
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return told.items(source, type(source).__name__)
    if isinstance(source, torch.utils.data.IterableDataset):
        return told.items(source, type(source).__name__)
    raise InputError(f"images came as a {type(source).__name__}; expected {_EXPECTED}.")


def _from_path(path: Path, told: _Reading) -> tuple[Images, Sequence[int] | npt.NDArray[np.int64] | None]:
    name = path.name or path.resolve().name or "/"
    suffix = path.suffix.lower()
    if path.is_dir():
        found, skipped = find(path)
        return told.files(found, skipped, name)[0], None
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; expected {_EXPECTED}.")
    if suffix == ".npz":
        return _from_npz(path, told)
    if suffix == ".npy":
        return told.array(archives.read_npy(path), name, what=name), None
    if suffix in (".h5", ".hdf5", ".hdf"):
        array, known = archives.read_hdf5(path)
        return _with_labels(told.array(array, name, what=f"data in {name}", first=True), known, name), None
    if suffix in (".txt", ".csv"):
        paths = read_list(path)
        if not paths:
            raise InputError(f"{name} lists no path; expected one path a line.")
        return _from_list_file(listed(paths, path.parent), name, told)
    try:
        read_header(path)
    except Exception as error:  # nearly anything, from a file that is no image
        raise InputError(f"{name} is nothing Kinfold reads; expected {_EXPECTED}.") from error
    return told.files(listed([path]), [], name)


def _from_list_file(found: list[Found], name: str, told: _Reading) -> tuple[Images, npt.NDArray[np.int64]]:
    """Images of listed files, with a note that says where relative paths begin if files are missing."""
    images, kept = told.files(found, [], name)
    gone = sum(one.reason == "no such file" for one in images.skipped)
    if gone:
        images.note.append(f"{name}: {plural(gone, 'file')} not there (relative paths begin at the folder of {name})")
    return images, kept


def _from_shards(source: str | os.PathLike[str], told: _Reading) -> Images:
    found, labels, skipped = spooled(expand(source), told.progress)
    name = str(source)
    if not found:
        raise InputError(f"{name} holds no picture; expected JPEG, PNG, WebP, BMP, GIF or TIFF members.")
    images, kept = told.files(found, skipped, name)
    known = [text for i in kept if (text := labels[i]) is not None]
    return _with_texts(images, known)


def _from_features(folder: Path, told: _Reading) -> Images:
    """Features in memory or, beyond the budget, in a temporary file, as float32."""
    shards = FeatureShards(folder)
    n, d = shards.shape
    if n == 0:
        raise InputError(f"{folder.name} holds no features: every image was skipped when they were made.")
    if told.shape is not None and told.shape != (d,):
        raise InputError(f"{folder.name} has {d} features; expected {told.shape}, as the model was fitted on.")
    shards.verify(told.progress)
    rows = allocate((n, d), np.float32).rows
    for start, block in shards.blocks():
        rows[start : start + len(block)] = block
    rows.flags.writeable = False
    names, texts = (list(column) for column in zip(*shards.table(), strict=True))
    made = str(shards.about["model"]["name"])
    images = Images(rows, names=names, source=folder.name, note=[f"features of {made} from {shards.about['source']}"])
    return _with_texts(images, [text for text in texts if text])


def _with_texts(images: Images, texts: list[str]) -> Images:
    """Give images their classes, which came as text, when all have one: numbers stay the numbers they are."""
    if len(texts) == len(images):
        numbers = all(text.isdecimal() for text in texts)
        given = np.array([int(text) for text in texts]) if numbers else np.array(texts)
        images.labels, images.label_names = _classes(given, len(images), f"labels in {images.source}")
    return images


def _from_npz(path: Path, told: _Reading) -> tuple[Images, npt.NDArray[np.int64] | None]:
    parts = archives.read_npz(path)
    if parts.blobs is None:
        return _with_labels(
            told.array(parts.images, path.name, what=f"images in {path.name}"), parts.labels, path.name
        ), None
    found = [Found(str(i), blob) for i, blob in enumerate(parts.blobs)]
    images, kept = told.files(found, [], path.name)
    if parts.labels is not None and len(parts.labels) == len(found):
        parts.labels = parts.labels[kept]
    return _with_labels(images, parts.labels, path.name), kept


def _from_list(source: Sequence[Any], told: _Reading) -> tuple[Images, Sequence[int] | npt.NDArray[np.int64] | None]:
    if all(isinstance(one, (str, os.PathLike)) for one in source):
        return told.files(listed(source), [], f"list of {len(source)} paths")
    if isinstance(source[0], (Image.Image, torch.Tensor, tuple)) or (
        isinstance(source[0], np.ndarray) and source[0].ndim > 1
    ):
        return told.items(source, f"list of {len(source)} images")
    return _from_array(source, told), None


def _from_array(source: Any, told: _Reading) -> Images:
    refuse_masked(source, "the array" if hasattr(source, "ndim") else f"the {type(source).__name__}")
    try:
        array = np.asanyarray(source)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"images came as a {type(source).__name__} that is no array of numbers ({error}); expected {_EXPECTED}."
        ) from error
    return told.array(array, f"array {tuple(array.shape)}")


def _again(images: Images, told: _Reading) -> Images:
    """Images that were read before, in another shape or with other labels."""
    if told.shape is None or images.shape == told.shape:
        return copy.copy(images)
    if images.paths is not None:  # the files give more detail than what was decoded from them
        found = [Found(name, path) for name, path in zip(images.names, images.paths, strict=True)]
        again, kept = told.files(found, images.skipped, images.source)
        if images.labels is not None:
            again.labels, again.label_names = images.labels[kept], images.label_names
        return again
    pixels, note = as_pixels(images.pixels, shape=told.shape, first=True, what=images.source)
    return Images(
        pixels,
        names=images.names,
        labels=images.labels,
        label_names=images.label_names,
        skipped=images.skipped,
        source=images.source,
        note=[*images.note, *note],
    )


def _with_labels(images: Images, labels: Array | None, name: str) -> Images:
    if labels is not None:
        images.labels, images.label_names = _classes(labels, len(images), f"labels in {name}")
    return images


def _label(images: Images, labels: Any, kept: Sequence[int] | npt.NDArray[np.int64] | None) -> None:
    """Give images the classes that were asked for."""
    if isinstance(labels, str):
        if labels != "from-folders":
            raise InputError(f"labels is {labels!r}; expected 'from-folders', an array of one label an image, or None.")
        if images.paths is None:
            raise InputError(f"labels='from-folders' needs files in folders; {images.source} has none.")
        tops = [name.split("/")[0] if "/" in name else "." for name in images.names]
        if set(tops) == {"."}:
            raise InputError(f"labels='from-folders' needs class folders; all images lie directly in {images.source}.")
        images.labels, images.label_names = _classes(np.array(tops), len(images), "labels")
        return
    given = np.asarray(labels.detach().cpu() if isinstance(labels, torch.Tensor) else labels)
    if kept is not None and given.ndim == 1 and len(given) != len(images) and len(kept) and len(given) > max(kept):
        given = given[np.asarray(kept)]  # one label for each candidate: those that could be read
    images.labels, images.label_names = _classes(given, len(images), "labels")


def _classes(labels: Array, n: int, what: str) -> tuple[npt.NDArray[np.int64], list[str] | None]:
    """Labels as whole numbers, and the names of classes that came as text: (n,) -> (n,)."""
    labels = np.asarray(labels)
    if labels.ndim == 2 and 1 in labels.shape:  # a column, as Matlab and HDF5 files hold
        labels = labels.ravel()
    if labels.shape != (n,):
        raise InputError(f"{what} has shape {labels.shape}; expected ({n},), one for each image.")
    if labels.dtype.kind in "USO":
        names, numbers = np.unique(labels.astype(str), return_inverse=True)
        return numbers.ravel().astype(np.int64), [str(name) for name in names]
    if labels.dtype.kind not in "buif" or not np.array_equal(labels, np.floor(labels)):
        raise InputError(
            f"{what} holds values that are no whole numbers; expected one class an image, as integers or text."
        )
    return labels.astype(np.int64), None


def _size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    sides = tuple(image_size) if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    if len(sides) != 2 or not all(isinstance(side, (int, np.integer)) and side > 0 for side in sides):
        raise InputError(f"image_size is {image_size!r}; expected a number of pixels, or (height, width).")
    return int(sides[0]), int(sides[1])
