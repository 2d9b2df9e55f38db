"""A source in parts, read one block of images at a time: what never has to fit into memory."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from kinfold.data.archives import read_npy
from kinfold.data.arrays import as_pixels, refuse_masked
from kinfold.data.decode import read_pixels, reason_of
from kinfold.data.features import MANIFEST, is_features
from kinfold.data.folder import NO_TEXT, Found, at_home, is_text, read_list, shown, walk
from kinfold.data.images import Images, ReadingProgress, Skipped, as_images
from kinfold.data.rows import in_threads, pillow_quiet
from kinfold.data.shards import expand, is_shards, samples, stamp
from kinfold.errors import InputError
from kinfold.files import written

__all__ = ["Arrays", "Files", "Parts", "Shards", "parts_of"]

Shape = tuple[int, ...]


class Parts(Protocol):
    """A source in parts that keep their number and their content, so that work on it can go on after a stop."""

    names: Sequence[str]
    """One name a part, permanent."""

    def blocks(self, part: int, shape: Shape | None, size: int) -> Iterator[Images]:
        """Images of one part, at most `size` at a time, all of one shape; what cannot be read is in ``skipped``."""
        ...

    def origin(self, part: int) -> dict[str, Any]:
        """What a part is read from: its name, and size and time of change as far as the system tells."""
        ...


class Shards:
    """Tar shards, a part each.

    Parameters
    ----------
    addresses
        Paths or whatever fsspec opens.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = addresses
        self.names: Sequence[str] = [address if "://" in address else Path(address).name for address in addresses]

    def blocks(self, part: int, shape: Shape | None, size: int) -> Iterator[Images]:
        """Images of one shard, decoded as they stream by."""
        skipped: list[Skipped] = []
        coming = samples(self.addresses[part], skipped)
        while chunk := list(itertools.islice(coming, size)):
            found = [Found(one.name, memoryview(one.data)) for one in chunk]
            yield decoded(found, shape, [one.label for one in chunk], skipped)
            skipped.clear()
        if skipped:
            yield decoded([], shape, [], skipped)

    def origin(self, part: int) -> dict[str, Any]:
        """The shard."""
        return {"name": self.names[part], **stamp(self.addresses[part])}


class Files:
    """Image files below a folder or in a list, listed once into a file and read from there.

    Parameters
    ----------
    source
        A folder, or a ``.txt`` or ``.csv`` of paths.
    listing
        The file with the names, one JSON text a line, or name and reason of what was left out. It is written when it is
        not there yet.
    per_part
        Files in a part.
    labels
        Whether the first folder of a name is the class of the image.
    """

    def __init__(self, source: Path, listing: Path, *, per_part: int, labels: bool = False) -> None:
        self.root = source if source.is_dir() else source.parent
        self.listing, self.per_part, self.labels = listing, per_part, labels
        if not listing.exists():
            names: Iterable[str | Skipped] = walk(source) if source.is_dir() else read_list(source)
            listing.parent.mkdir(parents=True, exist_ok=True)
            with written(listing) as file:
                for one in names:
                    line = [one.path, one.reason] if isinstance(one, Skipped) else one
                    file.write(json.dumps(line).encode() + b"\n")
        self.starts = self._starts()
        if not self.starts:
            listing.unlink()
            raise InputError(f"{source} holds no files; expected images (JPEG, PNG, WebP, BMP, GIF, TIFF).")
        self.names: Sequence[str] = [f"files from {i * per_part}" for i in range(len(self.starts))]

    def _starts(self) -> list[int]:
        """Where each part begins in the listing, in bytes."""
        starts, place = [], 0
        with self.listing.open("rb") as file:
            for i, line in enumerate(file):
                if i % self.per_part == 0:
                    starts.append(place)
                place += len(line)
        return starts

    def blocks(self, part: int, shape: Shape | None, size: int) -> Iterator[Images]:
        """Images of the files of one part."""
        with self.listing.open("rb") as file:
            file.seek(self.starts[part])
            lines = (json.loads(line) for line in itertools.islice(file, self.per_part))
            while chunk := list(itertools.islice(lines, size)):
                names = [one for one in chunk if isinstance(one, str)]
                found = [Found(name, self.root / at_home(name, self.root)) for name in names]
                tops = [name.split("/")[0] if self.labels and "/" in name else None for name in names]
                yield decoded(found, shape, tops, [Skipped(*one) for one in chunk if not isinstance(one, str)])

    def origin(self, part: int) -> dict[str, Any]:
        """The lines of the listing, which stay what they are."""
        return {"name": self.names[part]}


class Arrays:
    """Rows of an array, which may be a memory map, or of `Images`.

    Parameters
    ----------
    rows
        ``(n, h, w)``, ``(n, h, w, c)``, ``(n, c, h, w)``, ``(n, d)``, or `Images`.
    per_part
        Rows in a part.
    what
        The subject of an error's sentence.
    file
        Where the rows are stored, or None.
    """

    def __init__(self, rows: npt.NDArray[Any] | Images, *, per_part: int, what: str, file: Path | None = None) -> None:
        refuse_masked(rows, what)
        if not (isinstance(rows, Images) or _decided_by_type(rows)):
            raise InputError(
                f"{what} is an array of {rows.dtype}, whose range only a look at all of it would tell; expected uint8, "
                "uint16, bool or floating point: save it as one of these."
            )
        self.rows, self.per_part, self.what, self.file = rows, per_part, what, file
        self.names: Sequence[str] = [f"rows from {start}" for start in range(0, len(rows), per_part)]

    def blocks(self, part: int, shape: Shape | None, size: int) -> Iterator[Images]:
        """Images of one range of rows."""
        end = min((part + 1) * self.per_part, len(self.rows))
        for start in range(part * self.per_part, end, size):
            stop = min(start + size, end)
            if isinstance(self.rows, Images):
                yield as_images(self.rows.select(slice(start, stop)), shape=shape)
                continue
            pixels, _ = as_pixels(np.asarray(self.rows[start:stop]), shape=shape, what=self.what)
            yield Images(pixels, names=[str(i) for i in range(start, stop)], source=self.what)

    def origin(self, part: int) -> dict[str, Any]:
        """The file that holds all rows, if they are in one."""
        return {"name": self.names[part], **({} if self.file is None else stamp(self.file))}


def _decided_by_type(rows: npt.NDArray[Any]) -> bool:
    """Whether a block is read as all rows would be: the range of other integers decides whether they are stretched."""
    return rows.ndim == 2 or rows.dtype.kind in "bf" or (rows.dtype.kind == "u" and rows.dtype.itemsize <= 2)


def parts_of(
    source: Any,
    listing: Path,
    *,
    per_part: int = 10_000,
    labels: bool = False,
    progress: ReadingProgress | None = None,
) -> Parts:
    """Divide a source into parts, without reading it.

    Parameters
    ----------
    source
        Tar shards (see `kinfold.data.shards`), a folder, a list of paths, a ``.npy``, or anything else that
        `kinfold.as_images` reads, which is then read whole.
    listing
        Where the names of files are kept.
    per_part
        Images in a part; shards are parts as they are.
    labels
        Whether class folders are known classes.
    progress
        Told about the advance.

    Raises
    ------
    InputError
        When the source is not there or holds nothing.

    Examples
    --------
    >>> parts_of(np.zeros((5, 8, 8), dtype=np.uint8), Path("unused"), per_part=2).names
    ['rows from 0', 'rows from 2', 'rows from 4']
    """
    if isinstance(source, (str, os.PathLike)) and source != "":
        if is_shards(source):
            return Shards(expand(source))
        path = at_home(source)
        if path.is_dir() and not is_features(path):
            return Files(path, listing, per_part=per_part, labels=labels)
        if path.suffix.lower() in (".txt", ".csv") and path.is_file():
            return Files(path, listing, per_part=per_part, labels=labels)
        if path.suffix.lower() == ".npy" and path.is_file():
            return Arrays(read_npy(path), per_part=per_part, what=path.name, file=path)
    if isinstance(source, np.ndarray) and source.ndim > 1:
        return Arrays(source, per_part=per_part, what=f"array {source.shape}")
    images = as_images(source, labels="from-folders" if labels else None, progress=progress)
    file = at_home(source) if isinstance(source, (str, os.PathLike)) else None
    if file is not None and is_features(file):
        file /= MANIFEST
    return Arrays(images, per_part=per_part, what=images.source, file=file)


def decoded(
    found: Sequence[Found], shape: Shape | None, labels: Sequence[str | None], skipped: Iterable[Skipped]
) -> Images:
    """Decode a block of pictures to one shape, in threads; those that cannot be are in ``skipped``.

    Their classes, when all have one, are ``label_names``, one an image and not yet numbered: other blocks may hold
    other classes.
    """
    if shape is None:
        raise InputError("image files came, and nothing says which size they shall have; give image_size.")
    if len(shape) != 3:
        raise InputError(f"image files came; expected vectors of shape {shape}, as the model was fitted on.")
    sides = (shape[0], shape[1], shape[2])
    pixels = np.zeros((len(found), *sides), dtype=np.uint8)
    reasons: dict[int, str] = {}

    def decode(i: int) -> str | None:
        if not is_text(found[i].name):
            return NO_TEXT
        try:
            pixels[i] = read_pixels(found[i].encoded, sides)
        except Exception as error:  # Pillow raises nearly anything on damaged files
            return reason_of(error, found[i].encoded)
        return None

    with pillow_quiet():
        for i, reason in in_threads(decode, range(len(found)), None, ""):
            if reason is not None:
                reasons[i] = reason
    kept = [i for i in range(len(found)) if i not in reasons]
    known = [labels[i] for i in kept]
    texts = [label for label in known if label is not None]
    return Images(
        pixels[kept] if reasons else pixels,
        names=[found[i].name for i in kept],
        label_names=texts if texts and len(texts) == len(known) else None,
        skipped=[*skipped, *(Skipped(shown(found[i].name), reasons[i]) for i in sorted(reasons))],
        source="stream",
    )
