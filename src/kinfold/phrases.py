"""Counts in words, the same wherever Kinfold speaks: notes of the data, the terminal, the report."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """Count and noun.

    Examples
    --------
    >>> plural(1, "image"), plural(2000, "image")
    ('1 image', '2,000 images')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
