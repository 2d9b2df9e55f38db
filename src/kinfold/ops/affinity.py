"""The directed neighbour graph that agglomeration works on: W[i, j] = exp(-d_ij^2 / sigma^2) for neighbours j of i."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from kinfold.ops.knn import Neighbours, neighbours


def affinity(features: npt.ArrayLike, n_neighbors: int = 20, *, scale: float = 1.0, local: bool = False) -> csr_array:
    """Directed affinity of a set to its nearest neighbours ``(n, d) -> (n, n) sparse``.

    Parameters
    ----------
    features : (n, d) float32
        Samples, usually of unit length.
    n_neighbors : int
        The paper's K_s.
    scale : float
        The paper's a: one bandwidth ``sigma^2 = a * mean squared distance to a neighbour``.
    local : bool
        One bandwidth a sample instead: ``sigma_i^2 = a * d_i^2`` with d_i the distance to the neighbour of middle rank,
        ``exp(-d^2 / (2 sigma_i^2))`` (gactoolbox's newer form).

    Notes
    -----
    The unweighted graph degree linkage of Zhang et al. 2012 with JULE's bandwidth (no factor 2 in the exponent).
    """
    return graph_of(neighbours(features, n_neighbors), scale=scale, local=local)


def graph_of(near: Neighbours, *, scale: float = 1.0, local: bool = False) -> csr_array:
    """Affinity graph of given neighbours ``(n, k) -> (n, n) sparse``; see `affinity`."""
    n, k = near.index.shape
    d2 = near.distance.astype(np.float64)
    if local:
        middle = d2[:, k // 2 - 1 if k > 1 else 0][:, None]
        width = 2 * scale * np.maximum(middle, np.finfo(np.float32).tiny)
    else:
        width = np.asarray(max(scale * d2.mean(), np.finfo(np.float32).tiny))
    weights = np.exp(-d2 / width)
    indptr = np.arange(0, n * k + 1, k)
    return csr_array((weights.ravel(), near.index.ravel(), indptr), shape=(n, n))
