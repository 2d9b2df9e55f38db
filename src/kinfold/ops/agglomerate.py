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
O(n K_s log n). The partition is the one of the dense recurrence.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from kinfold.errors import InputError
from kinfold.ops.merge_tree import Floats, Ints, MergeTree, by_size

__all__ = ["MergeTree", "agglomerate", "agglomerate_sized", "by_size", "initial_clusters"]


def initial_clusters(nearest: npt.NDArray[np.integer]) -> Ints:
    """Clusters formed by nearest-neighbour chains: the components of the 1-nearest-neighbour graph ``(n,) -> (n,)``.

    Parameters
    ----------
    nearest : (n,) int
        Index of each sample's nearest other sample.

    Examples
    --------
    >>> initial_clusters(np.array([1, 0, 3, 2]))
    array([0, 0, 1, 1])
    """
    n = len(nearest)
    graph = csr_array((np.ones(n, dtype=np.int8), (np.arange(n), nearest)), shape=(n, n))
    _, labels = connected_components(graph, directed=True, connection="weak")
    return np.asarray(labels, dtype=np.int64)


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
    features: npt.NDArray[np.float32] | None = None,
) -> MergeTree:
    """Merge clusters of a directed neighbour graph until ``n_clusters`` are left ``(n, n), (n,) -> tree``.

    Parameters
    ----------
    graph : (n, n) sparse
        Directed affinity W between samples, weights in [0, 1], no diagonal (see `kinfold.ops.affinity`).
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
    features : (n, d) float32, optional
        Joins the smallest cluster to the nearest centre once no positive affinity is left. Without it, or when
        absent, the smallest clusters are joined.

    Raises
    ------
    InputError
        If the labels or the number of clusters do not fit the graph.

    Notes
    -----
    Ties go to the cluster of lower position, so that the result is the same on every machine.
    """
    start = np.ascontiguousarray(start, dtype=np.int64)
    n_start = _check(graph, start, n_clusters)
    indptr, indices = graph.indptr.astype(np.int64), graph.indices.astype(np.int32)
    weights = graph.data.astype(np.float64)
    sizes = np.bincount(start, minlength=n_start).astype(np.int64)
    touch = _touches(indptr, indices, weights, start.astype(np.int32), n_start)
    edges = _edges(touch, start.astype(np.int32), n_start)
    merges, affinity, parent = _merge(
        touch, edges, start.astype(np.int32), sizes.copy(), n_clusters, max(1, n_local), weight_local, local_above, exact, half
    )
    tree = MergeTree(start, merges, affinity)
    if tree.n_end > n_clusters:
        tree = _join_unconnected(tree, n_clusters, features)
    return tree


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

    Notes
    -----
    Our deviation; JULE has only a rule for isolated clusters early on.

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
    n_kept = _merges_kept(tree, n_clusters, smallest)
    if n_kept is None or n_kept == tree.n_start - n_clusters:
        return tree
    joins = _join_small(tree, n_kept, smallest, features)
    upper = MergeTree(
        tree.start,
        np.concatenate([tree.merges[:n_kept], joins]),
        np.concatenate([tree.affinity[:n_kept], np.zeros(len(joins))]),
    )
    nodes, labels = np.unique(upper.nodes(n_clusters)[tree.start], return_inverse=True)
    lower = merged(labels)
    nodes = np.concatenate([nodes, upper.n_start + len(upper.merges) + np.arange(len(lower.merges))])
    return MergeTree(
        tree.start,
        np.concatenate([upper.merges, np.sort(nodes[lower.merges], axis=1)]),
        np.concatenate([upper.affinity, lower.affinity]),
    )


def _merges_kept(tree: MergeTree, n_clusters: int, smallest: float) -> int | None:
    """Merges down to the fewest clusters, at least n_clusters, of which n_clusters are large; None without such."""
    size = np.concatenate([np.bincount(tree.start), np.zeros(len(tree.merges), dtype=np.int64)])
    n_large = int((size >= smallest).sum())
    kept = 0 if n_large >= n_clusters else None
    for t, (a, b) in enumerate(tree.merges[: max(tree.n_start - n_clusters, 0)]):
        union = size[tree.n_start + t] = size[a] + size[b]
        n_large += int(union >= smallest) - int(size[a] >= smallest) - int(size[b] >= smallest)
        if n_large >= n_clusters:
            kept = t + 1
    return kept


def _join_small(tree: MergeTree, n_kept: int, smallest: float, features: npt.NDArray[np.floating]) -> Ints:
    """Merges that join every small cluster, smallest first, to the large one of the nearest centre ``-> (m, 2)``."""
    nodes, labels, size = np.unique(
        tree.nodes(tree.n_start - n_kept)[tree.start], return_inverse=True, return_counts=True
    )
    centre = _centres(features, labels, size)
    large = np.flatnonzero(size >= smallest)
    small = np.flatnonzero(size < smallest)
    small = small[np.argsort(size[small], kind="stable")]
    nearest = _nearest(centre[small], centre[large])
    node = nodes[large]
    joins = np.empty((len(small), 2), dtype=np.int64)
    for t, (s, to) in enumerate(zip(small, nearest, strict=True)):
        joins[t] = sorted((nodes[s], node[to]))
        node[to] = tree.n_start + n_kept + t
    return joins


def _centres(features: npt.NDArray[np.floating], labels: Ints, size: Ints) -> Floats:
    """Mean of every cluster ``(n, d), (n,), (k,) -> (k, d)``."""
    member = csr_array((np.ones(len(labels)), labels, np.arange(len(labels) + 1)), (len(labels), len(size)))
    total: Floats = np.asarray(member.T @ np.asarray(features, dtype=np.float64))
    return total / size[:, None]


def _nearest(query: Floats, centre: Floats, block: int = 4096) -> Ints:
    """Index of the nearest centre ``(q, d), (k, d) -> (q,)``."""
    half_norm = (centre * centre).sum(axis=1) / 2
    parts = [np.argmin(half_norm - query[i : i + block] @ centre.T, axis=1) for i in range(0, len(query), block)]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _check(graph: csr_array, start: Ints, n_clusters: int) -> int:
    n = len(start)
    if graph.shape != (n, n):
        raise InputError(f"graph has shape {graph.shape} and start has {n} labels; expected a graph of ({n}, {n}).")
    n_start = int(start.max()) + 1 if n else 0
    if n == 0 or start.min() < 0 or len(np.unique(start)) != n_start:
        raise InputError("start must number its clusters 0, 1, 2, ... without a gap; renumber with numpy.unique.")
    if not 1 <= n_clusters:
        raise InputError(f"n_clusters is {n_clusters}; expected at least 1.")
    return n_start


def _join_unconnected(tree: MergeTree, n_clusters: int, features: npt.NDArray[np.float32] | None) -> MergeTree:
    """Go on where the graph has no edge left: the smallest cluster joins the one of the nearest centre."""
    labels = tree.nodes(tree.n_end)[tree.start]
    nodes, labels = np.unique(labels, return_inverse=True)
    size = np.bincount(labels).astype(np.float64)
    if features is None:
        centre = np.zeros((len(nodes), 1))
    else:
        centre = np.zeros((len(nodes), features.shape[1]))
        np.add.at(centre, labels, features)
        centre /= size[:, None]
    merges = [tree.merges]
    n_nodes = tree.n_start + len(tree.merges)
    while len(nodes) > n_clusters:
        a = int(np.argmin(size))
        distance = ((centre - centre[a]) ** 2).sum(axis=1) if features is not None else size.copy()
        distance[a] = np.inf
        b = int(np.argmin(distance))
        merges.append(np.array([[min(nodes[a], nodes[b]), max(nodes[a], nodes[b])]], dtype=np.int64))
        centre[b] = (centre[a] * size[a] + centre[b] * size[b]) / (size[a] + size[b])
        size[b] += size[a]
        nodes[b] = n_nodes
        n_nodes += 1
        nodes, size, centre = np.delete(nodes, a), np.delete(size, a), np.delete(centre, a, axis=0)
    log = np.concatenate(merges)
    return MergeTree(tree.start, log, np.concatenate([tree.affinity, np.zeros(len(log) - len(tree.affinity))]))


# --- compiled kernels -------------------------------------------------------------------------------------------------
# `touch` holds, sample by sample, the clusters that have an edge from or to the sample:
#   row (n + 1) first entry of every sample; cluster, of (entry -> sample), in, out; first and following entry of a
#   cluster's list. `edges` holds A's non-zero pairs: edge e joins end[2e] and end[2e + 1]; flow[2e] = U(end[2e] ->
#   end[2e + 1]) and flow[2e + 1] the other way; node 2e stands in the list of end[2e] and leads to end[2e + 1].


@numba.njit(cache=True)
def _touches(indptr, indices, weights, labels, n_clusters):  # type: ignore[no-untyped-def]  # pragma: no cover
    n = len(labels)
    back = np.zeros(n + 1, dtype=np.int64)
    for j in indices:
        back[j + 1] += 1
    back = np.cumsum(back)
    source = np.empty(len(indices), dtype=np.int32)
    back_weight = np.empty(len(indices), dtype=np.float64)
    place = back[:-1].copy()
    for m in range(n):
        for e in range(indptr[m], indptr[m + 1]):
            j = indices[e]
            source[place[j]] = m
            back_weight[place[j]] = weights[e]
            place[j] += 1

    seen = np.full(n_clusters, -1, dtype=np.int64)
    for fill in range(2):  # count, then fill
        if fill == 0:
            row = np.zeros(n + 1, dtype=np.int64)
        else:
            cluster = np.empty(row[n], dtype=np.int32)
            of = np.empty(row[n], dtype=np.int32)
            into = np.zeros(row[n], dtype=np.float64)
            out = np.zeros(row[n], dtype=np.float64)
            seen[:] = -1
        for m in range(n):
            begin = row[m]
            count = 0
            for e in range(indptr[m], indptr[m + 1]):
                c = labels[indices[e]]
                if c == labels[m]:
                    continue
                if fill == 0:
                    if seen[c] != m:
                        seen[c] = m
                        count += 1
                else:
                    if seen[c] < begin:
                        seen[c] = begin + count
                        cluster[begin + count] = c
                        of[begin + count] = m
                        count += 1
                    out[seen[c]] += weights[e]
            for e in range(back[m], back[m + 1]):
                c = labels[source[e]]
                if c == labels[m]:
                    continue
                if fill == 0:
                    if seen[c] != m:
                        seen[c] = m
                        count += 1
                else:
                    if seen[c] < begin:
                        seen[c] = begin + count
                        cluster[begin + count] = c
                        of[begin + count] = m
                        count += 1
                    into[seen[c]] += back_weight[e]
            if fill == 0:
                row[m + 1] = count
        if fill == 0:
            row = np.cumsum(row)
    return row, cluster, of, into, out


@numba.njit(cache=True)
def _edges(touch, labels, n_clusters):  # type: ignore[no-untyped-def]  # pragma: no cover
    row, cluster, _, into, out = touch
    n = len(labels)
    members = np.zeros(n_clusters + 1, dtype=np.int64)
    for m in range(n):
        members[labels[m] + 1] += 1
    members = np.cumsum(members)
    order = np.empty(n, dtype=np.int32)
    place = members[:-1].copy()
    for m in range(n):
        order[place[labels[m]]] = m
        place[labels[m]] += 1
    # Directed sums U(c -> r), cluster by cluster, first as compressed rows.
    flow = np.zeros(n_clusters, dtype=np.float64)
    found = np.full(n_clusters, -1, dtype=np.int64)
    touched = np.empty(n_clusters, dtype=np.int32)
    for fill in range(2):
        if fill == 0:
            start = np.zeros(n_clusters + 1, dtype=np.int64)
        else:
            start = np.cumsum(start)
            target = np.empty(start[n_clusters], dtype=np.int32)
            value = np.empty(start[n_clusters], dtype=np.float64)
            found[:] = -1
        for c in range(n_clusters):
            count = 0
            for p in range(members[c], members[c + 1]):
                m = order[p]
                for e in range(row[m], row[m + 1]):
                    u = into[e] * out[e]
                    if u > 0.0:
                        r = cluster[e]
                        if found[r] != c:
                            found[r] = c
                            flow[r] = 0.0
                            touched[count] = r
                            count += 1
                        flow[r] += u
            if fill == 0:
                start[c + 1] = count
            else:
                for q in range(count):
                    target[start[c] + q] = touched[q]
                    value[start[c] + q] = flow[touched[q]]
    # Pair U(c -> r) with U(r -> c): an edge is made by the lower cluster when it exists there, else by the higher one.
    # `mirror` lists, for every cluster r, the rows c > r that point at it.
    back = np.zeros(n_clusters + 1, dtype=np.int64)
    for r in target:
        back[r + 1] += 1
    back = np.cumsum(back)
    source = np.empty(len(target), dtype=np.int32)
    back_value = np.empty(len(target), dtype=np.float64)
    place = back[:-1].copy()
    for c in range(n_clusters):
        for p in range(start[c], start[c + 1]):
            r = target[p]
            source[place[r]] = c
            back_value[place[r]] = value[p]
            place[r] += 1
    end = np.empty(2 * len(target), dtype=np.int32)
    pair = np.empty(2 * len(target), dtype=np.float64)
    n_edges = 0
    seen = np.full(n_clusters, -1, dtype=np.int64)
    for c in range(n_clusters):
        first = n_edges
        for p in range(start[c], start[c + 1]):
            r = target[p]
            if r > c:
                end[2 * n_edges], end[2 * n_edges + 1] = c, r
                pair[2 * n_edges], pair[2 * n_edges + 1] = value[p], 0.0
                seen[r] = n_edges
                n_edges += 1
        for p in range(back[c], back[c + 1]):
            r = source[p]
            if r > c:
                if seen[r] < first:
                    end[2 * n_edges], end[2 * n_edges + 1] = c, r
                    pair[2 * n_edges], pair[2 * n_edges + 1] = 0.0, 0.0
                    seen[r] = n_edges
                    n_edges += 1
                pair[2 * seen[r] + 1] = back_value[p]
    return end[: 2 * n_edges].copy(), pair[: 2 * n_edges].copy()


@numba.njit(cache=True)
def _find(parent, c):  # type: ignore[no-untyped-def]  # pragma: no cover
    while parent[c] != c:
        parent[c] = parent[parent[c]]
        c = parent[c]
    return c


@numba.njit(cache=True)
def _rescore(c, head, following, end, flow, size, slot, n_alive, n_local, weight_local, local_above, half, best):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Score and nearest cluster of c; also unlinks dead nodes of its list."""
    top = np.zeros(n_local, dtype=np.float64)
    nearest = -1
    previous = -1
    node = head[c]
    while node >= 0:
        after = following[node]
        if end[node] < 0:  # merged away: unlink
            if previous < 0:
                head[c] = after
            else:
                following[previous] = after
            node = after
            continue
        r = end[node ^ 1]
        if not half or slot[r] < slot[c]:
            a = flow[node] / (float(size[r]) * size[r]) + flow[node ^ 1] / (float(size[c]) * size[c])
            if a > top[0] or (a == top[0] and nearest >= 0 and slot[r] < slot[nearest]):
                if a > 0.0:
                    nearest = r
            if a > top[n_local - 1]:
                k = n_local - 1
                while k > 0 and top[k - 1] < a:
                    top[k] = top[k - 1]
                    k -= 1
                top[k] = a
        previous = node
        node = after
    best[c] = nearest
    if nearest < 0:
        return -1.0
    score = top[0]
    if n_local > 1 and n_alive > local_above:
        gap = 0.0
        for k in range(1, n_local):
            gap += top[0] - top[k]
        score += weight_local * gap / (n_local - 1)
    return score


@numba.njit(cache=True)
def _raise(tree, leaf, score):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Set a leaf of the tournament tree and replay its matches; the left (lower) leaf wins ties."""
    width = len(tree) // 2
    node = width + leaf
    tree[node] = score
    node //= 2
    while node >= 1:
        winner = max(tree[2 * node], tree[2 * node + 1])
        if tree[node] == winner and node > 1:
            # An unchanged maximum above means nothing changes higher up.
            tree[node] = winner
            return
        tree[node] = winner
        node //= 2


@numba.njit(cache=True)
def _champion(tree):  # type: ignore[no-untyped-def]  # pragma: no cover
    width = len(tree) // 2
    node = 1
    while node < width:
        node = 2 * node if tree[2 * node] >= tree[2 * node + 1] else 2 * node + 1
    return node - width


@numba.njit(cache=True)
def _merge(touch, edges, labels, size, n_stop, n_local, weight_local, local_above, exact, half):  # type: ignore[no-untyped-def]  # pragma: no cover
    row, cluster, of, into, out = touch
    end, flow = edges
    n_start = len(size)
    n_edges = len(end) // 2
    slot = np.arange(n_start)  # position in the released code's table: a merged cluster keeps the lower one
    at = np.arange(n_start)  # cluster that holds a position
    name = np.arange(n_start)  # node of the merge tree
    parent = np.arange(n_start)

    # Lists of entries and of edges, as arrays of "next" pointers.
    head = np.full(n_start, -1, dtype=np.int64)
    following = np.empty(2 * n_edges, dtype=np.int64)
    for node in range(2 * n_edges - 1, -1, -1):
        following[node] = head[end[node]]
        head[end[node]] = node
    first = np.full(n_start, -1, dtype=np.int64)
    n_touch = np.zeros(n_start, dtype=np.int64)
    after = np.empty(len(cluster), dtype=np.int64)
    for e in range(len(cluster) - 1, -1, -1):
        after[e] = first[cluster[e]]
        first[cluster[e]] = e
        n_touch[cluster[e]] += 1

    width = 1
    while width < n_start:
        width *= 2
    tree = np.full(2 * width, -1.0)
    best = np.full(n_start, -1, dtype=np.int64)
    n_alive = n_start
    for c in range(n_start):
        tree[width + c] = _rescore(
            c, head, following, end, flow, size, slot, n_alive, n_local, weight_local, local_above, half, best
        )
    for node in range(width - 1, 0, -1):
        tree[node] = max(tree[2 * node], tree[2 * node + 1])

    merges = np.empty((max(n_start - n_stop, 0), 2), dtype=np.int64)
    affinity = np.empty(max(n_start - n_stop, 0), dtype=np.float64)
    mark = np.full(n_start, -1, dtype=np.int64)
    t = 0
    while n_alive > n_stop:
        winner = _champion(tree)
        if tree[width + winner] < 0.0:
            break
        a = at[winner]
        b = best[a]
        if n_touch[a] < n_touch[b]:
            a, b = b, a
        # 1. Neighbours of a, by cluster; the edge a-b goes.
        node = head[a]
        value = 0.0
        while node >= 0:
            if end[node] >= 0:
                r = end[node ^ 1]
                if r == b:
                    value = flow[node] / (float(size[b]) * size[b]) + flow[node ^ 1] / (float(size[a]) * size[a])
                    end[node] = -1
                    end[node ^ 1] = -1
                else:
                    mark[r] = node
            node = following[node]
        merges[t, 0] = min(name[a], name[b])
        merges[t, 1] = max(name[a], name[b])
        affinity[t] = value
        # 2. Neighbours of b become neighbours of a.
        node = head[b]
        while node >= 0:
            next_node = following[node]
            if end[node] >= 0:
                r = end[node ^ 1]
                if mark[r] >= 0:
                    flow[mark[r]] += flow[node]
                    flow[mark[r] ^ 1] += flow[node ^ 1]
                    end[node] = -1
                    end[node ^ 1] = -1
                else:
                    end[node] = a
                    following[node] = head[a]
                    head[a] = node
                    mark[r] = node
            node = next_node
        # 3. The samples that b touches: cross terms where a touches them too.
        e = first[b]
        while e >= 0:
            next_e = after[e]
            m = of[e]
            r = _find(parent, labels[m])
            if r == a or r == b:
                cluster[e] = -1
            else:
                other = -1
                for q in range(row[m], row[m + 1]):
                    if cluster[q] == a:
                        other = q
                        break
                if other >= 0:
                    if exact:
                        cross = into[e] * out[other] + into[other] * out[e]
                        if cross > 0.0:
                            node = mark[r]
                            if node < 0:
                                if 2 * n_edges + 2 > len(end):
                                    grown = 2 * len(end) + 1024
                                    end_, flow_ = np.empty(grown, dtype=np.int32), np.empty(grown, dtype=np.float64)
                                    following_ = np.empty(grown, dtype=np.int64)
                                    end_[: len(end)] = end
                                    flow_[: len(flow)] = flow
                                    following_[: len(following)] = following
                                    end, flow, following = end_, flow_, following_
                                node = 2 * n_edges
                                n_edges += 1
                                end[node], end[node + 1] = a, r
                                flow[node], flow[node + 1] = 0.0, 0.0
                                following[node] = head[a]
                                head[a] = node
                                following[node + 1] = head[r]
                                head[r] = node + 1
                                mark[r] = node
                            flow[node ^ 1] += cross
                    into[other] += into[e]
                    out[other] += out[e]
                    cluster[e] = -1
                else:
                    cluster[e] = a
                    after[e] = first[a]
                    first[a] = e
                    n_touch[a] += 1
            e = next_e
        # 4. The union takes over: size, name, position.
        size[a] += size[b]
        parent[b] = a
        name[a] = n_start + t
        low, high = min(slot[a], slot[b]), max(slot[a], slot[b])
        slot[a] = low
        at[low] = a
        _raise(tree, high, -1.0)
        n_alive -= 1
        t += 1
        # 5. New scores for the union and its neighbours.
        head[b] = -1
        _raise(
            tree,
            low,
            _rescore(a, head, following, end, flow, size, slot, n_alive, n_local, weight_local, local_above, half, best),
        )
        node = head[a]
        while node >= 0:
            r = end[node ^ 1]
            mark[r] = -1
            _raise(
                tree,
                slot[r],
                _rescore(r, head, following, end, flow, size, slot, n_alive, n_local, weight_local, local_above, half, best),
            )
            node = following[node]
        if n_alive == local_above:  # the local term goes out: every score changes
            for c in range(n_start):
                if parent[c] == c:
                    _raise(
                        tree,
                        slot[c],
                        _rescore(
                            c, head, following, end, flow, size, slot, n_alive, n_local, weight_local, local_above, half, best
                        ),
                    )
    return merges[:t].copy(), affinity[:t].copy(), parent
