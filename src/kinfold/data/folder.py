"""Image files: found in a folder, or listed."""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from os.path import isdir
from pathlib import Path

from kinfold.data.decode import Encoded, reason_of
from kinfold.data.images import Skipped
from kinfold.errors import InputError

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
    """Every file below a folder in natural order, and what could not be entered.

    Links to folders are followed, each real folder once. Hidden files and folders, and what operating systems leave
    behind (``Thumbs.db`` and the like), are passed over silently.

    Raises
    ------
    InputError
        When the folder itself cannot be listed.
    """
    found: list[Found] = []
    skipped: list[Skipped] = []
    seen = set(_above(folder))
    later: list[tuple[str, Path]] = []  # links to folders, after all real ones: those keep their own names

    def enter(top: Path, prefix: str) -> None:
        stack = [(prefix, top)]
        while stack:
            name, path = stack.pop()
            try:
                status = path.stat()
                if (status.st_dev, status.st_ino) in seen:
                    skipped.append(Skipped(shown(name), "a link to a folder that is read already, or holds this one"))
                    continue
                seen.add((status.st_dev, status.st_ino))
                entries = list(os.scandir(path))
            except OSError as error:
                if not name:
                    raise InputError(
                        f"{folder.name}: {reason_of(error, path)}; expected a folder of images."
                    ) from error
                skipped.append(Skipped(shown(name), f"folder: {reason_of(error, path)}"))
                continue
            for entry in entries:
                if entry.name.startswith(".") or entry.name.casefold() in _SILENT:
                    continue
                below = f"{name}/{entry.name}" if name else entry.name
                if not is_text(entry.name):
                    skipped.append(Skipped(shown(below), NO_TEXT))
                elif entry.is_dir(follow_symlinks=False):
                    stack.append((below, path / entry.name))
                elif entry.is_symlink() and isdir(entry.path):
                    later.append((below, path / entry.name))
                else:
                    found.append(Found(below, path / entry.name))

    enter(folder, "")
    while later:
        later.sort(key=lambda pair: natural_key(pair[0]), reverse=True)
        name, path = later.pop()
        enter(path, name)
    found.sort(key=lambda one: natural_key(one.name))
    return found, skipped


def walk(folder: Path) -> Iterator[str]:
    """Names of all files below a folder, as :func:`find` names them, while it is being listed.

    Folder by folder, each in natural order, so that memory holds the names of one folder and not of all. Links to
    folders are not followed, and what cannot be named is passed over; a folder that cannot be listed stands for its
    files.

    Raises
    ------
    InputError
        When the folder itself cannot be listed.
    """
    stack = [""]
    while stack:
        below = stack.pop()
        try:
            with os.scandir(folder / below) as entries:
                seen = [(e.name, e.is_dir(follow_symlinks=False), e.is_symlink() and isdir(e.path)) for e in entries]
        except OSError as error:
            if not below:
                raise InputError(f"{folder.name}: {reason_of(error, folder)}; expected a folder of images.") from error
            yield below.rstrip("/")  # whoever reads it says why it cannot be read
            continue
        good = [one for one in seen if one[0][0] != "." and one[0].casefold() not in _SILENT and is_text(one[0])]
        good.sort(key=lambda one: (re.sub(r"\d+", lambda digits: digits[0].zfill(12), one[0].casefold()), one[0]))
        yield from (below + name for name, is_folder, is_link in good if not is_folder and not is_link)
        stack += [f"{below}{name}/" for name, is_folder, _ in reversed(good) if is_folder]


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
        When the file is no text.
    """
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace" if wide else "surrogateescape")
    if "\0" in text:
        raise InputError(f"{path.name} is no text; expected UTF-8 with one path a line.")
    if path.suffix.lower() != ".csv":
        return [_trimmed(line.removesuffix("\r"), path.parent) for line in text.split("\n") if line.strip()]
    rows = [row for row in csv.reader(io.StringIO(text, newline="")) if any(cell.strip() for cell in row)]
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
