"""How well a partition suits a graph of neighbours, without labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def modularity(index: npt.NDArray[np.integer], labels: npt.NDArray[np.integer]) -> float:
    """Share of neighbours that are in one cluster, less what chance would give ``(n, k), (n,) -> float``.

    Newman and Girvan 2004, of the directed graph in which every sample has k neighbours: 0 for one cluster of all, and
    towards 1 for many that no edge leaves.

    Parameters
    ----------
    index : (n, k) int
        Neighbours of each sample, of `kinfold.ops.knn.neighbours`.
    labels : (n,) int
        Clusters, 0 and up.

    Examples
    --------
    >>> pairs = np.array([[1], [0], [3], [2]])
    >>> modularity(pairs, np.array([0, 0, 1, 1])), modularity(pairs, np.zeros(4, dtype=int))
    (0.5, 0.0)
    """
    n_clusters = int(labels.max()) + 1
    theirs = labels[index]
    inside = float((theirs == labels[:, None]).mean())
    leaves = np.bincount(labels, minlength=n_clusters) / labels.size
    enters = np.bincount(theirs.ravel(), minlength=n_clusters) / theirs.size
    return inside - float(leaves @ enters)
