"""Features of many images on disk: a folder of half-precision arrays, each with its names and a checksum.

::

    features/
      manifest.json      what made them, how many, one line a part; written last
      part-000000.npy    (rows, d) float16, mapped into memory when read
      part-000000.csv    image, and label where it is known
      part-000000.json   what it was read from, rows, checksums, what was skipped; written when the part is whole
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from kinfold.data.images import ReadingProgress, Skipped
from kinfold.errors import InputError, KinfoldError
from kinfold.files import csv_writer, read_json, regular_file, write_text, written

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "FORMAT", "MANIFEST", "RESTORE", "VERSION", "FeatureShards", "PartWriter", "check_part", "is_features", "part_line",
    "part_name", "read_manifest", "write_manifest",
]  # fmt: skip

FORMAT = "kinfold features"
VERSION = 1
MANIFEST = "manifest.json"
WRITE_AGAIN = "write it again with `kinfold embed ... --resume`"  # the command that made the folder, once more
RESTORE = "restore it, or write the features again into another folder"  # parts alone do not say what made them
LARGEST = 65504.0  # of half precision
MOST_OPEN = 64  # parts mapped at a time: systems limit maps, and pages of a map count as memory in use

Features = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def part_name(number: int) -> str:
    """Name of a part's files, without their ending.

    >>> part_name(3)
    'part-000003'
    """
    return f"part-{number:06d}"


def is_features(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder holds features that Kinfold wrote, whole or not.

    >>> is_features("no-such-folder")
    False
    """
    if not os.path.isfile(os.path.join(folder, MANIFEST)):  # False also where one may not look
        return False
    try:
        return read_json(Path(folder), MANIFEST).get("format") == FORMAT
    except InputError:  # whoever opens them says that the manifest is damaged
        return os.path.isfile(os.path.join(folder, f"{part_name(0)}.json"))


def read_manifest(folder: Path) -> dict[str, Any]:
    """What made the features of a folder, and how many they are.

    Raises
    ------
    InputError
        When there are none, or the manifest is damaged, or of another format.
    """
    if not (folder / MANIFEST).exists():
        raise InputError(
            f"{folder} has no {MANIFEST}; expected a folder of features, written by `kinfold embed ... --out {folder}`."
        )
    about = read_json(folder, MANIFEST, RESTORE)
    if about.get("format") != FORMAT or about.get("format_version") != VERSION:
        raise InputError(f"{folder / MANIFEST} is of another format; expected features written by kinfold.")
    return about


class PartWriter:
    """Writes one part, row by row, under temporary names; a context that renames the files at its end.

    Parameters
    ----------
    folder
        Where the part goes.
    number
        Of the part.
    d
        Columns.
    origin
        What the part is made from, to be kept beside it; None where nobody asks.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with PartWriter(folder, 0, 2) as writer:
    ...     writer.add(np.eye(2, dtype=np.float32), ["a.png", "b.png"], None)
    >>> check_part(folder, 0)["rows"]
    2
    """

    def __init__(self, folder: Path, number: int, d: int, origin: dict[str, Any] | None = None) -> None:
        self.folder, self.number, self.d, self.origin = folder, number, d, origin
        self.rows = 0
        self.skipped: list[Skipped] = []
        self._files = ExitStack()

    def __enter__(self) -> Self:
        place = self.folder / part_name(self.number)
        self._sums = hashlib.blake2b(digest_size=16), hashlib.blake2b(digest_size=16)
        with ExitStack() as files:  # closes what is open if the disk is full already
            self._data = files.enter_context(written(place.with_suffix(".npy")))
            self._table = files.enter_context(written(place.with_suffix(".csv")))
            self._data.write(_header(0, self.d))
            self._line(["image", "label"])
            self._files = files.pop_all()
        return self

    def add(self, rows: Features, names: Sequence[str], labels: Sequence[object] | None) -> None:
        """Append features ``(b, d)``, one name each, and one class each if known.

        Raises
        ------
        KinfoldError
            When a number is not finite, or too large for half precision.
        """
        good = np.abs(rows).max(axis=1, initial=0.0) <= LARGEST  # false for NaN too
        if not good.all():
            row = int(np.argmin(good))
            raise KinfoldError(
                f"the features of {names[row]} reach {np.abs(rows[row]).max():.3g}, and half precision ends at "
                f"{LARGEST:,.0f}; end the network with a layer that scales them."
            )
        content = np.ascontiguousarray(rows, dtype="<f2").tobytes()
        self._sums[0].update(content)
        self._data.write(content)
        for i, name in enumerate(names):
            self._line([name, "" if labels is None else str(labels[i])])
        self.rows += len(rows)

    def _line(self, cells: Sequence[str]) -> None:
        text = io.StringIO(newline="")
        csv_writer(text).writerow(cells)
        content = text.getvalue().encode()
        self._sums[1].update(content)
        self._table.write(content)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self._files.__exit__(kind, error, trace)
            return
        with self._files:
            self._data.seek(0)
            self._data.write(_header(self.rows, self.d))
        about = {
            **({} if self.origin is None else {"read_from": self.origin}),
            "rows": self.rows,
            "d": self.d,
            "data": self._sums[0].hexdigest(),
            "table": self._sums[1].hexdigest(),
            "skipped": [[one.path, one.reason] for one in self.skipped],
        }
        write_text(self.folder / f"{part_name(self.number)}.json", json.dumps(about) + "\n")


def check_part(folder: Path, number: int, cure: str = WRITE_AGAIN) -> dict[str, Any]:
    """What a part says about itself, once its checksums are found to be right; `cure` ends the sentences.

    Raises
    ------
    InputError
        When a file of it is missing, cut short or not what was written.
    """
    name = part_name(number)
    about = read_json(folder, _part_file(folder, f"{name}.json", cure).name, cure)
    for ending, key, skip in ((".npy", "data", len(_header(0, 1))), (".csv", "table", 0)):
        path = _part_file(folder, name + ending, cure)
        digest = hashlib.blake2b(digest_size=16)
        with path.open("rb") as file:
            file.seek(skip)
            while content := file.read(2**22):
                digest.update(content)
        if digest.hexdigest() != about.get(key):
            raise InputError(f"{path} does not match its checksum: it is damaged or cut short; {cure}.")
    if not isinstance(about.get("rows"), int) or not isinstance(about.get("d"), int):
        raise InputError(f"{folder / name}.json does not say how many rows the part has; {cure}.")
    return about


def part_line(about: dict[str, Any], source: str) -> dict[str, Any]:
    """A part's line of the manifest, from what the part says about itself and where it came from."""
    return {
        "source": source,
        **{key: about[key] for key in ("rows", "data", "table")},
        "skipped": len(about["skipped"]),
    }


def write_manifest(folder: Path, about: dict[str, Any], d: int, parts: Sequence[dict[str, Any]]) -> None:
    """Say that all parts are there: what made them, and a line for each. The last file to be written.

    Parameters
    ----------
    folder
        Of the features.
    about
        What else is worth knowing of them.
    d
        Columns.
    parts
        See `part_line`.
    """
    head = {"format": FORMAT, "format_version": VERSION, **about, "n": sum(part["rows"] for part in parts), "d": d}
    write_text(folder / MANIFEST, json.dumps({**head, "parts": parts}, indent=1) + "\n")


class FeatureShards:
    """Features of n images in a folder, read as float32 without holding more than a block in memory.

    Parameters
    ----------
    folder
        Written by ``kinfold embed`` or `kinfold.write_features`.
    check
        Compare every part with its checksum when it is first read.

    Attributes
    ----------
    shape : (n, d)
    about : dict
        The manifest: what made the features.

    Raises
    ------
    InputError
        When the folder holds none, or not all of them yet.

    Examples
    --------
    >>> import tempfile, kinfold, torch
    >>> images = np.zeros((5, 8, 8), dtype=np.uint8)
    >>> shards = kinfold.write_features(images, tempfile.mkdtemp() + "/f", torch.nn.Flatten(), part_size=2)
    >>> shards.shape, shards[[4, 0]].shape, [len(rows) for _, rows in shards.blocks(size=2)]
    ((5, 64), (2, 64), [2, 2, 1])
    """

    def __init__(self, folder: str | Path, *, check: bool = True) -> None:
        self.folder = Path(folder)
        self.about = read_manifest(self.folder)
        if self.about.get("unfinished"):
            raise InputError(f"{self.folder} does not hold all its parts yet; go on with `kinfold embed ... --resume`.")
        sizes = [int(part["rows"]) for part in self.about["parts"]]
        self.starts: Ints = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self.shape = (int(self.starts[-1]), int(self.about["d"]))
        self.dtype = np.dtype(np.float32)
        self._parts: OrderedDict[int, npt.NDArray[np.float16]] = OrderedDict()
        # What curate has chosen has no command that goes on with it.
        self._cure = "choose them again with `kinfold curate`" if "curated" in self.about else WRITE_AGAIN
        self._check = check
        self._checked: set[int] = set()

    def __len__(self) -> int:
        return self.shape[0]

    def part(self, number: int) -> npt.NDArray[np.float16]:
        """One part as it lies on disk, mapped into memory ``-> (rows, d)``."""
        if number in self._parts:
            self._parts.move_to_end(number)
            return self._parts[number]
        said = self.about["parts"][number]
        if self._check and number not in self._checked:
            found = check_part(self.folder, number, self._cure)
            if any(found[key] != said[key] for key in ("rows", "data", "table")):
                raise InputError(
                    f"{self.folder / part_name(number)}.npy is not the part that the manifest names; write the "
                    "features again."
                )
            self._checked.add(number)
        path = _part_file(self.folder, f"{part_name(number)}.npy", self._cure)
        try:
            rows: npt.NDArray[np.float16] = np.load(path, mmap_mode="r" if said["rows"] else None)
        except (ValueError, OSError) as error:
            raise InputError(f"{path} is no array ({error}); {self._cure}.") from None
        if rows.shape != (said["rows"], self.shape[1]) or rows.dtype != np.float16:
            raise InputError(f"{path} is {rows.dtype} {rows.shape}, not what the manifest says; {self._cure}.")
        self._parts[number] = rows
        if len(self._parts) > MOST_OPEN:
            self._parts.popitem(last=False)
        return rows

    def blocks(self, rank: int = 0, world: int = 1, *, size: int = 8192) -> Iterator[tuple[int, Features]]:
        """All features in order, or one process's share of them ``-> (position of the first, (b, d)), ...``.

        Parameters
        ----------
        rank, world
            Blocks are dealt out to `world` processes in turn; this is number `rank`.
        size
            Rows in a block, at most: a block does not reach over the end of a part.
        """
        turn = 0
        for number, start in enumerate(self.starts[:-1].tolist()):
            for at in range(0, int(self.starts[number + 1]) - start, size):
                if turn % world == rank:
                    yield start + at, np.asarray(self.part(number)[at : at + size], dtype=np.float32)
                turn += 1

    def take(self, index: npt.ArrayLike) -> Features:
        """Rows by position ``(m,) -> (m, d)``."""
        return self[np.asarray(index)]

    def __getitem__(self, index: Any) -> Features:
        """Rows by position, a mask or a slice ``(m,) -> (m, d)``; a single integer gives ``(d,)``."""
        if isinstance(index, (int, np.integer)):
            one: Features = self[np.array([index])][0]
            return one
        where = np.arange(len(self))[index] if isinstance(index, slice) else np.asarray(index)
        if where.dtype == bool:
            if where.shape != (len(self),):
                raise IndexError(f"a mask of shape {where.shape} came; there are {len(self)} rows.")
            where = np.flatnonzero(where)
        if where.size and where.dtype.kind not in "iu":
            raise IndexError(f"positions of type {where.dtype} came; expected whole numbers.")
        if where.size and not -len(self) <= where.min() <= where.max() < len(self):
            raise IndexError(f"positions {where.min()} to {where.max()} came; there are {len(self)} rows.")
        where = where.astype(np.int64) % max(len(self), 1)
        rows = np.empty((len(where), self.shape[1]), dtype=np.float32)
        parts = np.searchsorted(self.starts, where, side="right") - 1
        for number in np.unique(parts).tolist():
            mine = parts == number
            rows[mine] = self.part(number)[where[mine] - self.starts[number]]
        return rows

    def table(self) -> Iterator[tuple[str, str]]:
        """Name and class of every image, in order; the class is empty where it is not known."""
        for number in range(len(self.about["parts"])):
            path = _part_file(self.folder, f"{part_name(number)}.csv", self._cure)
            with path.open(encoding="utf-8", newline="") as file:
                rows: Iterable[list[str]] = csv.reader(file)
                yield from ((row[0], row[1]) for row in list(rows)[1:])

    def verify(self, progress: ReadingProgress | None = None) -> None:
        """Compare every part with its checksum.

        Raises
        ------
        InputError
            Naming the first that is missing or damaged.
        """
        if progress is not None:
            progress.phase("checking features", len(self.starts) - 1)
        for number in range(len(self.starts) - 1):
            self.part(number)
            if progress is not None:
                progress.advance()
        if progress is not None:
            progress.done()


def _part_file(folder: Path, name: str, cure: str) -> Path:
    return regular_file(folder, name, f"expected a complete folder of features: {cure}")


def _header(rows: int, d: int) -> bytes:
    """Head of a ``.npy`` file; NumPy pads it so that its length does not depend on the number of rows."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": (rows, d)})
    return file.getvalue()
