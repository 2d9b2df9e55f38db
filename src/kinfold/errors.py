"""What Kinfold raises when something expected goes wrong: one sentence with what came, what was expected, the cure."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["InputError", "KinfoldError", "NoRoomError", "room_for"]


class KinfoldError(Exception):
    """An expected failure, told in one clear sentence.

    The command line prints the sentence and leaves with exit code 1; a traceback is shown only on demand.

    Examples
    --------
    >>> raise KinfoldError("the run folder is locked by another process; wait for it or choose another folder.")
    Traceback (most recent call last):
    kinfold.errors.KinfoldError: the run folder is locked by another process; wait for it or choose another folder.
    """


class InputError(KinfoldError, ValueError):
    """The images, labels or parameters that came cannot be used.

    It is a `ValueError` too, as scikit-learn's callers expect.

    Examples
    --------
    >>> issubclass(InputError, ValueError)
    True
    """


class NoRoomError(KinfoldError):
    """The disk, or what one may use of it, is full.

    Examples
    --------
    >>> issubclass(NoRoomError, KinfoldError)
    True
    """


@contextmanager
def room_for(path: str | Path) -> Iterator[None]:
    """Say in one sentence that the disk is full, if it is while `path` is written; of two, the outer says it.

    Raises
    ------
    NoRoomError
        In place of the OSError of a full disk or an exhausted quota.

    Examples
    --------
    >>> with room_for("runs/a/labels.csv"):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    ...
    kinfold.errors.NoRoomError: runs/a/labels.csv could not be written: the disk is full. Finished work is kept: make
    room and give the same command again, with --resume where it has that.
    """
    try:
        yield
    except (OSError, NoRoomError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise NoRoomError(
            f"{path} could not be written: the disk is full. Finished work is kept: make room and give the same "
            "command again, with --resume where it has that."
        ) from error
