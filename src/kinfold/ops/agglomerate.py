"""Graph degree linkage: agglomerative clustering on a directed neighbour graph, exact, sparse and compiled.

The affinity of two clusters is the one of graph degree linkage (Zhang et al., ECCV 2012), the choice of the next
merge is JULE's (Yang, Parikh, Batra, CVPR 2016). For a sample m and a cluster C write

    out_C(m) = sum of W[m, n] over n in C          (weight that leaves m for C)
    in_C(m)  = sum of W[n, m] over n in C          (weight that reaches m from C)
    U(i -> j) = sum over m in C_i of in_{C_j}(m) * out_{C_j}(m)
    A(i, j)   = U(i -> j) / |C_j|^2 + U(j -> i) / |C_i|^2

JULE's score of a cluster with affinities s_1 >= s_2 >= ... to the others adds how far the first stands out:

    score(i) = s_1 + lambda / (K_c - 1) * sum_{k=2..K_c} (s_1 - s_k)

The cluster of the highest score is merged with its nearest one. ``K_c = 1`` or ``lambda = 0`` is plain graph degree
linkage. After merging a and b,

    U(ab -> r) = U(a -> r) + U(b -> r)
    U(r -> ab) = U(r -> a) + U(r -> b) + sum over m in C_r of [in_a(m) * out_b(m) + in_b(m) * out_a(m)]

Only non-zero terms are stored: for every sample the clusters that touch it, for every cluster its neighbours in A.
A merge moves the smaller cluster's entries into the larger one's, so that the whole tree costs about
O(n K_s log n). The partition is the one of the dense recurrence. The loop is compiled by numba on first use, see
`kinfold.ops._kernels`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array, triu
from scipy.sparse.csgraph import connected_components

from kinfold.errors import InputError
from kinfold.ops.centres import centres, join_small, join_unconnected
from kinfold.ops.knn import neighbours
from kinfold.ops.merge_tree import Floats, Ints, MergeTree, by_size, continued, last_clusters

__all__ = ["MergeTree", "agglomerate", "agglomerate_sized", "by_size", "initial_clusters", "join_isolated"]


def initial_clusters(nearest: npt.NDArray[np.integer]) -> Ints:
    """Clusters formed by nearest-neighbour chains: the components of the 1-nearest-neighbour graph ``(n,) -> (n,)``.

    Parameters
    ----------
    nearest : (n,) int
        Index of each sample's nearest other sample.

    Raises
    ------
    InputError
        If an index is out of range.

    Examples
    --------
    >>> initial_clusters(np.array([1, 0, 3, 2]))
    array([0, 0, 1, 1])
    """
    n = len(nearest)
    if n and not 0 <= np.min(nearest) <= np.max(nearest) < n:
        raise InputError(f"nearest holds {np.min(nearest)} to {np.max(nearest)}; expected indices of {n} samples.")
    graph = csr_array((np.ones(n, dtype=np.int8), (np.arange(n), nearest)), shape=(n, n))
    _, labels = connected_components(graph, directed=True, connection="weak")
    return np.asarray(labels, dtype=np.int64)


def join_isolated(graph: csr_array, labels: npt.NDArray[np.integer], features: npt.NDArray[np.floating]) -> Ints:
    """Clusters without an affinity to any other join the one of the nearest centre ``(n, n), (n,), (n, d) -> (n,)``.

    No merge would ever reach them. The nearest one may be isolated, too.

    Parameters
    ----------
    graph, labels, features
        As the graph, start and features of `agglomerate`.

    Raises
    ------
    InputError
        As `agglomerate`.

    Notes
    -----
    The released code of JULE does this at the start of a period, while there are over twenty times as many clusters
    as wanted. There an empty cluster stays behind, which cannot be meant.

    Examples
    --------
    >>> from kinfold.ops.affinity import affinity
    >>> x = np.array([[0, 0], [0, 1], [3, 0], [3, 1], [9, 0]], dtype="float32")
    >>> join_isolated(affinity(x, 2), np.array([0, 0, 1, 1, 2]), x)
    array([0, 0, 1, 1, 1])
    """
    start = np.ascontiguousarray(labels, dtype=np.int64)
    n_clusters = _check(graph, start, 1, 1, 0.0, features)
    linked = _edges(_touches(csr_array(graph), start, n_clusters), start, n_clusters)[0]
    isolated = np.setdiff1d(np.arange(n_clusters), linked)
    if len(isolated) == 0 or n_clusters == 1:
        return start
    to = np.arange(n_clusters)
    to[isolated] = neighbours(centres(features, start, n_clusters), 1).index[isolated, 0]
    return initial_clusters(to)[start]


def agglomerate(
    graph: csr_array,
    start: npt.NDArray[np.integer],
    n_clusters: int = 1,
    *,
    n_local: int = 5,
    weight_local: float = 1.0,
    local_above: int = 0,
    exact: bool = True,
    half: bool = False,
    features: npt.NDArray[np.floating] | None = None,
) -> MergeTree:
    """Merge clusters of a directed neighbour graph until ``n_clusters`` are left ``(n, n), (n,) -> tree``.

    Parameters
    ----------
    graph : (n, n) sparse
        Directed affinity W between samples, weights at least 0, usually at most 1; the diagonal does not matter (see
        `kinfold.ops.affinity`).
    start : (n,) int
        Initial clusters, 0 to n_0 - 1, each used (see `initial_clusters`).
    n_clusters : int
        Where to stop.
    n_local, weight_local : int, float
        The paper's K_c (the nearest one counted) and lambda; ``n_local=1`` is plain graph degree linkage.
    local_above : int
        The local term acts only while there are more clusters than this (100 in the released code, which applies it
        to no smaller problem).
    exact : bool
        False drops the cross terms of the update, as the released code does by default.
    half : bool
        True lets a cluster see only those with a smaller position, as the released code does.
    features : (n, d) float, optional
        Once no positive affinity is left, the smallest cluster joins the one of the nearest centre; without features
        the two smallest are joined (see `kinfold.ops.centres.join_unconnected`).

    Raises
    ------
    InputError
        If the labels, the features or the number of clusters do not fit the graph, or a weight is negative or NaN.

    Notes
    -----
    Ties go to the cluster of lower position, so that the result is the same on every machine.

    Examples
    --------
    >>> from kinfold.ops.affinity import affinity
    >>> x = np.array([[0, 0], [0, 1], [3, 0], [3, 1], [9, 0], [9, 1]], dtype="float32")
    >>> agglomerate(affinity(x, 3), np.array([0, 0, 1, 1, 2, 2])).cut(2)
    array([0, 0, 0, 0, 1, 1])
    """
    from kinfold.ops import _kernels

    labels = np.ascontiguousarray(start, dtype=np.int64)
    n_start = _check(graph, labels, n_clusters, n_local, weight_local, features)
    rule = _kernels.Rule(int(n_local), float(weight_local), int(local_above), bool(exact), bool(half))
    touches = _touches(csr_array(graph), labels, n_start)
    edges = _edges(touches, labels, n_start)
    state = _kernels.set_up(
        labels.astype(np.int32), np.bincount(labels, minlength=n_start), touches, edges, rule.n_local
    )
    tree = MergeTree(labels, *_kernels.merge(*state, rule, int(n_clusters)))
    return join_unconnected(tree, n_clusters, features) if tree.n_end > n_clusters else tree


def agglomerate_sized(
    graph: csr_array,
    start: npt.NDArray[np.integer],
    n_clusters: int,
    *,
    smallest: float,
    features: npt.NDArray[np.floating],
    n_local: int = 5,
    weight_local: float = 1.0,
    local_above: int = 0,
    exact: bool = True,
    half: bool = False,
) -> MergeTree:
    """Agglomerate so that small isolated groups do not take up any of ``n_clusters`` ``(n, n), (n,) -> tree``.

    Graph degree linkage never joins groups without a reciprocal edge between them, so that a handful of stray samples
    can hold one of the last clusters each while real ones are merged. The log is that of ``agglomerate(..., 1)`` down
    to the fewest clusters among which ``n_clusters`` have ``smallest`` members; then every smaller cluster, smallest
    first, joins the large one with the nearest centre; from these ``n_clusters`` on it goes down to one by affinity
    again. It is one consistent tree: ``cut(n_clusters)`` is the result, and any other cut is a coarsening or a
    refinement of it.

    Parameters
    ----------
    graph, start, n_local, weight_local, local_above, exact, half
        As for `agglomerate`.
    n_clusters : int
        Number of clusters wanted.
    smallest : float
        Members that make a cluster count. Where no level of the tree has ``n_clusters`` such clusters, the plain tree
        is returned.
    features : (n, d) float
        Samples, for the centres.

    Raises
    ------
    InputError
        As `agglomerate`.

    Notes
    -----
    Our deviation; the released code has a rule for clusters that are isolated at a period's start, see
    `join_isolated`.

    Examples
    --------
    Two pairs and one stray sample: plain linkage keeps the stray apart and joins the pairs.

    >>> from kinfold.ops.affinity import affinity
    >>> x = np.array([[0, 0], [0, 1], [3, 0], [3, 1], [9, 0]], dtype="float32")
    >>> start, graph = np.array([0, 0, 1, 1, 2]), affinity(x, 2)
    >>> agglomerate(graph, start, 1, features=x).cut(2)
    array([0, 0, 0, 0, 1])
    >>> agglomerate_sized(graph, start, 2, smallest=2, features=x).cut(2)
    array([1, 1, 0, 0, 0])
    """

    def merged(labels: npt.NDArray[np.integer]) -> MergeTree:
        return agglomerate(
            graph,
            labels,
            1,
            n_local=n_local,
            weight_local=weight_local,
            local_above=local_above,
            exact=exact,
            half=half,
            features=features,
        )

    tree = merged(start)
    n_level = _level(tree, n_clusters, float(smallest))
    if n_level is None or n_level == n_clusters:
        return tree
    tree = join_small(tree, n_level, smallest, features)
    return continued(tree, merged(last_clusters(tree)))


def _check(
    graph: csr_array,
    start: Ints,
    n_clusters: int,
    n_local: int,
    weight_local: float,
    features: npt.NDArray[np.floating] | None,
) -> int:
    """Number of initial clusters, once everything is found to fit."""
    n = len(start)
    if graph.shape != (n, n):
        raise InputError(f"graph has shape {graph.shape} and start has {n} labels; expected a graph of ({n}, {n}).")
    if n == 0 or start.min() < 0 or not np.bincount(start).all():
        raise InputError("start must number its clusters 0, 1, 2, ... without a gap; renumber with numpy.unique.")
    if graph.nnz and not graph.data.min() >= 0:
        raise InputError(f"graph holds the weight {graph.data.min()}; expected affinities of at least 0.")
    for name, value in (("n_clusters", n_clusters), ("n_local", n_local)):
        if value < 1:
            raise InputError(f"{name} is {value}; expected at least 1.")
    if not weight_local >= 0:
        raise InputError(f"weight_local is {weight_local}; expected at least 0.")
    if features is not None and (np.ndim(features) != 2 or len(features) != n):
        raise InputError(f"features has shape {np.shape(features)} and start has {n} labels; expected ({n}, d).")
    return int(start.max()) + 1


def _touches(
    graph: csr_array, labels: Ints, n_clusters: int
) -> tuple[Ints, npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.complex128]]:
    """Clusters that have an edge from or to a sample outside of them: row starts, cluster, sample, out + i in."""
    n = len(labels)
    member = csr_array((np.ones(n), labels, np.arange(n + 1)), (n, n_clusters))
    both = (graph @ member + 1j * (graph.T.tocsr() @ member)).tocsr()
    sample = np.repeat(np.arange(n, dtype=np.int32), np.diff(both.indptr))
    outside = both.indices != labels[sample]
    row = np.concatenate([[0], np.cumsum(np.bincount(sample[outside], minlength=n))])
    return row, both.indices[outside].astype(np.int32), sample[outside], both.data[outside]


def _edges(
    touches: tuple[Ints, npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.complex128]],
    labels: Ints,
    n_clusters: int,
) -> tuple[npt.NDArray[np.int32], Floats]:
    """Pairs of clusters with a positive affinity, one after the other, and U from one to the other."""
    _, cluster, sample, weight = touches
    flow = coo_array((weight.real * weight.imag, (labels[sample], cluster)), (n_clusters, n_clusters)).tocsr()
    flow.eliminate_zeros()
    pairs = triu(flow + 1j * flow.T.tocsr(), format="coo")
    end = np.stack([pairs.row, pairs.col], axis=1, dtype=np.int32).ravel()
    return end, np.stack([pairs.data.real, pairs.data.imag], axis=1).ravel()


def _level(tree: MergeTree, n_clusters: int, smallest: float) -> int | None:
    """Fewest clusters, at least n_clusters, of which n_clusters are large; None where there is no such level."""
    size = np.concatenate([np.bincount(tree.start), np.zeros(len(tree.merges), dtype=np.int64)]).tolist()
    n_large = sum(s >= smallest for s in size)
    level = tree.n_start if n_large >= n_clusters else None
    for t, (a, b) in enumerate(tree.merges[: max(tree.n_start - n_clusters, 0)].tolist()):
        union = size[tree.n_start + t] = size[a] + size[b]
        n_large += (union >= smallest) - (size[a] >= smallest) - (size[b] >= smallest)
        if n_large >= n_clusters:
            level = tree.n_start - t - 1
    return level
