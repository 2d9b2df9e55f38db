"""Centres of clusters, and merges that go by them where the neighbour graph has nothing more to say."""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from kinfold.ops.knn import neighbours
from kinfold.ops.merge_tree import Floats, Ints, MergeTree

# Up to this many groups, centres are renewed after every join; above, in rounds.
STEPWISE_UP_TO = 1000


def totals(features: npt.NDArray[np.floating], labels: Ints, n_clusters: int) -> Floats:
    """Sum of the features of every cluster ``(n, d), (n,) -> (k, d)``.

    Examples
    --------
    >>> totals(np.array([[1.0], [2.0], [4.0]]), np.array([0, 1, 1]), 2)
    array([[1.],
           [6.]])
    """
    member = csr_array((np.ones(len(labels)), labels, np.arange(len(labels) + 1)), (len(labels), n_clusters))
    return np.asarray(member.T @ np.asarray(features, dtype=np.float64), dtype=np.float64)


def centres(features: npt.NDArray[np.floating], labels: Ints, n_clusters: int) -> Floats:
    """Mean features of every cluster, each of them used ``(n, d), (n,) -> (k, d)``.

    Examples
    --------
    >>> centres(np.array([[1.0], [2.0], [4.0]]), np.array([0, 1, 1]), 2)
    array([[1.],
           [3.]])
    """
    return totals(features, labels, n_clusters) / np.bincount(labels, minlength=n_clusters)[:, None]


def nearest_centre(query: Floats, centre: Floats, block: int = 4096) -> Ints:
    """Position of the nearest centre, the first among equals ``(q, d), (k, d) -> (q,)``.

    Examples
    --------
    >>> nearest_centre(np.array([[0.0], [0.9]]), np.array([[0.0], [1.0]]))
    array([0, 1])
    """
    half_norm = (centre * centre).sum(axis=1) / 2
    parts = [np.argmin(half_norm - query[i : i + block] @ centre.T, axis=1) for i in range(0, len(query), block)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def at_centres(features: npt.NDArray[np.floating], labels: Ints) -> Ints:
    """Every sample in the cluster of the nearest centre ``(n, d), (n,) -> (n,)``; no cluster is emptied.

    Parameters
    ----------
    features : (n, d) float
        Samples.
    labels : (n,) int
        0 to k - 1, each used.

    Examples
    --------
    >>> at_centres(np.array([[0.0], [1.0], [4.0], [5.0]]), np.array([0, 0, 0, 1]))
    array([0, 0, 1, 1])
    """
    n_clusters = int(labels.max()) + 1
    moved = nearest_centre(np.asarray(features), centres(features, labels, n_clusters))
    while True:  # who is held back may be missed where the others went
        emptied = np.bincount(moved, minlength=n_clusters) == 0
        if not emptied.any():
            return moved
        moved = np.where(emptied[labels], labels, moved)


def join_small(tree: MergeTree, n_level: int, smallest: float, features: npt.NDArray[np.floating]) -> MergeTree:
    """Cut at ``n_level``, then join every small cluster to the large one of the nearest centre ``(n, d) -> tree``.

    Parameters
    ----------
    tree : MergeTree
        Its merges below ``n_level`` clusters are left out.
    n_level : int
        A level at which at least one cluster has ``smallest`` members.
    smallest : float
        Members from which on a cluster is large. The small ones are joined smallest first, at affinity 0, to the
        centres that the large ones have at that level.
    features : (n, d) float
        Samples.

    Examples
    --------
    >>> tree = MergeTree(np.array([0, 0, 1, 1, 2]), np.empty((0, 2), dtype=np.int64), np.empty(0))
    >>> join_small(tree, 3, 2, np.array([[0.0], [0.0], [5.0], [5.0], [9.0]])).cut(2)
    array([1, 1, 0, 0, 0])
    """
    n_kept = tree.n_start - n_level
    nodes, labels, size = np.unique(tree.nodes(n_level)[tree.start], return_inverse=True, return_counts=True)
    centre = centres(features, labels, len(size))
    large, small = np.flatnonzero(size >= smallest), np.flatnonzero(size < smallest)
    small = small[np.argsort(size[small], kind="stable")]
    target = large[nearest_centre(centre[small], centre[large])]
    joins = np.empty((len(small), 2), dtype=np.int64)
    for t, (a, b) in enumerate(zip(small, target, strict=True)):
        joins[t] = nodes[a], nodes[b]
        nodes[b] = tree.n_start + n_kept + t
    return extended(MergeTree(tree.start, tree.merges[:n_kept], tree.affinity[:n_kept]), joins)


def join_unconnected(tree: MergeTree, n_clusters: int, features: npt.NDArray[np.floating] | None) -> MergeTree:
    """Go on to ``n_clusters`` without the graph: the smallest cluster joins the one of the nearest centre.

    With more than `STEPWISE_UP_TO` clusters this goes in rounds: every cluster less than twice as large as the
    smallest, unless another one has joined it in this round, joins the one whose centre was nearest at its beginning
    (approximately so above 20,000 clusters). A round at least doubles the smallest size, so that there are few.

    Without features, the smallest cluster joins the second smallest.

    Parameters
    ----------
    tree : MergeTree
        As far as the graph led.
    n_clusters : int
        Where to stop.
    features : (n, d) float, optional
        Samples.

    Examples
    --------
    >>> tree = MergeTree(np.array([0, 0, 1, 1, 2]), np.empty((0, 2), dtype=np.int64), np.empty(0))
    >>> join_unconnected(tree, 2, np.array([[0.0], [0.0], [5.0], [5.0], [9.0]])).cut(2)
    array([1, 1, 0, 0, 0])
    """
    nodes, labels, size = np.unique(tree.nodes(tree.n_end)[tree.start], return_inverse=True, return_counts=True)
    n_nodes = tree.n_start + len(tree.merges)
    if features is None:
        return extended(tree, _join_by_size(nodes, size, n_nodes, n_clusters))
    total = totals(features, labels, len(size))
    joins: list[Ints] = []
    while len(nodes) > n_clusters:
        pairs = _round(total / size[:, None], size)[: len(nodes) - n_clusters]
        log = np.empty_like(pairs)
        for t, (a, b) in enumerate(pairs):
            log[t] = nodes[a], nodes[b]
            nodes[b] = n_nodes + t
        n_nodes += len(pairs)
        joins.append(log)
        kept = np.ones(len(nodes), dtype=bool)
        kept[pairs[:, 0]] = False
        np.add.at(total, pairs[:, 1], total[pairs[:, 0]])
        np.add.at(size, pairs[:, 1], size[pairs[:, 0]])
        nodes, size, total = nodes[kept], size[kept], total[kept]
    return extended(tree, np.concatenate([*joins, np.empty((0, 2), dtype=np.int64)]))


def extended(tree: MergeTree, joins: Ints) -> MergeTree:
    """The tree with more merges at its end, at affinity 0 ``(m, 2) -> tree``."""
    return MergeTree(
        tree.start,
        np.concatenate([tree.merges, np.sort(joins, axis=1)]),
        np.concatenate([tree.affinity, np.zeros(len(joins))]),
    )


def _round(centre: Floats, size: Ints) -> Ints:
    """Who joins whom, in order: no one is joined after moving or moves after being joined ``-> (m, 2)``."""
    order = np.argsort(size, kind="stable")
    if len(size) <= STEPWISE_UP_TO:
        a = order[0]
        distance = ((centre - centre[a]) ** 2).sum(axis=1)
        distance[a] = np.inf
        return np.array([[a, np.argmin(distance)]])
    movers = order[: np.searchsorted(size[order], 2 * size[order[0]])]
    target = neighbours(centre, 1, exact_up_to=20_000).index[:, 0]
    into = np.arange(len(size))
    joined = np.zeros(len(size), dtype=bool)
    pairs = []
    for a in movers:
        if not joined[a]:
            b = into[target[a]]
            into[a] = b
            joined[b] = True
            pairs.append((a, b))
    return np.array(pairs)


def _join_by_size(nodes: Ints, size: Ints, n_nodes: int, n_clusters: int) -> Ints:
    """Join the two smallest until n_clusters are left ``(r,), (r,) -> (m, 2)``."""
    heap = [(int(s), int(node)) for s, node in zip(size, nodes, strict=True)]
    heapq.heapify(heap)
    joins = np.empty((max(len(heap) - n_clusters, 0), 2), dtype=np.int64)
    for t in range(len(joins)):
        (s, a), (more, b) = heapq.heappop(heap), heapq.heappop(heap)
        joins[t] = a, b
        heapq.heappush(heap, (s + more, n_nodes + t))
    return joins
