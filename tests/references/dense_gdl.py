"""Graph degree linkage from its definitions: before every merge all affinities are made anew, nothing is updated.

For clusters i and j with W the dense directed graph, the flow U(i -> j) is summed sample by sample. Without cross
terms (``exact=False``) a flow is the sum of the flows between the initial clusters that i and j are made of, which is
what dropping the cross term from every update amounts to.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Merged(NamedTuple):
    labels: np.ndarray
    affinity: list[float]


def flow(w: np.ndarray, i: np.ndarray, j: np.ndarray) -> float:
    """U(i -> j) of two sets of samples."""
    return sum(float(w[j, m].sum() * w[m, j].sum()) for m in i)


def affinity_table(w: np.ndarray, clusters: list[np.ndarray], parts: list[list[np.ndarray]], exact: bool) -> np.ndarray:
    k = len(clusters)
    a = np.zeros((k, k))
    for i in range(k):
        for j in range(k):
            if i != j:
                if exact:
                    u = flow(w, clusters[i], clusters[j])
                else:
                    u = sum(flow(w, p, q) for p in parts[i] for q in parts[j])
                a[i, j] += u / len(clusters[j]) ** 2
                a[j, i] += u / len(clusters[j]) ** 2
    return a


def merge(
    w: np.ndarray,
    start: np.ndarray,
    n_clusters: int,
    *,
    n_local: int = 5,
    weight_local: float = 1.0,
    local_above: int = 0,
    exact: bool = True,
    half: bool = False,
) -> Merged:
    """Merge until n_clusters are left or no affinity is positive."""
    clusters = [np.flatnonzero(start == c) for c in range(start.max() + 1)]
    parts = [[c] for c in clusters]
    at = []
    while len(clusters) > n_clusters:
        a = affinity_table(w, clusters, parts, exact)
        best = (-np.inf, 0, 0)
        for i in range(len(clusters)):
            seen = a[i].copy()
            if half:
                seen[i:] = 0
            s = np.sort(np.concatenate([seen, np.zeros(n_local)]))[::-1]
            if s[0] > 0:
                score = s[0]
                if n_local > 1 and len(clusters) > local_above:
                    score += weight_local / (n_local - 1) * sum(s[0] - s[k] for k in range(1, n_local))
                if score > best[0]:
                    best = (score, i, int(np.argmax(seen)))
        score, i, j = best
        if score < 0:
            break
        at.append(a[i, j])
        i, j = min(i, j), max(i, j)
        clusters[i] = np.concatenate([clusters[i], clusters.pop(j)])
        parts[i] = parts[i] + parts.pop(j)
    labels = np.empty(len(start), dtype=int)
    for c, members in enumerate(clusters):
        labels[members] = c
    return Merged(labels, at)
