"""Files that hold many images (.npz, .npy, HDF5), and torchvision's data sets by name."""

from __future__ import annotations

import inspect
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kinfold.data.arrays import Array
from kinfold.data.store import MEMORY_BUDGET, allocate
from kinfold.errors import InputError

__all__ = ["Parts", "data_root", "open_torchvision", "read_hdf5", "read_npy", "read_npz"]

_BLOCK = 2**26  # bytes copied at a time
_NAMES = ("images", "features", "data", "x", "X", "embedding")


@dataclass
class Parts:
    """What an archive holds: an array of images or features, or one encoded image after another; labels if any."""

    images: Array
    labels: Array | None = None
    blobs: Sequence[memoryview] | None = None


def read_npz(path: Path) -> Parts:
    """Read ``images`` (or ``features``, ``data``, or the only array) and, if there, ``labels``; never pickled objects.

    An archive with ``jpeg`` (bytes, one image after another), ``offsets`` (n + 1) and ``labels`` is read too.

    Raises
    ------
    InputError
        When the archive is damaged, holds objects, or none of these arrays.
    """
    expected = "expected an array called images, or features, and optionally labels"
    try:
        with zipfile.ZipFile(path) as archive:
            keys = [name[: -len(".npy")] for name in archive.namelist() if name.endswith(".npy")]
            others = [key for key in keys if key != "labels"]
            only = others if len(others) == 1 else []
            wanted = [key for key in keys if key in (*_NAMES, *only, "labels", "jpeg", "offsets")]
            arrays = {key: _member(archive, key) for key in wanted}
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds on damaged archives
        raise InputError(_damaged(path, error, expected)) from error
    labels = arrays.pop("labels", None)
    if {"jpeg", "offsets"} <= arrays.keys():
        return Parts(arrays["jpeg"], labels, _blobs(path, arrays["jpeg"], arrays["offsets"]))
    name = next((key for key in (*_NAMES, *only) if key in arrays), None)
    if name is None:
        raise InputError(f"{path.name} holds {', '.join(keys) or 'nothing'}; {expected}.")
    return Parts(arrays[name], labels)


def _member(archive: zipfile.ZipFile, key: str) -> Array:
    """One array of an archive. Unlike `numpy.load`, this reads on to the checksum, so that no damage passes unseen."""
    with archive.open(f"{key}.npy") as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
        while file.read(2**20):
            pass
    return array


def read_npy(path: Path) -> Array:
    """Open an array on disk without loading it; never pickled objects.

    Raises
    ------
    InputError
        When the file is damaged or holds objects.
    """
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy raises many kinds on damaged files
        raise InputError(_damaged(path, error, "expected an array of images or features")) from error
    return array


def read_hdf5(path: Path) -> tuple[Array, Array | None]:
    """Read ``data`` (n, c, h, w) and, if there, ``labels`` of an HDF5 file, as JULE's original code stores them.

    Raises
    ------
    InputError
        When h5py is missing, or the file is damaged or lacks ``data``.
    """
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"reading {path.name} needs h5py, which is not installed; pip install 'kinfold[hdf5]'."
        ) from error
    expected = "expected data (n, c, h, w) and optionally labels (n,)"
    try:
        with h5py.File(path, "r") as file:
            keys = list(file)
            if not isinstance(file.get("data"), h5py.Dataset):
                raise InputError(f"{path.name} holds {', '.join(keys) or 'nothing'}; {expected}.")
            labels = np.asarray(file["labels"]) if isinstance(file.get("labels"), h5py.Dataset) else None
            return _copy(file["data"]), labels
    except InputError:
        raise
    except Exception as error:  # h5py raises many kinds on damaged files
        raise InputError(_damaged(path, error, expected)) from error


def data_root() -> Path:
    """Where data sets by name are looked for: the folder in ``KINFOLD_DATA``, else ``~/.cache/kinfold``."""
    given = os.environ.get("KINFOLD_DATA")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "kinfold"


def open_torchvision(source: str) -> Any:
    """Open ``torchvision:NAME`` or ``torchvision:NAME:SPLIT``, which must be on disk already: nothing is downloaded.

    Raises
    ------
    InputError
        When there is no such data set, or it is not below `data_root`; the sentence says how to download it.
    """
    from torchvision import datasets

    _, name, *rest = source.split(":")
    kind = getattr(datasets, name, None)
    if not callable(kind) or name.startswith("_") or name not in datasets.__all__:
        near = [known for known in datasets.__all__ if known.lower() == name.lower()]
        cure = f"did you mean torchvision:{near[0]}?" if near else "expected one of torchvision.datasets, such as MNIST"
        raise InputError(f"torchvision has no data set called {name!r}; {cure}.")
    known = inspect.signature(kind).parameters
    root = data_root()
    options: dict[str, Any] = {"root": str(root)} if "root" in known else {}
    if "download" in known:
        options["download"] = False
    if rest:
        options |= _split_option(source, rest[0], known)
    try:
        return kind(**options)
    except Exception as error:  # each data set has its own way to say that files are missing
        said = " ".join(str(error).split()).rstrip(".")
        more = ", ".join(f"{key}={value!r}" for key, value in options.items() if key not in ("root", "download"))
        call = f"torchvision.datasets.{name}({str(root)!r}, {more + ', ' if more else ''}download=True)"
        cure = f"run {call} once" if "download" in known else "put its files there"
        raise InputError(
            f"{source} could not be opened below {root} ({said}); "
            f"Kinfold downloads nothing by itself: {cure}, or set KINFOLD_DATA."
        ) from error


def _split_option(source: str, split: str, known: Any) -> dict[str, Any]:
    if "split" in known:
        return {"split": split}
    if "train" in known and split in ("train", "test"):
        return {"train": split == "train"}
    raise InputError(
        f"{source} asks for the split {split!r}, which this data set does not have; leave it out, or use train or test."
    )


def _blobs(path: Path, content: npt.NDArray[np.uint8], offsets: Array) -> list[memoryview]:
    good = content.dtype == np.uint8 and content.ndim == 1 and offsets.dtype.kind in "iu" and offsets.ndim == 1
    if not good or len(offsets) < 2 or offsets[0] < 0 or (np.diff(offsets) < 0).any() or offsets[-1] > len(content):
        raise InputError(
            f"{path.name}: jpeg and offsets do not fit; expected bytes and n + 1 ascending positions in them."
        )
    whole = np.ascontiguousarray(content).data
    return [whole[start:stop] for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]


def _copy(data: Any) -> Array:
    """An HDF5 array, in memory or, beyond the budget, in a temporary file."""
    if data.size * data.dtype.itemsize <= MEMORY_BUDGET or data.ndim == 0:
        return np.asarray(data[()])
    rows = allocate(data.shape, data.dtype).rows
    step = max(1, _BLOCK // max(1, rows[0].nbytes))
    for start in range(0, len(rows), step):
        rows[start : start + step] = data[start : start + step]
    return rows


def _damaged(path: Path, error: BaseException, expected: str) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, PermissionError):
        return f"{path.name} could not be opened: permission denied."
    if "pickle" in said or "Python objects" in said:
        return f"{path.name} holds Python objects, which Kinfold never loads; {expected}, saved as numbers."
    return f"{path.name} could not be read ({said}); {expected}."
