"""Vectors in pieces: one protocol for what lies in memory, in a mapped file, in shards, or with several processes.

What reads all vectors (k-means, whitening, deduplication) goes over the pieces and returns *sums*. Sums add up over
pieces, files and processes, so none of these readers knows where the vectors are.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kinfold.errors import InputError

Samples = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

BLOCK_VALUES = 2**22  # of one piece: 16 MB


class Processes(Protocol):
    """Who shares the work; `kinfold.Runtime` is one. None in its place is one process by itself."""

    @property
    def rank(self) -> int:
        """This process, from 0."""

    @property
    def world(self) -> int:
        """How many there are."""

    def sum(self, x: Tensor) -> Tensor:
        """Sum over the processes."""

    def to(self, x: Tensor) -> Tensor:
        """A tensor where the processes exchange it."""


class Source(Protocol):
    """n vectors of d numbers.

    Write one to read from elsewhere, for instance to cut patches out of images on the way.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """``(n, d)`` of all vectors, whoever holds them."""

    def blocks(self, rank: int = 0, world: int = 1) -> Iterator[tuple[int, Samples]]:
        """Pieces of this process: position of the first row, and the rows ``(m, d)`` float32.

        Over all ranks every row comes once, and in the same way every time.
        """

    def take(self, index: Ints) -> Samples:
        """Some rows ``(m,) -> (m, d)``, the same on every process."""


class Parts:
    """Arrays or mapped files, one after the other, as one source.

    Parameters
    ----------
    parts : sequence of (n_i, d) arrays
        Any number type; float32 comes out. Of a mapped file only the piece that is read stays in memory.
    block : int, optional
        Rows of a piece; None makes pieces of 16 MB.

    Examples
    --------
    >>> source = Parts([np.zeros((3, 2)), np.ones((2, 2), dtype=np.float16)], block=2)
    >>> source.shape, [(start, rows.shape) for start, rows in source.blocks()]
    ((5, 2), [(0, (2, 2)), (2, (1, 2)), (3, (2, 2))])
    """

    def __init__(self, parts: Sequence[npt.NDArray[Any]], block: int | None = None) -> None:
        widths = {part.shape[1:] for part in parts}
        if not parts or len(widths) != 1 or any(part.ndim != 2 for part in parts):
            shapes = ", ".join(str(part.shape) for part in parts) or "nothing"
            raise InputError(f"vectors came as {shapes}; expected (n, d), or several of the same d.")
        self._parts = list(parts)
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        d = parts[0].shape[1]
        if not self._starts[-1] or not d:
            raise InputError(f"vectors came as {(int(self._starts[-1]), d)}; expected at least one row and column.")
        self._block = block or max(1, BLOCK_VALUES // d)

    @property
    def shape(self) -> tuple[int, int]:
        """``(n, d)``."""
        return int(self._starts[-1]), int(self._parts[0].shape[1])

    def blocks(self, rank: int = 0, world: int = 1) -> Iterator[tuple[int, Samples]]:
        """Pieces in order; processes take them in turn."""
        number = 0
        for part, first in zip(self._parts, self._starts, strict=False):
            for start in range(0, len(part), self._block):
                if number % world == rank:
                    rows = part[start : start + self._block]
                    yield int(first) + start, np.ascontiguousarray(rows, dtype=np.float32)
                    _let_go(part)
                number += 1

    def take(self, index: Ints) -> Samples:
        """Rows in the order of `index`; files are read from front to back."""
        index = np.asarray(index, dtype=np.int64)
        found = np.empty((len(index), self.shape[1]), dtype=np.float32)
        order = np.argsort(index, kind="stable")
        ordered = index[order]
        for part, first, end in zip(self._parts, self._starts, self._starts[1:], strict=False):
            low, high = np.searchsorted(ordered, [first, end])
            for i in range(int(low), int(high), self._block):
                stop = min(i + self._block, int(high))
                found[order[i:stop]] = part[ordered[i:stop] - first]
                _let_go(part)
        return found


def as_source(x: Any) -> Source:
    """A source from a matrix, a mapped file, a tensor, a sequence of them, or a source ``(n, d) -> source``.

    Examples
    --------
    >>> as_source([[0.0, 1.0], [2.0, 3.0]]).shape
    (2, 2)
    >>> as_source([np.zeros((3, 4)), np.zeros((2, 4))]).shape
    (5, 4)
    """
    if hasattr(x, "blocks") and hasattr(x, "take"):
        found: Source = x
        return found
    if isinstance(x, Tensor):
        x = x.detach().cpu().numpy()
    if isinstance(x, list | tuple) and x and all(np.ndim(part) == 2 for part in x):
        return Parts([np.asanyarray(part) for part in x])
    return Parts([np.asanyarray(x)])


def added(x: Floats, run: Processes | None) -> Floats:
    """Sum over the processes ``(...) -> (...)``."""
    if run is None or run.world == 1:
        return x
    total: Floats = run.sum(run.to(torch.from_numpy(np.ascontiguousarray(x)))).cpu().numpy()
    return total


def place(run: Processes | None) -> tuple[int, int]:
    """Rank and number of processes."""
    return (0, 1) if run is None else (run.rank, run.world)


def unit(x: Samples) -> Samples:
    """Rows of unit length ``(n, d) -> (n, d)``; rows of zeros stay.

    Examples
    --------
    >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32))
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    norm = np.sqrt(np.einsum("nd,nd->n", x, x, dtype=np.float64))
    return (x / np.where(norm > 0, norm, 1.0)[:, None]).astype(np.float32)


def _let_go(part: npt.NDArray[Any]) -> None:
    """Give back the memory that a mapped file took: it counts as the process's own until then."""
    base: Any = part
    while base is not None and not isinstance(base, mmap.mmap):
        if getattr(base, "mode", "r") == "c":  # private changes would be lost
            return
        base = getattr(base, "base", None)
    if base is not None and hasattr(base, "madvise") and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
