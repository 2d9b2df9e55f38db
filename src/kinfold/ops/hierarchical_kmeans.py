"""k-means in levels, for many clusters of very many vectors, and samples that are even over what there is.

Vo et al. 2024 (ssl-data-curation): the centres of one level are the vectors of the next. On the upper levels k-means is
run again on the few vectors nearest to each centre, which makes centres spread evenly over the support of the data
and not after its density. `balanced_sample` then draws the same number from every branch, as far as it goes.

The finest level has the most clusters. Above `SPLIT_ABOVE` they are found in two steps, coarse clusters first and some
more within each, so that a row is compared with about two square roots of k centres and not with k.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from kinfold.errors import InputError
from kinfold.ops.kmeans import IN_MEMORY, Codebook, Form, kmeans
from kinfold.ops.source import Floats, Ints, Processes, Samples, added, as_source, place, unit

SPLIT_ABOVE = 4096
MOST = 256  # rows a cluster that the centres of the finest level are learned from


@dataclass(frozen=True)
class SplitCodebook(Codebook):
    """Centres in groups: a row goes to the nearest coarse centre, then to the nearest centre of that group.

    Attributes
    ----------
    coarse : (g, d) float32
    first : (g + 1,) int64
        Group i has the centres from ``first[i]`` to ``first[i + 1]``.
    """

    coarse: Samples | None = None
    first: Ints | None = None

    def _search(self) -> Callable[[Samples], tuple[Ints, Samples]]:
        if self.coarse is None or self.first is None:
            raise InputError("a SplitCodebook came without its groups; expected coarse and first.")
        first = self.first
        group_of = Codebook(self.coarse, self.form)._search()
        within = [Codebook(self.centres[a:b], self.form)._search() for a, b in pairwise(first)]

        def nearest(rows: Samples) -> tuple[Ints, Samples]:
            group, gain = group_of(rows)
            found = np.full(len(rows), -1, dtype=np.int64)
            order = np.argsort(group, kind="stable")
            cuts = np.searchsorted(group[order], np.arange(len(first)))
            for g, (a, b) in enumerate(pairwise(cuts)):
                members = order[a:b]
                if len(members):
                    found[members] = first[g] + within[g](rows[members])[0]
            return found, gain

        return nearest


@dataclass(frozen=True)
class Level:
    """One level of a hierarchy.

    Attributes
    ----------
    book : Codebook
        Its centres.
    labels : (m,) int64
        Cluster of each vector of the level below; of each row on the finest level.
    """

    book: Codebook
    labels: Ints


@dataclass(frozen=True)
class Hierarchy:
    """Levels, the finest first.

    Examples
    --------
    >>> found = hierarchical_kmeans([[0.0], [0.1], [1.0], [9.0]], [3, 2])
    >>> len(np.unique(found.labels(0))), len(np.unique(found.labels(1)))
    (3, 2)
    """

    levels: list[Level]

    def labels(self, level: int = -1) -> Ints:
        """Cluster of every row on a level, the coarsest by default ``-> (n,)``."""
        chosen = self.levels[: level + 1] if level >= 0 else self.levels[: len(self.levels) + level + 1]
        found = chosen[0].labels
        for above in chosen[1:]:
            found = above.labels[found]
        return found


def hierarchical_kmeans(
    x: Any,
    n_clusters: Sequence[int],
    *,
    n_resamplings: int = 10,
    n_nearest: int = 10,
    n_iterations: int = 20,
    form: Form = "euclidean",
    most: int | None = MOST,
    seed: int = 0,
    run: Processes | None = None,
) -> Hierarchy:
    """Cluster vectors, then the centres, and so on ``(n, d) -> Hierarchy``.

    Parameters
    ----------
    x
        What `kinfold.ops.source.as_source` reads; on two passes or three, whatever the number of levels.
    n_clusters : sequence of int
        Of each level, finest first, falling.
    n_resamplings : int
        How often the upper levels are clustered again on what is nearest to each centre.
    n_nearest : int
        How much that is.
    n_iterations, form, most, seed, run
        As for `kinfold.ops.kmeans.kmeans`; `most` acts on the finest level.

    Raises
    ------
    InputError
        If the numbers do not fall or there are fewer rows than clusters.
    """
    counts = [int(k) for k in n_clusters]
    if not counts or any(a <= b for a, b in pairwise(counts)):
        raise InputError(f"n_clusters is {list(n_clusters)}; expected falling numbers, the finest level first.")
    source = as_source(x)
    if counts[0] > SPLIT_ABOVE:
        found = split_kmeans(source, counts[0], n_iterations=n_iterations, form=form, most=most, seed=seed, run=run)
    else:
        book = kmeans(source, counts[0], n_iterations=n_iterations, form=form, most=most, seed=seed, run=run)
        found = Level(book.book, book.labels)
    levels = [found]
    rng = np.random.default_rng(seed)
    for k in counts[1:]:
        levels.append(_above(levels[-1].book.centres, k, n_resamplings, n_nearest, n_iterations, form, rng))
    return Hierarchy(levels)


def _above(
    centres: Samples, k: int, n_resamplings: int, n_nearest: int, n_iterations: int, form: Form,
    rng: np.random.Generator,
) -> Level:  # fmt: skip
    """Cluster the centres of one level, evenly over their support. In memory, so each process does it alone."""
    items = unit(centres) if form == "spherical" else centres
    found = kmeans(items, k, n_iterations=n_iterations, form=form, growing=False, seed=int(rng.integers(2**31)))
    labels, book = found.labels, found.book
    for _ in range(n_resamplings):
        chosen = nearest_members(items, labels, book.centres, n_nearest)
        if len(chosen) < k:
            break
        again = kmeans(
            items[chosen], k, n_iterations=n_iterations, form=form, growing=False, seed=int(rng.integers(2**31))
        )
        book = again.book
        labels = np.asarray(book.assign(items), dtype=np.int64)
    return Level(book, labels)


def nearest_members(x: Samples, labels: Ints, centres: Samples, n_nearest: int) -> Ints:
    """The members nearest to each centre ``(n, d), (n,), (k, d) -> (m,)``, ascending.

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [3.0], [9.0]], dtype=np.float32)
    >>> nearest_members(x, np.array([0, 0, 0, 1]), np.array([[1.0], [9.0]], dtype=np.float32), 1)
    array([1, 3])
    """
    squared = ((x - centres[labels]).astype(np.float64) ** 2).sum(axis=1)
    order = np.lexsort((squared, labels))
    start = np.searchsorted(labels[order], labels[order])  # where the own cluster begins
    return np.sort(order[np.arange(len(x)) - start < n_nearest])


def split_kmeans(
    x: Any,
    n_clusters: int,
    *,
    n_coarse: int | None = None,
    n_iterations: int = 20,
    form: Form = "euclidean",
    most: int | None = MOST,
    seed: int = 0,
    run: Processes | None = None,
) -> Level:
    """Many clusters in two steps: some coarse ones, then more within each, by its rows ``(n, d) -> Level``.

    Centres are learned from a sample that fits in memory (half a gigabyte at most); all rows are assigned.

    Parameters
    ----------
    n_coarse : int, optional
        Coarse clusters; the square root of `n_clusters` when None.
    n_iterations, form, most, seed, run
        As for `kinfold.ops.kmeans.kmeans`.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(400, 2))
    >>> found = split_kmeans(x, 36)
    >>> found.book.centres.shape, len(np.unique(found.labels))
    ((36, 2), 36)
    """
    source = as_source(x)
    n, d = source.shape
    if not 1 <= n_clusters <= n:
        raise InputError(f"n_clusters is {n_clusters} and there are {n} vectors; expected 1 to {n}: ask for fewer.")
    rng = np.random.default_rng(seed)
    n_coarse = min(n_clusters, n_coarse or max(1, round(n_clusters**0.5)))
    size = max(n_clusters, min(n, IN_MEMORY // d, n_clusters * (most or n)))
    sample = source.take(np.sort(rng.choice(n, size, replace=False)) if size < n else np.arange(n))
    coarse = kmeans(sample, n_coarse, n_iterations=n_iterations, form=form, seed=seed, run=run)
    share = even_shares(coarse.counts, n_clusters)
    rank, world = place(run)
    centres: Floats = np.zeros((n_clusters, d))
    first = np.concatenate([[0], np.cumsum(share)])
    for g in range(n_coarse):
        if g % world == rank and share[g]:
            rows = sample[coarse.labels == g]
            within = kmeans(rows, int(share[g]), n_iterations=n_iterations, form=form, seed=seed + 1 + g)
            centres[first[g] : first[g + 1]] = within.centres
    held = share > 0  # a coarse cluster without rows holds no centre
    book = SplitCodebook(
        added(centres, run).astype(np.float32), form, None, coarse.centres[held],
        np.concatenate([[0], np.cumsum(share[held])]),
    )  # fmt: skip
    return Level(book, np.asarray(book.assign(source, run=run), dtype=np.int64))


def even_shares(sizes: Ints, total: int) -> Ints:
    """Divide a number in proportion to sizes, one at least and the size at most ``(g,) -> (g,)``.

    Examples
    --------
    >>> even_shares(np.array([60, 30, 1, 0]), 10)
    array([6, 3, 1, 0])
    """
    share = np.clip(np.floor(sizes / max(sizes.sum(), 1) * total).astype(np.int64), sizes > 0, sizes)
    while share.sum() != total:
        # The most under-served gets one more, or the most over-served one less.
        room = (share < sizes) if share.sum() < total else (share > 1)
        each = np.where(room, sizes / np.maximum(share + (share.sum() < total), 1), np.nan)
        i = int(np.nanargmax(each) if share.sum() < total else np.nanargmin(each))
        share[i] += 1 if share.sum() < total else -1
    return np.asarray(share, dtype=np.int64)


def balanced_sample(hierarchy: Hierarchy, n_items: int, *, seed: int = 0) -> Ints:
    """Draw rows evenly over the branches of a hierarchy ``-> (n_items,)`` ascending positions.

    A number of rows is divided among the children of a node so that every child gives x, or all it has where that is
    less, with the largest x possible; what remains comes from random children that have more. So on down the levels.

    Parameters
    ----------
    n_items : int
        At most as many as there are rows.

    Examples
    --------
    >>> x = np.repeat([[0.0], [1.0], [9.0]], [50, 5, 2], axis=0)
    >>> drawn = balanced_sample(hierarchical_kmeans(x, [3, 2], n_resamplings=0), 6)
    >>> np.unique(x[drawn], return_counts=True)[1]
    array([2, 2, 2])
    """
    n = len(hierarchy.levels[0].labels)
    if not 0 <= n_items <= n:
        raise InputError(f"n_items is {n_items}; expected 0 to {n}, the number of rows.")
    rng = np.random.default_rng(seed)
    sizes = [np.bincount(hierarchy.levels[0].labels, minlength=len(hierarchy.levels[0].book.centres))]
    for level in hierarchy.levels[1:]:
        sizes.append(np.bincount(level.labels, sizes[-1], minlength=len(level.book.centres)).astype(np.int64))
    quota = water_fill(sizes[-1], n_items, rng)
    for depth in range(len(hierarchy.levels) - 1, 0, -1):
        below = np.zeros(len(sizes[depth - 1]), dtype=np.int64)
        for children, wanted in _groups(hierarchy.levels[depth].labels, quota):
            below[children] = water_fill(sizes[depth - 1][children], wanted, rng)
        quota = below
    drawn = [rng.choice(rows, wanted, replace=False) for rows, wanted in _groups(hierarchy.levels[0].labels, quota)]
    return np.sort(np.concatenate([np.empty(0, dtype=np.int64), *drawn]))


def _groups(labels: Ints, quota: Ints) -> list[tuple[Ints, int]]:
    """Members of every cluster from which something is wanted, and how much."""
    order = np.argsort(labels, kind="stable")
    cuts = np.searchsorted(labels[order], np.arange(len(quota) + 1))
    return [(order[cuts[c] : cuts[c + 1]], int(quota[c])) for c in np.flatnonzero(quota)]


def water_fill(sizes: Ints, total: int, rng: np.random.Generator) -> Ints:
    """Divide a number evenly among children of these sizes ``(c,) -> (c,)``.

    Examples
    --------
    >>> water_fill(np.array([50, 5, 2]), 12, np.random.default_rng(0))
    array([5, 5, 2])
    """
    low, high = 0, int(sizes.max(initial=0))
    while low < high:  # the largest x with sum(min(x, size)) <= total
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(middle, sizes).sum() <= total else (low, middle - 1)
    share: Ints = np.minimum(low, sizes).astype(np.int64)
    more = rng.permutation(np.flatnonzero(sizes > low))[: total - int(share.sum())]
    share[more] += 1
    return share
