"""Scores of a clustering: against known labels, and without any.

scikit-learn and scipy do the mathematics. This module fixes the conventions of the field in one place: the geometric
mean in NMI (the form of the papers), accuracy under the best one-to-one map of clusters to classes, and sampling where
a score would cost n² otherwise. Labels are whatever ``numpy.unique`` can sort: integers, strings, booleans.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    normalized_mutual_info_score,
    silhouette_score,
)
from sklearn.metrics.cluster import contingency_matrix

from kinfold.errors import InputError

__all__ = ["NAMES", "accuracy", "alignment", "ami", "ari", "confusion", "nmi", "scores", "silhouette", "stability"]

# How a reader calls the scores whose name in code is no word.
NAMES = {"nmi": "NMI", "nmi_arithmetic": "NMI, arithmetic mean", "ari": "ARI", "ami": "AMI"}

Average = Literal["geometric", "arithmetic", "min", "max"]
Codes = NDArray[np.int64]


def nmi(y: ArrayLike, labels: ArrayLike, average: Average = "geometric") -> float:
    """Normalised mutual information, in [0, 1]: ``(n,), (n,) -> ()``.

    Parameters
    ----------
    y, labels
        True classes and clusters, one an image.
    average
        Mean of the two entropies that divides the mutual information. ``"geometric"`` is the form of the papers on deep
        clustering; ``"arithmetic"`` is scikit-learn's default.

    Raises
    ------
    InputError
        If the two are not one-dimensional, differ in length or are empty.

    Examples
    --------
    >>> nmi([0, 0, 1, 1], ["b", "b", "a", "a"])
    1.0
    >>> nmi([0, 0, 1, 1], [0, 1, 0, 1])
    0.0
    """
    true, found = _codes(y, labels)
    return float(normalized_mutual_info_score(true, found, average_method=average))


def ami(y: ArrayLike, labels: ArrayLike) -> float:
    """Adjusted mutual information, at most 1 and 0 by chance, arithmetic mean: ``(n,), (n,) -> ()``.

    Examples
    --------
    >>> ami([0, 0, 1, 1], [1, 1, 0, 0])
    1.0
    """
    true, found = _codes(y, labels)
    return float(adjusted_mutual_info_score(true, found))


def ari(y: ArrayLike, labels: ArrayLike) -> float:
    """Adjusted Rand index, in [-0.5, 1] and 0 by chance: ``(n,), (n,) -> ()``.

    Examples
    --------
    >>> ari([0, 0, 1, 1], [1, 1, 0, 0])
    1.0
    """
    true, found = _codes(y, labels)
    return float(adjusted_rand_score(true, found))


def accuracy(y: ArrayLike, labels: ArrayLike) -> float:
    """Share of images under the best one-to-one map of clusters to classes, in (0, 1]: ``(n,), (n,) -> ()``.

    The map is found by the Hungarian method. With more clusters than classes the images of unmatched clusters count
    as wrong; with fewer, those of unmatched classes do.

    Examples
    --------
    >>> accuracy([0, 0, 1, 1], [5, 5, 5, 3])
    0.75
    """
    true, found = _codes(y, labels)
    table = _table(true, found)
    rows, columns = linear_sum_assignment(table, maximize=True)
    return float(table[rows, columns].sum() / true.size)


def scores(y: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """All scores against known labels at once: ``(n,), (n,) -> {name: score}``.

    Examples
    --------
    >>> scores([0, 0, 1, 1], [1, 1, 0, 0])
    {'nmi': 1.0, 'acc': 1.0, 'ari': 1.0, 'ami': 1.0, 'nmi_arithmetic': 1.0}
    """
    return {
        "nmi": nmi(y, labels),
        "acc": accuracy(y, labels),
        "ari": ari(y, labels),
        "ami": ami(y, labels),
        "nmi_arithmetic": nmi(y, labels, average="arithmetic"),
    }


def alignment(y: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    """Order of classes and of clusters that puts matched pairs on the diagonal: ``(n,), (n,) -> (classes,), (k,)``.

    Matched classes come first, in sorted order, each with its cluster at the same position; then what has no partner,
    in sorted order.

    Examples
    --------
    >>> classes, clusters = alignment(["cat", "cat", "dog"], [1, 1, 0])
    >>> [str(name) for name in classes], clusters.tolist()
    (['cat', 'dog'], [1, 0])
    """
    true, found = _codes(y, labels)
    rows, columns = _order(_table(true, found))
    return np.unique(np.asarray(y))[rows], np.unique(np.asarray(labels))[columns]


def confusion(y: ArrayLike, labels: ArrayLike) -> Codes:
    """Counts of class (row) against cluster (column), matched pairs on the diagonal: ``(n,), (n,) -> (classes, k)``.

    Rows and columns stand in the order that :func:`alignment` returns, so the diagonal divided by n is
    :func:`accuracy`.

    Examples
    --------
    >>> confusion([0, 0, 1, 1], [5, 5, 5, 3])
    array([[2, 0],
           [1, 1]])
    """
    table = _table(*_codes(y, labels))
    rows, columns = _order(table)
    return table[np.ix_(rows, columns)]


def silhouette(features: ArrayLike, labels: ArrayLike, *, sample: int = 2000, seed: int = 0) -> float:
    """Mean silhouette on at most `sample` images, in [-1, 1], no labels needed: ``(n, d), (n,) -> ()``.

    The score costs the square of the images it looks at, hence the sample, drawn without replacement by `seed`. It is
    not a number (nan) where it is undefined: fewer than two clusters in the sample, or every cluster a single image.

    Raises
    ------
    InputError
        If `features` is not two-dimensional with one row a label.

    Examples
    --------
    >>> round(silhouette([[0.0], [0.1], [9.0], [9.1]], [0, 0, 1, 1]), 2)
    0.99
    """
    points = np.asarray(features)
    found = np.unique(np.asarray(labels), return_inverse=True)[1]
    if points.ndim != 2 or points.shape[0] != found.size:
        raise InputError(
            f"features has shape {points.shape} for {found.size} labels; expected (n, d) with one row a label: "
            "pass the embedding of the same images."
        )
    if found.size > sample:
        chosen = np.random.default_rng(seed).choice(found.size, sample, replace=False)
        points, found = points[chosen], found[chosen]
    if not 2 <= np.unique(found).size < found.size:
        return float("nan")
    return float(silhouette_score(points, found))


def stability(labelings: Sequence[ArrayLike]) -> float:
    """Mean adjusted Rand index over all pairs of labelings of the same images: ``[(n,), …] -> ()``.

    1 means that every run (seed, resample, setting) groups the images in the same way; about 0 means that the runs
    agree no better than chance.

    Raises
    ------
    InputError
        If there are fewer than two labelings, or they differ in length.

    Examples
    --------
    >>> stability([[0, 0, 1, 1], [1, 1, 0, 0], [2, 2, 7, 7]])
    1.0
    """
    if len(labelings) < 2:
        raise InputError(
            f"stability compares labelings in pairs and got {len(labelings)}; pass at least two, for example those of "
            "two seeds."
        )
    pairs = [ari(a, b) for i, a in enumerate(labelings) for b in labelings[:i]]
    return float(np.mean(pairs))


def _codes(y: ArrayLike, labels: ArrayLike) -> tuple[Codes, Codes]:
    true, found = np.asarray(y), np.asarray(labels)
    if true.ndim != 1 or found.ndim != 1 or true.size != found.size or true.size == 0:
        raise InputError(
            f"y has shape {true.shape} and labels {found.shape}; expected two vectors of the same length, at least 1: "
            "pass one class and one cluster an image."
        )
    return np.unique(true, return_inverse=True)[1], np.unique(found, return_inverse=True)[1]


def _table(true: Codes, found: Codes) -> Codes:
    table: Codes = contingency_matrix(true, found).astype(np.int64)
    return table


def _order(table: Codes) -> tuple[Codes, Codes]:
    rows, columns = linear_sum_assignment(table, maximize=True)
    rest_of_rows = np.setdiff1d(np.arange(table.shape[0]), rows)
    rest_of_columns = np.setdiff1d(np.arange(table.shape[1]), columns)
    return np.concatenate([rows, rest_of_rows]), np.concatenate([columns, rest_of_columns])
