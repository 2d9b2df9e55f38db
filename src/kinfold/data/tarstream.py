"""Members of a tar file, read once from front to back, and either all of them or an error.

Python's reader takes any bad header after the first one for the end of the archive. Here only the mark that writers put
there, a block of zeros, is the end: whatever else stops the reading says so.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DAMAGE", "members"]

DAMAGE = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError, OSError)
"""What reading a damaged or cut archive raises."""

_END: type[Exception] = tarfile.EOFHeaderError  # type: ignore[attr-defined]  # the stubs leave these two out
_NOTHING: type[Exception] = tarfile.EmptyHeaderError  # type: ignore[attr-defined]
_META = re.compile(r"__[^/]*__($|/)")  # WebDataset's notes about a shard, which belong to no sample
_BLOCK = 2**20


class _Whole(tarfile.TarInfo):
    """A member whose header must be right."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        """The next member; only the end mark may stand where a header should."""
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if isinstance(error, _END) or tarfile_.offset == 0:  # no tar at all is said well enough
                raise
            cut = isinstance(error, _NOTHING)
            words = "it ends without the end mark of a tar file" if cut else f"a header is damaged: {error}"
            raise tarfile.ReadError(words) from None


class _Again:
    """A stream whose first bytes were looked at and are read once more."""

    def __init__(self, stream: Any, n: int) -> None:
        self.first = stream.read(n)
        self._head, self._stream = self.first, stream

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; all when it is negative."""
        if not self._head:
            content: bytes = self._stream.read(size)
            return content
        cut = len(self._head) if size < 0 else size
        content, self._head = self._head[:cut], self._head[cut:]
        return content + (self._stream.read() if size < 0 else b"")


def members(stream: Any, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the plain files in a tar stream, in its order; links and devices are left out.

    Parameters
    ----------
    stream
        Anything with ``read``. Compression (gzip, bzip2, xz) is recognised by its first bytes, and its checksums are
        compared.
    wanted
        Asked with each name; the contents of the others are passed over.

    Raises
    ------
    DAMAGE
        When a header is damaged, or the stream ends before the end mark or holds more behind it.

    Examples
    --------
    >>> import io
    >>> file = io.BytesIO()
    >>> with tarfile.open(fileobj=file, mode="w") as archive:
    ...     archive.addfile(tarfile.TarInfo("a.txt"))
    >>> list(members(io.BytesIO(file.getvalue()), lambda name: True))
    [('a.txt', b'')]
    >>> list(members(io.BytesIO(file.getvalue()[:512]), lambda name: True))
    Traceback (most recent call last):
    ...
    tarfile.ReadError: it ends without the end mark of a tar file
    """
    with tarfile.open(fileobj=_unpacked(_Again(stream, 6)), mode="r|", tarinfo=_Whole) as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it remembers all it has seen, and nobody asks
            if member.isreg() and not _META.match(member.name) and wanted(member.name):
                file = archive.extractfile(member)
                if file is not None:
                    yield member.name, file.read()
        rest: Any = archive.fileobj
        while content := rest.read(_BLOCK):  # to the end, where compressed streams have their checksum
            if content.count(0) != len(content):
                raise tarfile.ReadError("more follows behind its end mark")


def _unpacked(stream: _Again) -> Any:
    """The stream without its compression; several compressed streams in a row are read as one."""
    packed: Any = stream  # they ask for no more than `read`
    if stream.first.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=packed, mode="rb")
    if stream.first.startswith(b"BZh"):
        return bz2.BZ2File(packed)
    if stream.first.startswith((b"\xfd7zXZ", b"\x5d\x00\x00\x80")):
        return lzma.LZMAFile(packed)
    return stream
