"""Images in tar shards, as WebDataset lays them out: on this disk, or at any address that fsspec opens.

A sample is the files of one name that differ in their endings: ``0001.jpg`` and its class ``0001.cls``. The picture is
decoded, the class is read as text, and no other member is looked at, least of all a pickle. Nothing is unpacked to
disk; a member whose name would leave a folder is skipped by name all the same, because names go into tables.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from kinfold.data.decode import SUFFIXES as PICTURES
from kinfold.data.folder import NO_TEXT, Found, at_home, is_text, natural_key, shown
from kinfold.data.images import ReadingProgress, Skipped
from kinfold.data.tarstream import DAMAGE, members
from kinfold.errors import InputError, KinfoldError, NoRoomError, room_for

__all__ = ["Sample", "expand", "is_shards", "samples", "spooled", "stamp"]

ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_BESIDE = (".json", ".txt", ".md", ".idx", ".csv")  # what lies beside shards and is none


@dataclass(frozen=True)
class Sample:
    """One picture of a shard: its name in tables, its bytes, and its class as text if the shard has it."""

    name: str
    data: bytes
    label: str | None


def is_shards(source: str | os.PathLike[str]) -> bool:
    """Whether a source names tar shards: one, a brace pattern, an address, or a folder that holds nothing else.

    Examples
    --------
    >>> is_shards("digits-{000..099}.tar"), is_shards("s3://bucket/a.tar"), is_shards("photos/a.png")
    (True, True, False)
    """
    text = _here(source)
    if text.lower().endswith(ENDINGS):
        return True
    if "://" in text or not os.path.isdir(text):
        return False
    found = False
    with suppress(OSError), os.scandir(text) as entries:  # whoever lists it next says what is wrong with it
        for entry in entries:
            name = entry.name.lower()
            if name.endswith(ENDINGS):
                found = True
            elif not name.startswith(".") and not name.endswith(_BESIDE):
                return False
    return found


def _here(source: str | os.PathLike[str]) -> str:
    """An address as it is, a path with the user's folder for its ``~``."""
    text = os.fspath(source)
    return text if "://" in text else str(at_home(text))


def expand(source: str | os.PathLike[str]) -> list[str]:
    """The shards that a source names, in order ``-> addresses``.

    Raises
    ------
    InputError
        When a local one is not there, or the braces of a pattern do not pair.

    Examples
    --------
    >>> expand("memory://a/{00..02}.tar")
    ['memory://a/00.tar', 'memory://a/01.tar', 'memory://a/02.tar']
    """
    text = _here(source)
    if os.path.isdir(text):
        names = [name for name in os.listdir(text) if name.lower().endswith(ENDINGS)]
        return [os.path.join(text, name) for name in sorted(names, key=natural_key)]
    if "{" in text and not os.path.isfile(text):
        _webdataset()
        import braceexpand

        try:
            addresses = list(braceexpand.braceexpand(text))
        except ValueError as error:  # its UnbalancedBracesError
            raise InputError(
                f"{source} has a brace without its partner; expected a pattern such as digits-{{000..099}}.tar."
            ) from error
    else:
        addresses = [text]
    gone = [address for address in addresses if "://" not in address and not os.path.isfile(address)]
    if gone:
        words = f", nor are {len(gone) - 1} more" if len(gone) > 1 else ""
        raise InputError(f"{gone[0]} is not there{words}; {source} names {len(addresses)} shards.")
    return addresses


def samples(shard: str, skipped: list[Skipped]) -> Iterator[Sample]:
    """Pictures of one shard, one after another, in its order; memory holds one sample at a time.

    Parameters
    ----------
    shard
        A path, or an address that fsspec opens. Compressed ones are recognised by their content.
    skipped
        Members that cannot be used are added to it.

    Raises
    ------
    InputError
        When the shard is not there, is damaged, or ends before its end mark.
    """
    tariterators = _webdataset()
    short = PurePosixPath(shard.split("::")[-1]).name

    def usable(name: str) -> bool:
        if not is_text(name):
            skipped.append(Skipped(shown(f"{short}/{name}"), NO_TEXT))
            return False
        ending = name.rpartition(".")[2].lower()
        if f".{ending}" not in PICTURES and ending != "cls":
            return False
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name or ":" in path.parts[0]:
            skipped.append(Skipped(f"{short}/{name}", "its name leads out of the shard"))
            return False
        return True

    try:
        with _open(shard) as stream:
            files = ({"fname": name, "data": data, "__url__": shard} for name, data in members(stream, usable))
            for sample in tariterators.group_by_keys(files):
                yield from _pictures(sample, short)
    except KinfoldError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"the shard {shard} is not there any more; put it back and go on.") from error
    except DAMAGE as error:
        said = " ".join(str(error.args[0] if error.args else error).split()) or type(error).__name__
        raise InputError(f"the shard {shard} could not be read to its end ({said}); replace it and go on.") from error


def spooled(
    shards: Sequence[str], progress: ReadingProgress | None = None
) -> tuple[list[Found], list[str | None], list[Skipped]]:
    """All pictures of some shards, their bytes copied once into a temporary file that is mapped into memory.

    Returns
    -------
    found, labels, skipped
        The pictures, the class of each or None, and what could not be used.
    """
    names: list[str] = []
    labels: list[str | None] = []
    ends = [0]
    skipped: list[Skipped] = []
    if progress is not None:
        progress.phase("reading shards", len(shards))
    with _room(), tempfile.TemporaryFile(prefix="kinfold-") as file:
        for sample in _all(shards, skipped, progress):
            file.write(sample.data)
            names.append(sample.name)
            labels.append(sample.label)
            ends.append(ends[-1] + len(sample.data))
        file.flush()
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if ends[-1] else memoryview(b"")
    if progress is not None:
        progress.done()
    return [Found(name, whole[a:b]) for name, a, b in zip(names, ends, ends[1:], strict=False)], labels, skipped


@contextmanager
def _room() -> Iterator[None]:
    """Say it in one sentence when the folder for temporary files is full."""
    place = tempfile.gettempdir()
    try:
        with room_for(place):
            yield
    except NoRoomError as error:
        raise NoRoomError(
            f"{place} has no room for the pictures of the shards; make room there, or set TMPDIR to a folder that has."
        ) from error


def stamp(address: str | os.PathLike[str]) -> dict[str, int]:
    """Size, and time of change of a file on this disk; nothing where the system does not tell.

    Examples
    --------
    >>> sorted(stamp(__file__)), stamp("no-such.tar")
    (['mtime_ns', 'size'], {})
    """
    text = os.fspath(address)
    if "://" not in text:
        try:
            found = os.stat(text)
        except OSError:
            return {}
        return {"size": found.st_size, "mtime_ns": found.st_mtime_ns}
    with suppress(Exception):  # whatever opens it next says what is wrong with it
        import fsspec

        files, path = fsspec.core.url_to_fs(text)
        size = files.size(path)
        return {} if size is None else {"size": int(size)}
    return {}


def _all(shards: Iterable[str], skipped: list[Skipped], progress: ReadingProgress | None) -> Iterator[Sample]:
    for shard in shards:
        yield from samples(shard, skipped)
        if progress is not None:
            progress.advance()


def _pictures(sample: dict[str, Any], shard: str) -> Iterator[Sample]:
    label = sample.get("cls")
    text = None if label is None else label.decode("utf-8", errors="replace").strip()
    for suffix, data in sample.items():
        if not suffix.startswith("__") and f".{suffix.rpartition('.')[2]}" in PICTURES:
            yield Sample(f"{shard}/{sample['__key__']}.{suffix}", data, text)


def _open(shard: str) -> Any:
    if "://" not in shard:
        return Path(shard).open("rb")
    try:
        import fsspec
    except ImportError as error:
        raise InputError(f"{shard} needs fsspec, which is not installed; pip install 'kinfold[webdataset]'.") from error
    try:
        return fsspec.open(shard, "rb").open()
    except ImportError as error:
        raise InputError(
            f"{shard} needs a package that is not installed: {error}; pip install it and go on."
        ) from error
    except ValueError as error:
        raise InputError(
            f"{shard} is no address that fsspec opens ({error}); expected a path, or an address such as "
            "s3://bucket/a.tar or https://host/a.tar."
        ) from error


def _webdataset() -> Any:
    """How it groups files to samples. Its opener is not used: that one would run ``pipe:`` addresses in a shell. Nor is
    its reader: that one takes a damaged header for the end of a shard."""
    try:
        from webdataset import tariterators
    except ImportError as error:
        raise InputError(
            "reading tar shards needs webdataset, which is not installed; pip install 'kinfold[webdataset]'."
        ) from error
    return tariterators
