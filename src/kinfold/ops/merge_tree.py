"""The log of an agglomeration: a tree that can be cut at any number of clusters."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from kinfold.errors import InputError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MergeTree:
    """The merges that lead from the initial clusters to the last ones; cut it at any number of clusters.

    Attributes
    ----------
    start : (n,) int64
        Initial cluster of every sample, 0 to n_0 - 1.
    merges : (m, 2) int64
        Merge t joins these two nodes into node ``n_0 + t``; nodes below n_0 are initial clusters (the convention of
        ``scipy.cluster.hierarchy.linkage``).
    affinity : (m,) float64
        Affinity of the two clusters when they were merged, at least 0; 0 where the graph offered no edge and centres
        decided.

    Examples
    --------
    >>> tree = MergeTree(np.array([0, 0, 1, 2]), np.array([[0, 1], [2, 3]]), np.array([0.5, 0.1]))
    >>> tree.cut(2)
    array([0, 0, 0, 1])
    """

    start: Ints
    merges: Ints
    affinity: Floats

    @property
    def n_start(self) -> int:
        """Number of initial clusters."""
        return int(self.start.max()) + 1 if len(self.start) else 0

    @property
    def n_end(self) -> int:
        """Number of clusters after the last merge."""
        return self.n_start - len(self.merges)

    def cut(self, n_clusters: int) -> Ints:
        """Labels with this many clusters ``-> (n,)``, numbered from the largest cluster to the smallest.

        Raises
        ------
        InputError
            If this is no whole number, or the tree does not hold a partition of this size.
        """
        try:
            n_clusters = operator.index(n_clusters)
        except TypeError:
            raise InputError(f"n_clusters is {n_clusters!r}; expected a whole number.") from None
        if not self.n_end <= n_clusters <= self.n_start:
            raise InputError(
                f"n_clusters is {n_clusters}; this tree can be cut between {self.n_end} and {self.n_start} clusters."
            )
        return by_size(self.nodes(n_clusters)[self.start])

    def nodes(self, n_clusters: int) -> Ints:
        """Node of the tree that holds every initial cluster when ``n_clusters`` are left ``-> (n_0,)``.

        Examples
        --------
        >>> MergeTree(np.array([0, 1, 2]), np.array([[0, 2]]), np.array([0.5])).nodes(2)
        array([3, 1, 3])
        """
        n_start, n_merges = self.n_start, self.n_start - n_clusters
        n_nodes = n_start + n_merges
        union = np.repeat(np.arange(n_start, n_nodes), 2)
        ends = (self.merges[:n_merges].ravel(), union)
        links = csr_array((np.ones(2 * n_merges, dtype=np.int8), ends), (n_nodes, n_nodes))
        _, part = connected_components(links, directed=False)
        top = np.zeros(n_clusters, dtype=np.int64)
        np.maximum.at(top, part, np.arange(n_nodes))  # the union of a part is its highest node
        held: Ints = top[part[:n_start]]
        return held


def continued(tree: MergeTree, on: MergeTree) -> MergeTree:
    """The tree, and then the merges of another one that starts with its last clusters.

    Parameters
    ----------
    tree : MergeTree
    on : MergeTree
        Initial cluster i is the i-th of `last_clusters(tree)`.

    Examples
    --------
    >>> tree = MergeTree(np.array([0, 1, 2]), np.array([[0, 2]]), np.array([0.5]))
    >>> on = MergeTree(last_clusters(tree), np.array([[0, 1]]), np.array([0.1]))
    >>> continued(tree, on).merges
    array([[0, 2],
           [1, 3]])
    """
    nodes = np.unique(tree.nodes(tree.n_end))
    nodes = np.concatenate([nodes, tree.n_start + len(tree.merges) + np.arange(len(on.merges))])
    return MergeTree(
        tree.start,
        np.concatenate([tree.merges, np.sort(nodes[on.merges], axis=1).reshape(-1, 2)]),
        np.concatenate([tree.affinity, on.affinity]),
    )


def last_clusters(tree: MergeTree) -> Ints:
    """Clusters after the last merge, in the order of their nodes ``-> (n,)``."""
    _, labels = np.unique(tree.nodes(tree.n_end)[tree.start], return_inverse=True)
    return np.asarray(labels, dtype=np.int64)


def within(tree: MergeTree, labels: npt.NDArray[np.integer]) -> MergeTree:
    """What a tree says about the inside of groups that are none of its branches ``(n,) -> tree``.

    Initial clusters are parted where they hold samples of several groups. A merge is repeated in every group that has
    samples on both sides of it, so that a group ends as one cluster if the tree does. Merges keep their order and
    affinity.

    Parameters
    ----------
    tree : MergeTree
        Down to one cluster.
    labels : (n,) int
        Group of every sample, 0 and up.

    Examples
    --------
    >>> merges = np.array([[0, 1], [2, 3], [4, 5]])
    >>> tree = MergeTree(np.array([0, 1, 2, 3]), merges, np.array([0.9, 0.8, 0.1]))
    >>> inside = within(tree, np.array([0, 0, 1, 0]))
    >>> inside.cut(2), inside.affinity
    (array([0, 0, 1, 0]), array([0.9, 0.1]))
    """
    groups = int(np.max(labels)) + 1
    parts, start = np.unique(tree.start * groups + labels, return_inverse=True)
    held: list[dict[int, int]] = [{} for _ in range(tree.n_start)]  # of every node: group -> node of the new tree
    for node, (old, group) in enumerate(zip(*np.divmod(parts, groups), strict=True)):
        held[old][int(group)] = node
    merges, affinity = [], []
    for (a, b), strength in zip(tree.merges.tolist(), tree.affinity.tolist(), strict=True):
        few, many = sorted((held[a], held[b]), key=len)
        for group, node in few.items():
            if group in many:
                merges.append((many[group], node))
                affinity.append(strength)
                node = len(parts) + len(merges) - 1
            many[group] = node
        held[a] = held[b] = {}
        held.append(many)
    return MergeTree(
        np.asarray(start, dtype=np.int64),
        np.sort(np.array(merges, dtype=np.int64).reshape(-1, 2), axis=1),
        np.array(affinity, dtype=np.float64),
    )


def regrouped(tree: MergeTree, labels: npt.NDArray[np.integer], merge: Callable[[Ints], MergeTree]) -> MergeTree:
    """The tree, mended so that groups that are none of its branches are a cut of it ``(n,) -> tree``.

    Inside of the groups the merges are those of the tree (see `within`); from them on it goes down as `merge` decides.

    Parameters
    ----------
    tree : MergeTree
        Down to one cluster.
    labels : (n,) int
        Group of every sample, 0 and up.
    merge : callable
        From labels to the merges that lead from these clusters to fewer, such as `kinfold.ops.agglomerate.agglomerate`
        on the graph of the tree.
    """
    inside = within(tree, labels)
    return continued(inside, merge(last_clusters(inside)))


def by_size(labels: npt.NDArray[np.integer]) -> Ints:
    """Renumber clusters from the largest (0) to the smallest, ties by first appearance ``(n,) -> (n,)``.

    Examples
    --------
    >>> by_size(np.array([7, 3, 3]))
    array([1, 0, 0])
    """
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -counts))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[inverse]
