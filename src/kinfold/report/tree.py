"""The top of the merge tree, small enough for a page that cuts it live."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

MAX_CLUSTERS = 300

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PageTree:
    """A merge tree from ``n_leaves`` clusters down to ``n_end``, and a colour for each of its nodes.

    Attributes
    ----------
    base : (n,) int64
        Cluster of every image at the finest cut the page offers, 0 to n_leaves - 1.
    merges : (n_leaves - n_end, 2) int64
        Merge t joins two nodes into node ``n_leaves + t``.
    affinity : (n_leaves - n_end,) float64
        Affinity at which they were joined.
    colour : (2 n_leaves - n_end,) int64
        Palette entry of every node. The larger part of a cluster keeps its colour when the cluster is split, so that
        one step of the slider changes the colour of one cluster; the k clusters of a cut have the first k entries.
    """

    base: Ints
    merges: Ints
    affinity: npt.NDArray[np.float64]
    colour: Ints

    @property
    def n_leaves(self) -> int:
        """Number of clusters of the finest cut."""
        return int(self.base.max()) + 1

    @property
    def n_end(self) -> int:
        """Number of clusters of the coarsest cut."""
        return self.n_leaves - len(self.merges)

    def nodes(self, n_clusters: int) -> Ints:
        """Node of every image at this number of clusters ``-> (n,)``."""
        return _top(self.n_leaves, self.merges[: self.n_leaves - n_clusters])[self.base]


def page_tree(tree: Any, n_clusters: int) -> PageTree | None:
    """The part of a merge tree that a page shows, or None when there is no tree that holds ``n_clusters``.

    Parameters
    ----------
    tree : MergeTree, mapping or None
        With ``start`` (n,), ``merges`` (m, 2) and ``affinity`` (m,).
    n_clusters : int
        The chosen number of clusters. The page goes up to four times as many (at least 12, at most 300).

    Examples
    --------
    >>> page_tree({"start": [0, 1, 2, 2], "merges": [[0, 1], [2, 3]], "affinity": [0.5, 0.1]}, 2).n_leaves
    3
    """
    if tree is None:
        return None
    part = tree.__getitem__ if isinstance(tree, Mapping) else lambda name: getattr(tree, name)
    start = np.asarray(part("start"), dtype=np.int64)
    merges = np.asarray(part("merges"), dtype=np.int64).reshape(-1, 2)
    affinity = np.asarray(part("affinity"), dtype=np.float64)
    if len(start) == 0:
        return None
    n_start = int(start.max()) + 1
    n_end = n_start - len(merges)
    if not n_end <= n_clusters <= n_start or n_start == n_end:
        return None
    n_leaves = min(n_start, max(n_clusters, n_end, min(MAX_CLUSTERS, max(12, 4 * n_clusters))))
    n_done = n_start - n_leaves
    roots = _top(n_start, merges[:n_done])
    alive, base = np.unique(roots[start], return_inverse=True)
    renamed = np.full(n_start + len(merges), -1, dtype=np.int64)
    renamed[alive] = np.arange(len(alive))
    renamed[n_start + n_done :] = len(alive) + np.arange(len(merges) - n_done)
    kept = renamed[merges[n_done:]]
    base = np.asarray(base, dtype=np.int64)
    return PageTree(base, kept, affinity[n_done:], _colours(base, kept))


def _top(n_leaves: int, merges: Ints) -> Ints:
    """Node that each leaf belongs to after these merges ``-> (n_leaves,)``."""
    parent = np.arange(n_leaves + len(merges))
    parent[merges.ravel()] = np.repeat(n_leaves + np.arange(len(merges)), 2)
    for node in range(len(parent) - 1, -1, -1):
        parent[node] = parent[parent[node]]
    return np.asarray(parent[:n_leaves], dtype=np.int64)


def _colours(base: Ints, merges: Ints) -> Ints:
    n_leaves = int(base.max()) + 1
    size = np.zeros(n_leaves + len(merges), dtype=np.int64)
    size[:n_leaves] = np.bincount(base, minlength=n_leaves)
    is_root = np.ones(len(size), dtype=bool)
    for t, (a, b) in enumerate(merges):
        size[n_leaves + t] = size[a] + size[b]
        is_root[[a, b]] = False
    roots = np.flatnonzero(is_root)
    colour = np.zeros(len(size), dtype=np.int64)
    colour[roots[np.argsort(-size[roots], kind="stable")]] = np.arange(len(roots))
    free = len(roots)
    for t in range(len(merges) - 1, -1, -1):
        large, small = sorted(merges[t], key=lambda node: (-size[node], node))
        colour[large], colour[small] = colour[n_leaves + t], free
        free += 1
    return colour


def matched_colours(labels: Ints, tree: PageTree | None) -> Ints:
    """Palette entry of each reported cluster ``(n,) -> (k,)``: that of the tree's cluster it shares most images with.

    The reported labels can differ from the tree's cut of the same size where training went on after merging.
    """
    n_clusters = int(labels.max()) + 1 if len(labels) else 0
    if tree is None:
        return np.arange(n_clusters)
    nodes, inverse = np.unique(tree.nodes(n_clusters), return_inverse=True)
    shared = np.zeros((n_clusters, len(nodes)), dtype=np.int64)
    np.add.at(shared, (labels, inverse), 1)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    colour = np.arange(n_clusters)
    colour[rows] = tree.colour[nodes[columns]]
    return colour


def agreement(labels: Ints, tree: PageTree) -> float:
    """Share of images whose reported cluster is the tree's of the same number of clusters, in [0, 1]."""
    n_clusters = int(labels.max()) + 1
    nodes, inverse = np.unique(tree.nodes(n_clusters), return_inverse=True)
    shared = np.zeros((n_clusters, len(nodes)), dtype=np.int64)
    np.add.at(shared, (labels, inverse), 1)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    return float(shared[rows, columns].sum() / max(1, len(labels)))
