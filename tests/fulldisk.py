"""A disk that is full, for tests."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import Any, ClassVar

import pytest


class Full(io.FileIO):
    """A file on a disk that takes so many bytes more, over all files, and remembers those that were opened."""

    left = 0
    opened: ClassVar[list[io.FileIO]] = []

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w")
        Full.opened.append(self)

    def write(self, content: Any) -> int:
        """Take it, or fail as a full disk does."""
        if Full.left < len(content):
            raise OSError(errno.ENOSPC, "No space left on device")
        Full.left -= len(content)
        return super().write(content)


def fill_disk(patched: pytest.MonkeyPatch, left: int = 0) -> list[io.FileIO]:
    """Leave room for so many bytes; returns the list of files that are opened from now on."""
    original = Path.open

    def opened(path: Path, mode: str = "r", *more: Any, **options: Any) -> Any:
        return io.BufferedWriter(Full(path)) if mode == "wb" else original(path, mode, *more, **options)

    patched.setattr(Full, "left", left)
    patched.setattr(Full, "opened", [])
    patched.setattr(Path, "open", opened)
    return Full.opened
