"""Names that people give to clusters, kept in ``names.csv`` of a run and shown wherever its clusters are.

A name belongs to a cluster of one cut: of the fitted clusters, or of the merge tree cut at another number. Two clusters
may have one name, which puts their images into one folder.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from kinfold.errors import InputError
from kinfold.files import write_text

__all__ = ["FILE", "Names", "check_name", "folder_names", "names_text", "parse_names", "read_names", "write_names"]

Names = dict[int | None, dict[int, str]]
"""Number of clusters that the merge tree is cut at, None for the fitted ones, to names by cluster."""

FILE = "names.csv"
COLUMNS = ("cut", "cluster", "name")
LONGEST = 100
FORBIDDEN = '<>:"/\\|?*'  # in the name of a folder, on one system or another
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))}


def check_name(name: str) -> str:
    """A name without the white space around it.

    Raises
    ------
    InputError
        If it is empty, longer than a hundred characters, or holds what cannot be printed on one line.

    Examples
    --------
    >>> check_name(" red vans ")
    'red vans'
    """
    found = name.strip()
    if not 0 < len(found) <= LONGEST or not found.isprintable():
        raise InputError(
            f"{name[: 2 * LONGEST]!r} cannot be the name of a cluster; expected 1 to {LONGEST} printable characters."
        )
    return found


def parse_names(text: str, where: str | Path) -> Names:
    """Read a table of names: columns ``cluster`` and ``name``, and ``cut`` where it is not the fitted clusters.

    Raises
    ------
    InputError
        If it is no such table, or names a cluster twice.

    Examples
    --------
    >>> parse_names("cluster,name\\n0,cats\\n3,red vans\\n", "names.csv")
    {None: {0: 'cats', 3: 'red vans'}}
    """
    broken = (
        f"{where} is not a table of names; expected columns 'cluster' and 'name' (and 'cut'), as a report saves it."
    )
    try:
        rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True))
        found = [(row.get("cut") or None, row["cluster"], row["name"]) for row in rows]
        whole = [(None if cut is None else int(cut), int(cluster), name) for cut, cluster, name in found]
    except (csv.Error, KeyError, TypeError, ValueError):
        raise InputError(broken) from None
    names: Names = {}
    for cut, cluster, name in whole:
        if name is None or cluster < 0 or (cut is not None and cut < 1):
            raise InputError(broken)
        if cluster in names.setdefault(cut, {}):
            raise InputError(f"{where} names cluster {cluster} twice; leave one of the two.")
        names[cut][cluster] = check_name(name)
    return names


def names_text(names: Names) -> str:
    """The table of `parse_names`.

    Examples
    --------
    >>> names_text({12: {0: "vans"}, None: {3: "cats"}})
    'cut,cluster,name\\n,3,cats\\n12,0,vans\\n'
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for cut in sorted(names, key=lambda cut: cut or 0):
        for cluster, name in sorted(names[cut].items()):
            writer.writerow(["" if cut is None else cut, cluster, name])
    return text.getvalue()


def read_names(path: str | Path) -> Names:
    """Names from a file.

    Raises
    ------
    InputError
        If it cannot be read as text, or is no table of names.
    """
    try:
        return parse_names(Path(path).read_text(encoding="utf-8"), path)
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as CSV in UTF-8.") from None


def write_names(folder: str | Path, names: Names) -> Path:
    """Write the names of a run, or take the file away where there are none; returns its path."""
    path = Path(folder) / FILE
    if any(names.values()):
        write_text(path, names_text(names))
    else:
        path.unlink(missing_ok=True)
    return path


def folder_names(names: Mapping[int, str], others: Iterable[str] = ()) -> dict[int, str]:
    """Names of folders for named clusters, which every system takes.

    One name gives one folder. Another name that would give the same one, letter case aside, or one of `others`, carries
    the number of its cluster.

    Examples
    --------
    >>> folder_names({0: "cats/dogs", 1: "red vans", 2: "Cats_Dogs", 4: "red vans", 5: "unsure"}, ["unsure"])
    {0: 'cats_dogs', 1: 'red vans', 2: 'Cats_Dogs (2)', 4: 'red vans', 5: 'unsure (5)'}
    """
    taken = {other.casefold() for other in others}
    folders: dict[str, str] = {}
    for cluster, name in sorted(names.items()):
        if name in folders:
            continue
        folder = _plain(name)
        if folder.casefold() in taken:
            folder = f"{folder} ({cluster})"
        while folder.casefold() in taken:
            folder += "_"
        taken.add(folder.casefold())
        folders[name] = folder
    return {cluster: folders[name] for cluster, name in names.items()}


def _plain(name: str) -> str:
    """A name without what some system refuses in a folder's."""
    found = "".join("_" if letter in FORBIDDEN or not letter.isprintable() else letter for letter in name)
    found = found.encode("utf-8", errors="replace")[:120].decode("utf-8", errors="ignore").strip().rstrip(". ")
    hidden = not found or found.startswith(".") or found.split(".")[0].casefold() in DEVICES
    return f"_{found}" if hidden else found
