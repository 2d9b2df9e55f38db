"""What Kinfold raises when something expected goes wrong: one sentence with what came, what was expected, the cure."""

from __future__ import annotations

__all__ = ["InputError", "KinfoldError"]


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
