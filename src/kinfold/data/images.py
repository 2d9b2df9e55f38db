"""Images: what every algorithm works on, addressed by position."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from kinfold.data.store import Array, allocate, is_mapped
from kinfold.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Images", "ReadingProgress", "Skipped", "as_images"]


_BLOCK = 4096  # rows copied at a time


@dataclass(frozen=True)
class Skipped:
    """A file that could not be used, and why.

    Examples
    --------
    >>> Skipped("cats/3.jpg", "empty file").reason
    'empty file'
    """

    path: str
    reason: str


class ReadingProgress(Protocol):
    """What reading tells about its advance; `kinfold.Runtime` has one as ``progress``."""

    def phase(self, name: str, total: int | None) -> None:
        """Begin a phase of `total` steps."""

    def advance(self, n: int = 1) -> None:
        """Count `n` steps as done."""

    def say(self, sentence: str) -> None:
        """Tell the user something."""

    def done(self) -> None:
        """End the phase."""


class Images:
    """n images, or n feature vectors, addressed by position: the index is the spine.

    Made by `as_images`. Pixels are read-only; `tensor` hands out copies.

    Parameters
    ----------
    pixels
        ``(n, c, h, w)`` in uint8 (0..255) or float32, or ``(n, d)`` float32 for vectors; an array or a memory map.
    names
        One name an image: its "/"-separated path below the source folder; "0", "1", … by default.
    paths
        The files on disk, or ``None``.
    labels
        ``(n,)`` known classes, used for scores only, or ``None``.
    label_names
        The name of class 0, 1, …, or ``None``.
    skipped
        Files that could not be used.
    source
        How the user described the images.
    note
        Plain sentences about what was done on reading.
    digests
        ``(n, 16)`` uint8, a hash of each image's pixels, when it is known already.

    Examples
    --------
    >>> images = Images(np.zeros((4, 1, 8, 8), dtype=np.uint8))
    >>> len(images), images.shape, images.duplicate_of.tolist()
    (4, (1, 8, 8), [-1, 0, 0, 0])
    """

    def __init__(
        self,
        pixels: Array,
        *,
        names: Sequence[str] | None = None,
        paths: Sequence[Path] | None = None,
        labels: npt.NDArray[np.int64] | None = None,
        label_names: Sequence[str] | None = None,
        skipped: Iterable[Skipped] = (),
        source: str = "array",
        note: Iterable[str] = (),
        digests: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        self.pixels = pixels
        self.names: list[str] = [str(i) for i in range(len(pixels))] if names is None else list(names)
        self.paths: list[Path] | None = None if paths is None else list(paths)
        self.labels = labels
        self.label_names: list[str] | None = None if label_names is None else list(label_names)
        self.skipped: list[Skipped] = list(skipped)
        self.source = source
        self.note: list[str] = list(note)
        self._digests = digests
        self._duplicate_of: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        kind = "vectors" if self.is_vectors else "images"
        return f"Images({len(self)} {kind} {self.shape}, {self.pixels.dtype}, from {self.source})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one image, ``(c, h, w)``, or of one vector, ``(d,)``."""
        return tuple(self.pixels.shape[1:])

    @property
    def is_vectors(self) -> bool:
        """Whether these are feature vectors and not images."""
        return self.pixels.ndim == 2

    @property
    def digests(self) -> npt.NDArray[np.uint8]:
        """A hash of each image's pixels: (n, 16), computed when first asked for."""
        if self._digests is None:
            self._digests = np.stack([digest(row) for row in self.pixels])
        return self._digests

    @property
    def fingerprint(self) -> str:
        """A hash of all images, of their number, shape and kind, in their order: 32 signs."""
        all_of_them = repr((self.shape, str(self.pixels.dtype), len(self))).encode() + self.digests.tobytes()
        return hashlib.blake2b(all_of_them, digest_size=16).hexdigest()

    @property
    def duplicate_of(self) -> npt.NDArray[np.int64]:
        """The position of the first image with exactly the same pixels, or -1: (n,).

        Pixels are compared as they were decoded to `shape`, so two files may differ in bytes and still be the same
        image.
        """
        if self._duplicate_of is None:
            keys = np.ascontiguousarray(self.digests).view("V16").ravel()
            _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
            earliest = first[inverse.ravel()].astype(np.int64)
            self._duplicate_of = np.where(earliest == np.arange(len(self)), -1, earliest)
        return self._duplicate_of

    def tensor(self, index: Any = None) -> torch.Tensor:
        """Rows as a CPU tensor of the same dtype, a copy: (m,) -> (m, c, h, w) or (m, d).

        Parameters
        ----------
        index
            Positions: an integer array, tensor or list, a boolean mask, a slice, or ``None`` for all.

        Examples
        --------
        >>> Images(np.eye(3, dtype=np.float32)).tensor([2, 0])
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
        """
        rows: Array = np.array(self.pixels[_as_index(index)], order="C", copy=True, subok=False)
        return torch.from_numpy(rows)

    def select(self, index: Any) -> Images:
        """Some of the images, in the order of `index`, with everything known about them.

        Examples
        --------
        >>> Images(np.eye(3, dtype=np.float32)).select([2, 0]).names
        ['2', '0']
        """
        where = np.arange(len(self))[_as_index(index)]
        pixels = self._rows(where)
        pixels.flags.writeable = False
        return Images(
            pixels,
            names=[self.names[i] for i in where],
            paths=None if self.paths is None else [self.paths[i] for i in where],
            labels=None if self.labels is None else self.labels[where],
            label_names=self.label_names,
            skipped=self.skipped,
            source=self.source,
            note=self.note,
            digests=None if self._digests is None else self._digests[where],
        )

    def _rows(self, where: npt.NDArray[np.int64]) -> Array:
        """Rows as an array of their own, in a file when they came mapped from one and are too many for memory."""
        if not is_mapped(self.pixels):
            return np.asarray(self.pixels[where])
        rows = allocate((len(where), *self.shape), self.pixels.dtype).rows
        for start in range(0, len(where), _BLOCK):
            rows[start : start + _BLOCK] = self.pixels[where[start : start + _BLOCK]]
        return rows

    def thumbnail(self, i: int, size: int = 64) -> Image.Image:
        """A small RGB picture of image `i`, at most `size` pixels a side.

        Drawn from the file when there is one (the whole picture, not the crop), otherwise from the pixels. A vector
        is drawn as a strip of bars.

        Examples
        --------
        >>> Images(np.zeros((1, 1, 20, 40), dtype=np.uint8)).thumbnail(0, 32).size
        (32, 16)
        """
        from kinfold.data import draw

        if self.is_vectors:
            return draw.bars(self.pixels[i], size)
        if self.paths is not None:
            picture = draw.from_file(self.paths[i], size)
            if picture is not None:
                return picture
        return draw.from_pixels(self.pixels[i], size)


def as_images(
    source: Any,
    *,
    labels: Any = None,
    shape: tuple[int, ...] | None = None,
    image_size: int | tuple[int, int] | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: ReadingProgress | None = None,
) -> Images:
    """Read images from wherever they are.

    Parameters
    ----------
    source
        A folder, nested or flat; a file of paths (``.txt`` or ``.csv``, one path a line); a list of paths; one image
        file; an ``.npz`` (``images`` and, if known, ``labels``), ``.npy`` or HDF5 file (``data``, ``labels``);
        ``"torchvision:NAME"``; tar shards (a path, a brace pattern such as ``"a-{00..99}.tar"``, an address that fsspec
        opens); a folder of features that ``kinfold embed`` wrote; a NumPy array or torch tensor ``(n, h, w)``,
        ``(n, h, w, c)`` or ``(n, c, h, w)``; a torch ``Dataset`` of images or (image, label) pairs; a feature matrix
        ``(n, d)``; or `Images`, returned as they are.
    labels
        ``"from-folders"`` takes the first-level folder names as known classes; an array ``(n,)`` gives them. Used for
        scores only.
    shape
        The shape every image must get, ``(c, h, w)`` or ``(d,)``, as for `predict`.
    image_size
        The size to resize to, in pixels: one number for a square, or (height, width). By default files that share one
        size of at most 128 x 128 are kept as they are, and any others have their shorter side resized to 128 and the
        centre 128 x 128 kept; arrays keep their size.
    cache
        The folder for decoded pixels when they exceed 1 GiB; a temporary file (in ``TMPDIR``) by default.
    progress
        Told about the advance.

    Returns
    -------
    Images

    Raises
    ------
    InputError
        When the source holds no image, or cannot be read as any of the above.

    Examples
    --------
    >>> as_images(np.zeros((10, 28, 28), dtype=np.uint8)).shape
    (1, 28, 28)
    """
    from kinfold.data import sources  # builds Images, so it imports this module: a circle if it stood above

    return sources.read(source, labels=labels, shape=shape, image_size=image_size, cache=cache, progress=progress)


def digest(pixels: Array) -> npt.NDArray[np.uint8]:
    """A hash of one image's pixels: any shape -> (16,)."""
    if pixels.dtype.kind == "f":
        pixels = pixels + np.float32(0)  # minus zero is zero
    return np.frombuffer(hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest(), dtype=np.uint8)


def _as_index(index: Any) -> Any:
    if index is None:
        return slice(None)
    if isinstance(index, slice):
        return index
    if isinstance(index, torch.Tensor):
        index = index.detach().cpu().numpy()
    index = np.asarray(index)
    if index.size == 0:
        return index.astype(np.int64)
    if index.dtype.kind not in "biu" or index.ndim != 1:
        raise InputError(f"index has dtype {index.dtype} and shape {index.shape}; expected (m,) integers or a mask.")
    return index
