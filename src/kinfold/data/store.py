"""Where decoded pixels live: in memory up to a budget, beyond it in a file mapped into memory."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kinfold.errors import InputError, KinfoldError
from kinfold.files import write_bytes

__all__ = ["MEMORY_BUDGET", "Array", "Store", "allocate", "as_folder", "is_mapped", "load"]

Array = npt.NDArray[Any]

MEMORY_BUDGET = 2**30
"""Bytes of pixels kept in memory; more are mapped from a file."""


@dataclass
class Store:
    """Room for n rows of pixels, to be filled, then trimmed and kept."""

    rows: Array
    path: Path | None = None  # a file with a name, when it can become a cache

    def trim(self, kept: npt.NDArray[np.int64]) -> Array:
        """Close the gaps of rows that could not be read, in place: keep `kept`, ascending."""
        if len(kept) < len(self.rows):
            for to, row in enumerate(kept):
                if to != row:
                    self.rows[to] = self.rows[row]
            self.rows = self.rows[: len(kept)]
        return self.rows

    def keep(self, folder: Path, key: str, facts: dict[str, Any], digests: npt.NDArray[np.uint8]) -> None:
        """Give the file its final name, with what is needed to read it again.

        The JSON file comes last and each file is renamed into place whole, so a killed run leaves no cache that looks
        complete.
        """
        if self.path is None:
            return
        if isinstance(self.rows, np.memmap):
            self.rows.flush()
        os.replace(self.path, folder / f"pixels-{key}.bin")
        self.path = None
        write_bytes(folder / f"pixels-{key}.digests", digests.tobytes())
        facts = facts | {"shape": list(self.rows.shape), "dtype": self.rows.dtype.str}
        write_bytes(folder / f"pixels-{key}.json", json.dumps(facts).encode())

    def discard(self) -> None:
        """Remove the file, if it was not kept."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
            self.path = None


def allocate(shape: tuple[int, ...], dtype: npt.DTypeLike, cache: Path | None = None) -> Store:
    """Make room for rows: in memory when they fit the budget, else in a file below `cache` or a temporary one.

    The temporary file has no name: the system removes it when the process ends, however it ends.

    Raises
    ------
    KinfoldError
        When the disk has no room.

    Examples
    --------
    >>> allocate((2, 3), np.uint8).rows.tolist()
    [[0, 0, 0], [0, 0, 0]]
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= MEMORY_BUDGET:
        return Store(np.zeros(shape, dtype=dtype))
    place = tempfile.gettempdir() if cache is None else str(cache)
    try:
        if cache is None:
            with tempfile.TemporaryFile(prefix="kinfold-") as file:
                _reserve(file.fileno(), size)
                return Store(np.memmap(file, dtype=dtype, mode="r+", shape=shape))
        cache.mkdir(parents=True, exist_ok=True)
        _sweep(cache)
        number, name = tempfile.mkstemp(
            prefix=f"pixels.{socket.gethostname()}.{os.getpid()}.", suffix=".part", dir=cache
        )
        try:
            _reserve(number, size)
        except OSError:
            os.unlink(name)
            raise
        finally:
            os.close(number)
        return Store(np.memmap(name, dtype=dtype, mode="r+", shape=shape), Path(name))
    except OSError as error:
        free = shutil.disk_usage(place).free / 2**30 if os.path.isdir(place) else 0
        raise KinfoldError(
            f"decoded pixels take {size / 2**30:.1f} GiB and {place} has {free:.1f} GiB free ({error.strerror}); "
            "choose a smaller image_size, or a cache folder (or TMPDIR) with room."
        ) from error


def load(folder: Path, key: str) -> tuple[Array, npt.NDArray[np.uint8], dict[str, Any]] | None:
    """Read what `Store.keep` kept under `key`, or None when there is nothing whole."""
    try:
        facts: dict[str, Any] = json.loads((folder / f"pixels-{key}.json").read_bytes())
        shape, dtype = tuple(facts["shape"]), np.dtype(facts["dtype"])
        digests = np.frombuffer((folder / f"pixels-{key}.digests").read_bytes(), dtype=np.uint8).reshape(-1, 16)
        rows = np.memmap(folder / f"pixels-{key}.bin", dtype=dtype, mode="r", shape=shape)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (rows, digests, facts) if len(digests) == len(rows) else None


def is_mapped(array: Array) -> bool:
    """Whether an array is a view of a file mapped into memory."""
    base: Any = array
    while base is not None and not isinstance(base, np.memmap):
        base = getattr(base, "base", None)
    return base is not None


def as_folder(cache: str | os.PathLike[str] | None) -> Path | None:
    """The cache folder as a path, checked to be no file."""
    if cache is None:
        return None
    folder = Path(cache)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"cache is {folder.name}, a file; expected a folder for decoded pixels.")
    return folder


def _sweep(cache: Path) -> None:
    """Remove what killed runs left: parts of processes of this machine that are no more, and parts a day old."""
    for part in cache.glob("pixels.*.part"):
        with suppress(OSError, ValueError):
            host, number = part.name[len("pixels.") :].rsplit(".", 3)[:2]
            if (host == socket.gethostname() and not _alive(int(number))) or time.time() - part.stat().st_mtime > 86400:
                part.unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is there, and another user's
        return True
    return True


def _reserve(number: int, size: int) -> None:
    """Claim the room now: a full disk met later, through a memory map, would end the process with a bus error."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(number, 0, size)
    else:
        os.truncate(number, size)
