"""Image files: found in a folder, or listed."""

from __future__ import annotations

import codecs
import csv
import heapq
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os.path import isdir
from pathlib import Path
from typing import Any

from kinfold.data.decode import Encoded, reason_of
from kinfold.data.images import Skipped
from kinfold.errors import InputError
from kinfold.phrases import plural

__all__ = ["NO_TEXT", "Found", "at_home", "find", "is_text", "listed", "natural_key", "read_list", "shown", "walk"]

_SILENT = {
    "thumbs.db",
    "desktop.ini",
    "ehthumbs.db",
    "__macosx",
    "icon\r",
}  # what operating systems leave; dot files besides
_HEADINGS = {"path", "paths", "image", "images", "file", "files", "filename", "file_name", "filepath"}
NO_TEXT = "its name is not valid UTF-8; rename it"


@dataclass(frozen=True)
class Found:
    """One candidate: its name in tables, and where its bytes are."""

    name: str
    encoded: Encoded


def natural_key(name: str) -> tuple[list[list[tuple[int, int, str]]], str]:
    """The sort key under which "img2" comes before "img10", part by part of the path, whatever the case.

    Examples
    --------
    >>> sorted(["b/1", "a10", "a2", "A1"], key=natural_key)
    ['A1', 'a2', 'a10', 'b/1']
    """
    parts = [
        [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in re.split(r"(\d+)", part) if piece]
        for part in name.casefold().split("/")
    ]
    return parts, name


def find(folder: Path) -> tuple[list[Found], list[Skipped]]:
    """Every file below a folder in natural order, and what could not be entered or named, as :func:`walk` finds them.

    Raises
    ------
    InputError
        When the folder itself cannot be listed.
    """
    found: list[Found] = []
    skipped: list[Skipped] = []
    for one in walk(folder):
        if isinstance(one, Skipped):
            skipped.append(one)
        else:
            found.append(Found(one, folder / one))
    found.sort(key=lambda one: natural_key(one.name))
    return found, skipped


def walk(folder: Path) -> Iterator[str | Skipped]:
    """Names of all files below a folder while it is being listed, and what could not be entered or named.

    Folder by folder, each in natural order, so that memory holds the names of one folder and not of all. Links to
    folders are followed, each real folder once, after all that are no links: those keep their own names. Hidden files
    and folders, and what operating systems leave behind (``Thumbs.db`` and the like), are passed over silently.

    Raises
    ------
    InputError
        When the folder itself cannot be listed.
    """
    seen = set(_above(folder))
    stack = [""]
    links: list[tuple[Any, str]] = []  # a heap, the first in natural order on top
    while stack or links:
        below = stack.pop() if stack else heapq.heappop(links)[1]
        try:
            entries = _enter(folder / below, seen)
        except OSError as error:
            reason = reason_of(error, folder / below)
            if not below:
                raise InputError(f"{folder.name}: {reason}; expected a folder of images.") from error
            yield Skipped(shown(below), f"folder: {reason}")
            continue
        if entries is None:
            yield Skipped(shown(below), "a link to a folder that is read already, or holds this one")
            continue
        prefix = f"{below}/" if below else ""
        named = [(prefix + name, kind) for name, kind in entries if is_text(name)]
        yield from (Skipped(shown(prefix + name), NO_TEXT) for name, _ in entries if not is_text(name))
        yield from (name for name, kind in named if kind == "file")
        stack += [name for name, kind in reversed(named) if kind == "folder"]
        for name in (name for name, kind in named if kind == "link"):
            heapq.heappush(links, (natural_key(name), name))


def _enter(path: Path, seen: set[tuple[int, int]]) -> list[tuple[str, str]] | None:
    """Name and kind of each entry of a folder in natural order, or None for a folder that was `seen` before."""
    status = path.stat()
    if (status.st_dev, status.st_ino) in seen:
        return None
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(path) as entries:
        found = [(one.name, _kind(one)) for one in entries if one.name[0] != "." and one.name.casefold() not in _SILENT]
    found.sort(key=lambda one: (re.sub(r"\d+", lambda digits: digits[0].zfill(12), one[0].casefold()), one[0]))
    return found


def _kind(entry: os.DirEntry[str]) -> str:
    """Whether an entry is a "folder", a "link" to one, or a "file": what nothing tells is read as a file and listed."""
    with suppress(OSError):
        if entry.is_dir(follow_symlinks=False):
            return "folder"
        if entry.is_symlink() and isdir(entry.path):
            return "link"
    return "file"


def listed(paths: Sequence[str | os.PathLike[str]], base: Path | None = None) -> list[Found]:
    """Files by their paths, in the order given; relative ones are below `base`, or the working folder.

    They are named by their path below the deepest folder common to all.
    """
    places = [Path(os.path.abspath((base or Path()) / at_home(path, base))) for path in paths]
    try:
        root = os.path.commonpath([place.parent for place in places])
        names = [place.relative_to(root).as_posix() for place in places]
    except ValueError:  # different drives
        names = [place.name for place in places]
    return [Found(name, place) for name, place in zip(names, places, strict=True)]


def at_home(path: str | os.PathLike[str], base: Path | None = None) -> Path:
    """A path whose ``~`` means the user's folder, unless something below `base` has that very name.

    >>> at_home("~nobody-of-that-name/photos").as_posix()
    '~nobody-of-that-name/photos'
    """
    place = Path(path)
    if not str(place).startswith("~") or ((base or Path()) / place).exists():
        return place
    with suppress(RuntimeError):  # there is no such user
        place = place.expanduser()
    return place


def read_list(path: Path) -> list[str]:
    """The paths in a ``.txt``, one a line, or in a ``.csv``: its column called path, image or file, or its first.

    Blanks at the ends of a path are left out, unless there is a file of that very name.

    Raises
    ------
    InputError
        When the file is no text, or none of its paths leads anywhere.
    """
    paths = _paths(path)
    places = (path.parent / at_home(one, path.parent) for one in paths)
    if paths and not any(os.path.lexists(place) for place in places):
        first = path.parent / at_home(paths[0], path.parent)
        raise InputError(
            f"{path.name} lists {plural(len(paths), 'file')}, and none is there (the first: {shown(str(first))!r}); "
            f"relative paths begin at the folder of {path.name}."
        )
    return paths


def _paths(path: Path) -> list[str]:
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace" if wide else "surrogateescape")
    if "\0" in text:
        raise InputError(f"{path.name} is no text; expected UTF-8 with one path a line.")
    if path.suffix.lower() != ".csv":
        return [_trimmed(line.removesuffix("\r"), path.parent) for line in text.split("\n") if line.strip()]
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(f"{path.name} is no table of paths ({error}); expected one path a line.") from error
    column = next((i for i, cell in enumerate(rows[0]) if cell.strip().lower() in _HEADINGS), None) if rows else None
    first = 0 if column is None else 1
    cells = [row[column or 0] for row in rows[first:] if len(row) > (column or 0)]
    return [_trimmed(cell, path.parent) for cell in cells if cell.strip()]


def _trimmed(line: str, base: Path) -> str:
    """A path without blanks at its ends, unless it is there with them."""
    short = line.strip()
    return line if line != short and (base / line).exists() else short


def _above(folder: Path) -> Iterator[tuple[int, int]]:
    """The folders that hold this one: a link to one of them would read what nobody asked for."""
    for path in folder.resolve().parents:
        with suppress(OSError):
            status = path.stat()
            yield status.st_dev, status.st_ino


def is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    """A name that any table can hold."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
