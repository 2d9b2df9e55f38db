"""Graph degree linkage written the plain way: dense matrices, a full scan before every merge.

It stands beside `kinfold.ops.agglomerate` as the alternative in the table of speeds, being what the published code does
(a dense n × n affinity, all affinities sorted before every merge) in numpy. For samples m and clusters C, with W the
directed graph:

    out_C(m) = Σ_{n in C} W[m, n]        in_C(m) = Σ_{n in C} W[n, m]
    U(i -> j) = Σ_{m in C_i} in_{C_j}(m) · out_{C_j}(m)
    A(i, j) = U(i -> j) / |C_j|² + U(j -> i) / |C_i|²
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Merged(NamedTuple):
    """What the loop leaves: labels, and the affinity of the two clusters at every merge."""

    labels: Ints
    affinity: Floats


def weights(features: NDArray[np.floating], n_neighbors: int, scale: float = 1.0) -> Floats:
    """Dense directed affinity exp(-d² / σ²) to the nearest others, σ² their mean d² ``(n, d) -> (n, n)``."""
    x = np.asarray(features, dtype=np.float64)
    n = len(x)
    d2 = np.maximum(((x[:, None] - x[None]) ** 2).sum(axis=-1) if n <= 500 else _squared_distances(x), 0)
    np.fill_diagonal(d2, np.inf)
    near = np.argsort(d2, axis=1, kind="stable")[:, :n_neighbors]
    return fill(near, np.take_along_axis(d2, near, axis=1), scale)


def fill(index: NDArray[np.integer], distance: NDArray[np.floating], scale: float = 1.0) -> Floats:
    """Dense graph of given neighbours and their squared distances ``(n, k), (n, k) -> (n, n)``."""
    d2 = np.asarray(distance, dtype=np.float64)
    w = np.zeros((len(index), len(index)))
    np.put_along_axis(w, index, np.exp(-d2 / (scale * d2.mean())), axis=1)
    return w


def flows(w: Floats, labels: Ints) -> Floats:
    """U of every ordered pair of clusters, zero on the diagonal ``(n, n), (n,) -> (k, k)``."""
    member = np.eye(int(labels.max()) + 1)[labels]
    u: Floats = member.T @ ((w.T @ member) * (w @ member))
    np.fill_diagonal(u, 0)
    return u


def affinities(u: Floats, size: Floats) -> Floats:
    """A from U and the sizes ``(k, k), (k,) -> (k, k)``."""
    one_way: Floats = u / size[None, :] ** 2
    both: Floats = one_way + one_way.T
    return both


def merge(
    w: Floats,
    start: Ints,
    n_clusters: int,
    *,
    n_local: int = 5,
    weight_local: float = 1.0,
    local_above: int = 0,
    exact: bool = True,
) -> Merged:
    """Merge until `n_clusters` are left or no affinity is positive ``(n, n), (n,) -> labels (n,), affinity (m,)``.

    Parameters
    ----------
    w
        Dense directed graph, zero diagonal.
    start
        Initial clusters, 0 to k - 1.
    n_clusters
        Where to stop.
    n_local, weight_local
        The paper's K_c, the nearest one counted, and lambda.
    local_above
        The local term acts only while there are more clusters than this.
    exact
        False drops the cross terms of the update.
    """
    labels = start.astype(np.int64, copy=True)
    u = flows(w, labels)
    at: list[float] = []
    while len(u) > n_clusters:
        size = np.bincount(labels).astype(np.float64)
        a = affinities(u, size)
        best = -np.sort(-a, axis=1)
        score = best[:, 0].copy()
        if n_local > 1 and len(u) > local_above:
            top = np.zeros((len(u), n_local))
            top[:, : min(n_local, len(u))] = best[:, :n_local]
            score += weight_local / (n_local - 1) * (top[:, :1] - top[:, 1:]).sum(axis=1)
        score[best[:, 0] <= 0] = -np.inf
        i = int(np.argmax(score))
        j = int(np.argmax(a[i]))
        if a[i, j] <= 0:
            break
        at.append(float(a[i, j]))
        u, labels = _join(w, u, labels, min(i, j), max(i, j), exact)
    return Merged(labels, np.array(at))


def _join(w: Floats, u: Floats, labels: Ints, a: int, b: int, exact: bool) -> tuple[Floats, Ints]:
    """Cluster b becomes part of a (a < b); positions above b move down by one."""
    in_a, out_a = w[labels == a].sum(axis=0), w[:, labels == a].sum(axis=1)
    in_b, out_b = w[labels == b].sum(axis=0), w[:, labels == b].sum(axis=1)
    u = u.copy()
    u[a] += u[b]
    u[:, a] += u[:, b]
    if exact:
        u[:, a] += np.bincount(labels, weights=in_a * out_b + in_b * out_a, minlength=len(u))
    u[a, a] = 0
    u = np.delete(np.delete(u, b, axis=0), b, axis=1)
    labels = np.where(labels == b, a, labels)
    return u, labels - (labels > b)


def _squared_distances(x: Floats) -> Floats:
    norm = (x * x).sum(axis=1)
    d2: Floats = norm[:, None] + norm[None] - 2 * x @ x.T
    return d2
