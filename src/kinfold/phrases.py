"""Counts in words, the same wherever Kinfold speaks: notes of the data, the terminal, the report."""

from __future__ import annotations

import unicodedata


def plural(count: int, noun: str) -> str:
    """Count and noun.

    Examples
    --------
    >>> plural(1, "image"), plural(2000, "image")
    ('1 image', '2,000 images')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def one_line(text: str) -> str:
    r"""A sentence as a terminal may show it: signs that move, colour or break lines, as names may hold, spelt out.

    Examples
    --------
    >>> print(one_line("red\x1b[31m.png"), one_line("two\nlines"))
    red\x1b[31m.png two\nlines
    """
    odd = ("Cc", "Zl", "Zp")
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in odd else c for c in text)
