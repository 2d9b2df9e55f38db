"""The compiled loop of graph degree linkage; `kinfold.ops.agglomerate` holds the formulas and the public face.

Two sparse structures are kept up to date, both as linked lists in flat arrays:

- a *touch* says that a cluster C has an edge from or to a sample m outside of it, with ``z = out_C(m) + i in_C(m)``.
  The cross term of an update is then ``Im(z_a z_b)`` and the flow of a single sample ``Im(z^2) / 2``;
- an *edge* joins two clusters with a positive affinity. It has two nodes, 2e and 2e + 1: node 2e stands in the list
  of cluster ``end[2e]``, leads to ``end[2e + 1]``, and carries ``flow[2e] = U(end[2e] -> end[2e + 1])``.

A merge changes one or two affinities of every neighbour of the union. So that a new score does not take a walk along
the neighbour's whole list, every cluster keeps a ranking of its highest affinities, a few more than the score needs;
it is made anew from the list only when it has run short.

numba compiles a function when it is first called and keeps the result beside this file (or in the user's cache folder
where that is read-only). The first call ever takes about 20 s, the first of a process 0.5 s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int32]

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])

DEAD = -1
NONE = -1
NO_SCORE = -1.0


def compiled(function: AnyFunction) -> AnyFunction:
    """Compile with numba, cached on disk; keeps the type that the checker sees."""
    return cast(AnyFunction, numba.njit(cache=True)(function))


class Rule(NamedTuple):
    """Which pair is merged: K_c, lambda, and the released code's variants, as for `kinfold.ops.agglomerate`."""

    n_local: int
    weight_local: float
    local_above: int
    exact: bool
    half: bool


class Touches(NamedTuple):
    """Touches, sorted by sample.

    Attributes
    ----------
    row : (n + 1,) first touch of every sample
    cluster, sample : (t,) who touches whom; a dead touch has cluster -1
    weight : (t,) complex, out + i in
    following : (t,) next touch of the same cluster
    """

    row: Ints
    cluster: Positions
    sample: Positions
    weight: npt.NDArray[np.complex128]
    following: Ints


class Edges(NamedTuple):
    """Edges between clusters, two nodes each.

    Attributes
    ----------
    end : (2e,) cluster in whose list the node stands; -1 once the edge is dead
    flow : (2e,) U from that cluster to the one of the other node
    following : (2e,) next node of the same cluster
    used : (1,) number of nodes in use
    """

    end: Positions
    flow: Floats
    following: Ints
    used: Ints


class Clusters(NamedTuple):
    """What is known of every initial cluster, or of the union that goes on under its number.

    Attributes
    ----------
    home : (n,) initial cluster of every sample
    parent : (k,) cluster that took this one over, itself while alive
    size, n_touches : (k,) samples, touches
    first_touch, first_edge : (k,) heads of the lists
    place : (k,) place in the order that ties and `half` go by: a union has the lower one of its parts
    at : (k,) cluster in a place
    board : (2w,) scores by place, as the leaves of a tournament tree (node i is the larger of 2i and 2i + 1)
    mark : (k,) scratch, -1 outside of `join`
    """

    home: Positions
    parent: Ints
    size: Ints
    n_touches: Ints
    first_touch: Ints
    first_edge: Ints
    place: Ints
    at: Ints
    board: Floats
    mark: Ints


class Rankings(NamedTuple):
    """The highest affinities of every cluster, high to low, equal ones by place.

    Attributes
    ----------
    value : (k, m) affinities
    other : (k, m) the clusters they are to
    n_listed : (k,) how many are listed
    bound, bound_place : (k,) all that come before this affinity and place are listed
    """

    value: Floats
    other: Positions
    n_listed: Positions
    bound: Floats
    bound_place: Positions


def set_up(
    home: Positions,
    size: Ints,
    touches: tuple[Ints, Positions, Positions, npt.NDArray[np.complex128]],
    edges: tuple[Positions, Floats],
    n_local: int,
) -> tuple[Touches, Edges, Clusters, Rankings]:
    """Lists and tables of the initial clusters; rankings are empty yet."""
    row, cluster, sample, weight = touches
    end, flow = edges
    k = len(size)
    first_touch, next_touch = _lists(cluster, k)
    first_edge, next_edge = _lists(end, k)
    width = 1 << (k - 1).bit_length()
    clusters = Clusters(
        home,
        np.arange(k),
        size.astype(np.int64),
        np.bincount(cluster, minlength=k).astype(np.int64),
        first_touch,
        first_edge,
        np.arange(k),
        np.arange(k),
        np.full(2 * width, NO_SCORE),
        np.full(k, NONE, dtype=np.int64),
    )
    m = 2 * n_local + 8
    rankings = Rankings(
        np.empty((k, m), dtype=np.float64),
        np.empty((k, m), dtype=np.int32),
        np.zeros(k, dtype=np.int32),
        np.empty(k, dtype=np.float64),
        np.empty(k, dtype=np.int32),
    )
    used = np.array([len(end)], dtype=np.int64)
    listed = Touches(row, cluster, sample, weight, next_touch)
    return listed, Edges(end, flow, next_edge, used), clusters, rankings


@compiled
def _lists(owner: Positions, k: int) -> tuple[Ints, Ints]:  # pragma: no cover - compiled
    first = np.full(k, NONE, dtype=np.int64)
    following = np.empty(len(owner), dtype=np.int64)
    for e in range(len(owner) - 1, -1, -1):
        following[e] = first[owner[e]]
        first[owner[e]] = e
    return first, following


@compiled
def merge(
    touches: Touches, edges: Edges, clusters: Clusters, rankings: Rankings, rule: Rule, n_stop: int
) -> tuple[Ints, Floats]:  # pragma: no cover - compiled
    """Merge until `n_stop` clusters are left or no affinity is positive ``-> merges (m, 2), affinity (m,)``."""
    k = len(clusters.size)
    name = np.arange(k)  # node of the merge tree
    merges = np.empty((max(k - n_stop, 0), 2), dtype=np.int64)
    affinity = np.empty(len(merges), dtype=np.float64)
    n_alive = k
    for c in range(k):
        _rank(edges, clusters, rankings, rule.half, c)
    _score_all(clusters, rankings, rule, n_alive)
    for t in range(len(merges)):
        place = _champion(clusters.board)
        if clusters.board[len(clusters.board) // 2 + place] == NO_SCORE:
            return merges[:t].copy(), affinity[:t].copy()
        a = clusters.at[place]
        b = np.int64(rankings.other[a, 0])
        affinity[t] = rankings.value[a, 0]
        if clusters.n_touches[a] < clusters.n_touches[b]:  # the smaller one's entries move
            a, b = b, a
        merges[t, 0], merges[t, 1] = min(name[a], name[b]), max(name[a], name[b])
        name[a] = k + t
        _join_edges(edges, clusters, a, b)
        edges = _join_touches(touches, edges, clusters, a, b, rule.exact)
        n_alive -= 1
        _take_over(clusters, a, b)
        _rank_around(edges, clusters, rankings, rule, n_alive, a, b)
        if n_alive == rule.local_above:  # the local term goes out: every score changes
            _score_all(clusters, rankings, rule, n_alive)
    return merges, affinity


@compiled
def _join_edges(edges: Edges, clusters: Clusters, a: int, b: int) -> None:  # pragma: no cover - compiled
    """Give b's edges to a, adding up those to a common neighbour; marks a's neighbours."""
    end, flow, mark = edges.end, edges.flow, clusters.mark
    node = clusters.first_edge[a]
    while node != NONE:
        if end[node] != DEAD:
            r = end[node ^ 1]
            if r == b:
                end[node] = DEAD
                end[node ^ 1] = DEAD
            else:
                mark[r] = node
        node = edges.following[node]
    node = clusters.first_edge[b]
    while node != NONE:
        after = edges.following[node]
        if end[node] != DEAD:
            r = end[node ^ 1]
            if mark[r] != NONE:
                flow[mark[r]] += flow[node]
                flow[mark[r] ^ 1] += flow[node ^ 1]
                end[node] = DEAD
                end[node ^ 1] = DEAD
            else:
                end[node] = a
                edges.following[node] = clusters.first_edge[a]
                clusters.first_edge[a] = node
                mark[r] = node
        node = after
    clusters.first_edge[b] = NONE


@compiled
def _join_touches(
    touches: Touches, edges: Edges, clusters: Clusters, a: int, b: int, exact: bool
) -> Edges:  # pragma: no cover - compiled
    """Give b's touches to a, adding up those of a common sample, whose cross term goes to its cluster's flow."""
    cluster, weight = touches.cluster, touches.weight
    e = clusters.first_touch[b]
    while e != NONE:
        after = touches.following[e]
        m = touches.sample[e]
        r = _owner(clusters, m)
        if r in (a, b):  # inside the union now
            cluster[e] = DEAD
            e = after
            continue
        other = NONE
        for q in range(touches.row[m], touches.row[m + 1]):
            if cluster[q] == a:
                other = q
                break
        if other == NONE:
            cluster[e] = a
            touches.following[e] = clusters.first_touch[a]
            clusters.first_touch[a] = e
            clusters.n_touches[a] += 1
        else:
            cross = (weight[e] * weight[other]).imag
            if exact and cross > 0.0:
                if clusters.mark[r] == NONE:
                    edges = _with_edge(edges, clusters, a, r)
                edges.flow[clusters.mark[r] ^ 1] += cross
            weight[other] += weight[e]
            cluster[e] = DEAD
        e = after
    return edges


@compiled
def _with_edge(edges: Edges, clusters: Clusters, a: int, r: int) -> Edges:  # pragma: no cover - compiled
    """Add an edge without flow between a and r, growing the arrays when they are full."""
    node = edges.used[0]
    if node + 2 > len(edges.end):
        room = 2 * len(edges.end) + 1024
        grown = Edges(
            np.empty(room, dtype=np.int32), np.empty(room, dtype=np.float64), np.empty(room, dtype=np.int64), edges.used
        )
        grown.end[:node] = edges.end
        grown.flow[:node] = edges.flow
        grown.following[:node] = edges.following
        edges = grown
    edges.used[0] = node + 2
    for own, c in ((node, a), (node + 1, r)):
        edges.end[own] = c
        edges.flow[own] = 0.0
        edges.following[own] = clusters.first_edge[c]
        clusters.first_edge[c] = own
    clusters.mark[r] = node
    return edges


@compiled
def _take_over(clusters: Clusters, a: int, b: int) -> None:  # pragma: no cover - compiled
    """From here on the union is a, in the lower one of both places."""
    clusters.size[a] += clusters.size[b]
    clusters.parent[b] = a
    low, high = min(clusters.place[a], clusters.place[b]), max(clusters.place[a], clusters.place[b])
    clusters.place[a] = low
    clusters.at[low] = a
    _enter(clusters.board, high, NO_SCORE)


@compiled
def _rank_around(
    edges: Edges, clusters: Clusters, rankings: Rankings, rule: Rule, n_alive: int, a: int, b: int
) -> None:  # pragma: no cover - compiled
    """New rankings and scores for a, which took b over, and its neighbours; clears their marks."""
    _rank(edges, clusters, rankings, rule.half, a)
    _enter(clusters.board, clusters.place[a], _score(rankings, rule, n_alive, a))
    node = clusters.first_edge[a]
    while node != NONE:
        r = np.int64(edges.end[node ^ 1])
        clusters.mark[r] = NONE
        _strike(rankings, r, a, b)
        if not rule.half or clusters.place[a] < clusters.place[r]:
            _offer(clusters, rankings, r, a, _affinity(edges, clusters, node))
        if rankings.n_listed[r] < rule.n_local and rankings.bound[r] >= 0.0:
            _rank(edges, clusters, rankings, rule.half, r)
        _enter(clusters.board, clusters.place[r], _score(rankings, rule, n_alive, r))
        node = edges.following[node]


@compiled
def _rank(edges: Edges, clusters: Clusters, rankings: Rankings, half: bool, c: int) -> None:  # pragma: no cover
    """Make c's ranking from its list; unlinks the dead nodes of the list."""
    rankings.n_listed[c] = 0
    rankings.bound[c] = NO_SCORE
    previous = NONE
    node = clusters.first_edge[c]
    while node != NONE:
        after = edges.following[node]
        if edges.end[node] == DEAD:
            if previous == NONE:
                clusters.first_edge[c] = after
            else:
                edges.following[previous] = after
        else:
            previous = node
            r = np.int64(edges.end[node ^ 1])
            if not half or clusters.place[r] < clusters.place[c]:
                _offer(clusters, rankings, c, r, _affinity(edges, clusters, node))
        node = after


@compiled
def _strike(rankings: Rankings, c: int, a: int, b: int) -> None:  # pragma: no cover - compiled
    """Take a and b off c's ranking."""
    kept = 0
    for i in range(rankings.n_listed[c]):
        if rankings.other[c, i] != a and rankings.other[c, i] != b:
            rankings.other[c, kept] = rankings.other[c, i]
            rankings.value[c, kept] = rankings.value[c, i]
            kept += 1
    rankings.n_listed[c] = kept


@compiled
def _offer(clusters: Clusters, rankings: Rankings, c: int, r: int, value: float) -> None:  # pragma: no cover - compiled
    """Put r where it belongs in c's ranking, if it does; what comes last drops out of a full one."""
    place = clusters.place
    i = np.int64(rankings.n_listed[c])
    if value <= 0.0 or not _before(value, place[r], rankings.bound[c], rankings.bound_place[c]):
        return
    full = i == rankings.value.shape[1]
    if full:
        i -= 1
        last = rankings.other[c, i]
        if not _before(value, place[r], rankings.value[c, i], place[last]):
            rankings.bound[c], rankings.bound_place[c] = rankings.value[c, i], place[last]
            return
    else:
        rankings.n_listed[c] += 1
    while i > 0 and _before(value, place[r], rankings.value[c, i - 1], place[rankings.other[c, i - 1]]):
        rankings.value[c, i] = rankings.value[c, i - 1]
        rankings.other[c, i] = rankings.other[c, i - 1]
        i -= 1
    rankings.value[c, i] = value
    rankings.other[c, i] = r
    if full:
        last = rankings.other[c, -1]
        rankings.bound[c], rankings.bound_place[c] = rankings.value[c, -1], place[last]


@compiled
def _before(value: float, place: int, other: float, other_place: int) -> bool:  # pragma: no cover - compiled
    return value > other or (value == other and place < other_place)


@compiled
def _score_all(clusters: Clusters, rankings: Rankings, rule: Rule, n_alive: int) -> None:  # pragma: no cover - compiled
    board = clusters.board
    width = len(board) // 2
    for c in range(len(clusters.parent)):
        if clusters.parent[c] == c:
            board[width + clusters.place[c]] = _score(rankings, rule, n_alive, c)
    for node in range(width - 1, 0, -1):
        board[node] = max(board[2 * node], board[2 * node + 1])


@compiled
def _score(rankings: Rankings, rule: Rule, n_alive: int, c: int) -> float:  # pragma: no cover - compiled
    """Score of c from its ranking; affinities that are missing are 0."""
    n = min(np.int64(rankings.n_listed[c]), rule.n_local)
    if n == 0:
        return NO_SCORE
    first: float = rankings.value[c, 0]
    if rule.n_local == 1 or n_alive <= rule.local_above:
        return first
    gap = 0.0
    for i in range(1, rule.n_local):
        gap += first - (rankings.value[c, i] if i < n else 0.0)
    return first + rule.weight_local * gap / (rule.n_local - 1)


@compiled
def _affinity(edges: Edges, clusters: Clusters, node: int) -> float:  # pragma: no cover - compiled
    """A(c, r) = U(c -> r) / |r|^2 + U(r -> c) / |c|^2 for the edge of this node."""
    c, r = float(clusters.size[edges.end[node]]), float(clusters.size[edges.end[node ^ 1]])
    value: float = edges.flow[node] / (r * r) + edges.flow[node ^ 1] / (c * c)
    return value


@compiled
def _owner(clusters: Clusters, sample: int) -> int:  # pragma: no cover - compiled
    """Cluster that holds a sample now."""
    parent = clusters.parent
    c = int(clusters.home[sample])
    while parent[c] != c:
        parent[c] = parent[parent[c]]
        c = int(parent[c])
    return c


@compiled
def _enter(board: Floats, place: int, score: float) -> None:  # pragma: no cover - compiled
    """Set a leaf and replay its matches, up to the first whose winner is unchanged."""
    node = len(board) // 2 + place
    board[node] = score
    node //= 2
    while node >= 1:
        winner = max(board[2 * node], board[2 * node + 1])
        if board[node] == winner:
            return
        board[node] = winner
        node //= 2


@compiled
def _champion(board: Floats) -> int:  # pragma: no cover - compiled
    """Place of the highest score, the lowest one among equals."""
    width = len(board) // 2
    node = 1
    while node < width:
        node = 2 * node if board[2 * node] >= board[2 * node + 1] else 2 * node + 1
    return node - width
