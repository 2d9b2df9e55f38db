"""How many clusters there are, read from a merge tree."""

from __future__ import annotations

import numpy as np

from kinfold.ops.merge_tree import MergeTree


def estimate_clusters(tree: MergeTree, *, most: int | None = None) -> int:
    """Number of clusters before the largest relative drop of the merge affinity ``-> int``, 2 or more.

    Merges inside a cluster happen at comparable affinities; the first merge across clusters is much weaker.

    Parameters
    ----------
    tree : MergeTree
        Down to one cluster.
    most : int, optional
        Largest answer; the square root of the number of samples when None.

    Examples
    --------
    >>> start = np.arange(5)
    >>> merges = np.array([[0, 1], [2, 5], [3, 4], [6, 7]])
    >>> estimate_clusters(MergeTree(start, merges, np.array([0.9, 0.8, 0.7, 0.01])), most=4)
    2
    """
    n = len(tree.start)
    upper = min(most or max(2, int(np.sqrt(n))), tree.n_start)
    strength = np.minimum.accumulate(np.maximum(tree.affinity, 1e-12))
    # strength_at[k]: affinity of the merge that leads from k to k - 1 clusters.
    best, answer = -np.inf, min(2, tree.n_start)
    for k in range(2, upper + 1):
        t = tree.n_start - k
        if t < 1 or t >= len(strength):
            continue
        drop = np.log(strength[t - 1]) - np.log(strength[t])
        if drop > best:
            best, answer = drop, k
    return answer
