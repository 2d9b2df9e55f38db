"""How many clusters there are, read from a merge tree."""

from __future__ import annotations

import numpy as np

from kinfold.ops.merge_tree import MergeTree

FAINTEST = 1e-6  # of the strongest affinity; weaker merges, and those without an edge, count as equally weak


def estimate_clusters(tree: MergeTree, *, smallest: float = 0.005, most: int | None = None) -> int:
    """Number of clusters before the largest relative drop of the merge affinity ``-> int``, 2 or more.

    Merges inside a cluster happen at comparable affinities; the first merge across clusters is much weaker. Only merges
    of two groups that both have enough members count, so that strays, which join late and weakly, are not taken for
    clusters. Of drops of nearly the same size, 3 of 4 or more of the largest, the one that leaves more clusters wins.

    Parameters
    ----------
    tree : MergeTree
        Down to one cluster.
    smallest : float
        Members that a group needs to count, as a share of the samples; three at least.
    most : int, optional
        Largest answer; three times the square root of the number of samples when None.

    Examples
    --------
    >>> start = np.repeat(np.arange(4), 5)
    >>> tree = MergeTree(start, np.array([[0, 1], [2, 3], [4, 5]]), np.array([0.9, 0.8, 0.01]))
    >>> estimate_clusters(tree)
    2
    """
    n = len(tree.start)
    enough = max(3.0, smallest * n)
    most = most or max(2, int(3 * np.sqrt(n)))
    size = np.concatenate([np.bincount(tree.start), np.zeros(len(tree.merges), dtype=np.int64)])
    counts = np.zeros(len(tree.merges), dtype=bool)
    for t, (a, b) in enumerate(tree.merges):
        size[tree.n_start + t] = size[a] + size[b]
        counts[t] = min(size[a], size[b]) >= enough
    strength = tree.affinity[counts]
    if len(strength) < 2:
        return min(2, tree.n_start)
    floor = FAINTEST * float(strength.max())
    strength = np.log(np.minimum.accumulate(np.maximum(strength, max(floor, 1e-300))))
    # The last of m such merges leads from 2 groups to 1, the first from m + 1 to m.
    groups = np.arange(len(strength), 0, -1) + 1
    drop = strength[:-1] - strength[1:]
    allowed = groups[1:] <= most
    if not allowed.any() or drop[allowed].max() <= 0:
        return min(2, tree.n_start)
    best = drop[allowed].max()
    return int(groups[1:][allowed & (drop >= 0.75 * best)].max())
