"""How well binary codes find images of the same class: the three figures of the hashing papers.

Images are ranked by the Hamming distance of their codes. Equal distances are many; images at one distance count alike
in every figure, so nothing depends on the order in which the gallery is stored.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from kinfold.errors import InputError

Ints = npt.NDArray[np.int64]
CHUNK = 200  # queries at a time


def hamming(a: npt.NDArray[np.integer], b: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Number of bits in which codes differ ``(m, d), (n, d) -> (m, n)``.

    Examples
    --------
    >>> hamming(np.array([[0, 1]]), np.array([[0, 1], [1, 0]]))
    array([[0, 2]])
    """
    one, two = (2.0 * np.asarray(codes, dtype=np.float32) - 1 for codes in (a, b))
    return np.asarray((a.shape[1] - one @ two.T) / 2 + 0.5, dtype=np.int64)


def draw_queries(y: npt.NDArray[np.integer], per_class: int, seed: int) -> Ints:
    """Positions of `per_class` random images of each class, all of smaller classes ``(n,) -> (q,)``.

    Examples
    --------
    >>> sorted(draw_queries(np.array([0, 0, 1, 1]), 2, seed=0).tolist())
    [0, 1, 2, 3]
    """
    dice = np.random.default_rng(seed)
    members = (dice.permutation(np.flatnonzero(y == c))[:per_class] for c in np.unique(y))
    return np.concatenate(list(members)).astype(np.int64)


def retrieval(
    codes: npt.NDArray[np.integer],
    y: npt.NDArray[np.integer],
    queries: npt.NDArray[np.integer],
    *,
    first: int = 500,
    radius: int = 2,
) -> dict[str, float]:
    """Mean average precision, precision among the first, and precision within a radius ``(n, d), (n,), (q,) -> ...``.

    The average precision of a query is that of scikit-learn: the precision where a distance ends holds for all at it.
    A list that ends within a distance takes its share of the images at it.

    Parameters
    ----------
    codes : (n, d) of 0 and 1
        Of queries and gallery.
    y : (n,) int
        Classes.
    queries : (q,) int
        Positions of the queries; all others are the gallery.
    first : int
        Length of the list for the second figure.
    radius : int
        Largest distance for the third; a query with nothing within it counts 0.

    Returns
    -------
    dict
        ``map``, ``precision_first`` and ``precision_radius``.

    Raises
    ------
    InputError
        If a code is not of noughts and ones, or nothing is left for the gallery.

    Examples
    --------
    >>> codes = np.array([[0, 0], [0, 0], [1, 1], [1, 1]])
    >>> retrieval(codes, np.array([0, 0, 1, 1]), np.array([0, 2]), first=1, radius=0)
    {'map': 1.0, 'precision_first': 1.0, 'precision_radius': 1.0}
    """
    codes = np.asarray(codes)
    if codes.ndim != 2 or not np.isin(np.unique(codes), (0, 1)).all():
        raise InputError(f"codes has shape {codes.shape} and values beyond 0 and 1; expected (n, d) bits.")
    gallery = np.setdiff1d(np.arange(len(codes)), queries)
    if not len(gallery) or not len(queries):
        raise InputError(f"{len(queries)} of {len(codes)} images are queries; expected some, and some for the gallery.")
    parts = [_figures(*level, first, radius) for level in _levels(codes, y, queries, gallery)]
    means = np.concatenate(parts, axis=1).mean(1)
    return dict(zip(("map", "precision_first", "precision_radius"), (float(m) for m in means), strict=True))


def _levels(
    codes: npt.NDArray[np.integer], y: npt.NDArray[np.integer], queries: npt.NDArray[np.integer], gallery: Ints
) -> Iterator[tuple[Ints, Ints]]:
    """Gallery images, and those of the query's class, at each distance ``-> (q, d + 1) twice``, query by query."""
    d = codes.shape[1]
    for start in range(0, len(queries), CHUNK):
        some = queries[start : start + CHUNK]
        at = hamming(codes[some], codes[gallery]) + (d + 1) * np.arange(len(some))[:, None]
        same = y[some][:, None] == y[gallery]
        bins = len(some) * (d + 1)
        yield (
            np.bincount(at.ravel(), minlength=bins).reshape(-1, d + 1),
            np.bincount(at[same], minlength=bins).reshape(-1, d + 1),
        )


def _figures(found: Ints, right: Ints, first: int, radius: int) -> npt.NDArray[np.float64]:
    """The three figures of each query from its levels ``(q, l), (q, l) -> (3, q)``."""
    all_found, all_right = found.cumsum(1), right.cumsum(1)
    precision = all_right / np.maximum(all_found, 1)
    average = (right * precision).sum(1) / np.maximum(all_right[:, -1], 1)
    first = min(first, int(all_found[0, -1]))
    taken = np.clip(first - (all_found - found), 0, found)  # of each level, as long as the list is
    among = (taken * right / np.maximum(found, 1)).sum(1) / first
    within = precision[:, min(radius, found.shape[1] - 1)]
    return np.stack([average, among, within])
