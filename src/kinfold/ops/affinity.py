"""The directed neighbour graph that agglomeration works on: W[i, j] = exp(-d_ij^2 / sigma^2) for neighbours j of i."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from kinfold.errors import InputError
from kinfold.ops.knn import Neighbours, neighbours


def affinity(features: npt.ArrayLike, n_neighbors: int = 20, *, scale: float = 1.0, local: bool = False) -> csr_array:
    """Directed affinity of a set to its nearest neighbours ``(n, d) -> (n, n) sparse``.

    Parameters
    ----------
    features : (n, d) float
        Samples, usually of unit length.
    n_neighbors : int
        The paper's K_s; at most n - 1 are taken.
    scale : float
        The paper's a, above 0: one bandwidth ``sigma^2 = a * mean squared distance to a neighbour``.
    local : bool
        One bandwidth a sample instead: ``sigma_i^2 = a * d_i^2`` with d_i the distance to the neighbour of middle rank,
        ``exp(-d^2 / (2 sigma_i^2))`` (the newer form of graph degree linkage's authors).

    Returns
    -------
    csr_array
        Row i holds the weights, 0 to 1, of i's neighbours from near to far; the diagonal is empty.

    Raises
    ------
    InputError
        If scale is not positive, or `kinfold.ops.knn.neighbours` refuses the features.

    Notes
    -----
    Zhang et al., ECCV 2012, with JULE's bandwidth: no factor 2 in the exponent, one sigma for all. Where all distances
    are 0 all weights are 1.

    Examples
    --------
    >>> affinity(np.array([[0.0], [1.0], [3.0]]), 1).toarray().round(3)
    array([[0.   , 0.607, 0.   ],
           [0.607, 0.   , 0.   ],
           [0.   , 0.135, 0.   ]])
    """
    return graph_of(neighbours(features, n_neighbors), scale=scale, local=local)


def graph_of(near: Neighbours, *, scale: float = 1.0, local: bool = False) -> csr_array:
    """Affinity graph of given neighbours ``(n, k) -> (n, n) sparse``; parameters and result as for `affinity`.

    Examples
    --------
    >>> graph_of(neighbours(np.array([[0.0], [1.0], [3.0]]), 1), scale=0.5).toarray().round(3)
    array([[0.   , 0.368, 0.   ],
           [0.368, 0.   , 0.   ],
           [0.   , 0.018, 0.   ]])
    """
    if not scale > 0:
        raise InputError(f"scale is {scale}; expected a positive number.")
    n, k = near.index.shape
    d2 = near.distance.astype(np.float64)
    if local:
        middle = d2[:, k // 2 - 1 if k > 1 else 0][:, None]
        width = 2 * scale * np.maximum(middle, np.finfo(np.float32).tiny)
    else:
        width = np.asarray(max(scale * d2.mean(), np.finfo(np.float32).tiny))
    weights = np.exp(-d2 / width)
    indptr = np.arange(0, n * k + 1, k)
    # A copy: scipy sorts the indices of a graph in place whenever it likes.
    return csr_array((weights.ravel(), near.index.flatten(), indptr), shape=(n, n))
