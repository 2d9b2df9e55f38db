"""Graph clustering by hill climbing on neighbour density: DeepCluster's "power iteration clustering".

Caron et al. 2018 present it beside k-means; the number of clusters is an outcome. Every row points to the neighbour
towards which the stationary value v of a damped random walk rises most, and the roots of these pointers are the
clusters. With the published damping of 0.001, v is the weighted degree up to an affine map, and so one row sum takes
the place of 200 products. Two more things differ in our form:

- the published bandwidth is fixed. On whitened unit vectors of many dimensions neighbours are so far apart that
  all weights round to nothing, and every row becomes a cluster of its own; ours follows the neighbours' distances;
- degrees are float64.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from kinfold.errors import InputError
from kinfold.ops.knn import Neighbours, neighbours

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PUBLISHED_SIGMA = 0.2
DAMPING = 0.001  # share of a step that follows the graph
N_STEPS = 200


def pic(
    features: npt.ArrayLike | Neighbours,
    *,
    n_neighbors: int = 5,
    sigma: float | None = None,
    form: Literal["degree", "published"] = "degree",
) -> Ints:
    """Cluster rows by climbing to where neighbours are densest ``(n, d) -> (n,)``.

    Parameters
    ----------
    features : (n, d) array or Neighbours
        Rows, or what `kinfold.ops.knn.neighbours` found for them.
    n_neighbors : int
        Of each row in the graph.
    sigma : float, optional
        Bandwidth of the weights ``exp(-d^2 / sigma^2)``, in the unit of the distances. None takes the median distance
        to the neighbours, or the published 0.2.
    form : {"degree", "published"}
        Value to climb on: the weighted degree, or the released 200 steps in float32.

    Returns
    -------
    labels
        Clusters in the order of their first member. A cluster of one row has joined that of its nearest neighbour with
        company, where there is one.

    Examples
    --------
    >>> x = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]], dtype=np.float32)
    >>> pic(x, n_neighbors=2)
    array([0, 0, 0, 1, 1, 1])
    """
    if form not in ("degree", "published"):
        raise InputError(f"form is {form!r}; expected 'degree' or 'published'.")
    if n_neighbors < 1 or (sigma is not None and not sigma > 0):
        raise InputError(f"n_neighbors is {n_neighbors} and sigma {sigma}; expected at least 1, and above 0.")
    near = features if isinstance(features, Neighbours) else neighbours(features, n_neighbors)
    index, squared = near.index[:, :n_neighbors], near.distance[:, :n_neighbors].astype(np.float64)
    if sigma is None:
        sigma = PUBLISHED_SIGMA if form == "published" else _bandwidth(squared)
    graph = _graph(index, np.exp(-squared / sigma**2), np.float64 if form == "degree" else np.float32)
    value = np.asarray(graph.sum(axis=1), dtype=np.float64).ravel() if form == "degree" else _walk(graph)
    return _joined(_roots(_steepest(graph, value)), index)


def _bandwidth(squared: Floats) -> float:
    """Median distance to the neighbours; where most rows repeat, that of the others."""
    apart = squared[squared > 0]
    middle = float(np.median(squared)) or (float(np.median(apart)) if len(apart) else 1.0)
    return float(np.sqrt(middle))


def _graph(index: Ints, weight: Floats, dtype: type) -> csr_array:
    """Weights in both directions; those of mutual neighbours add up ``(n, k), (n, k) -> (n, n)`` sparse."""
    n, k = index.shape
    directed = csr_array((weight.astype(dtype).ravel(), index.ravel(), np.arange(n + 1) * k), (n, n))
    both = csr_array(directed + directed.T)
    both.sort_indices()
    return both


def _walk(graph: csr_array) -> Floats:
    """Stationary value of the damped walk as released: 200 steps in float32 ``-> (n,)``."""
    n = graph.shape[0]
    value = np.full(n, 1 / n, dtype=np.float32)
    back = graph.T.tocsr()
    rest = np.float32((1 - DAMPING) / n)
    for _ in range(N_STEPS):
        value = np.float32(DAMPING) * (back @ value) + rest
        value = value / value.sum(dtype=np.float32)
    return value.astype(np.float64)


def _steepest(graph: csr_array, value: Floats) -> Ints:
    """Neighbour with the largest weighted rise of the value, the row itself where nothing rises ``-> (n,)``."""
    n = graph.shape[0]
    row = np.repeat(np.arange(n), np.diff(graph.indptr))
    rise = graph.data * (value[graph.indices] - value[row])
    order = np.lexsort((graph.indices, -rise, row))  # the steepest of each row first
    first = order[np.unique(row[order], return_index=True)[1]]
    target = np.arange(n)
    climbs = rise[first] > 0
    target[row[first][climbs]] = graph.indices[first][climbs]
    return target


def _roots(target: Ints) -> Ints:
    """Where the pointers end; the value rises along them, so they do ``(n,) -> (n,)``."""
    while True:
        further = target[target]
        if (further == target).all():
            return target
        target = further


def _joined(root: Ints, index: Ints) -> Ints:
    """Single rows join their nearest neighbour in company; clusters are numbered by their first member."""
    _, labels, size = np.unique(root, return_inverse=True, return_counts=True)
    alone = size[labels] == 1
    company = ~alone[index]
    moves = alone & company.any(axis=1)
    joined = labels.copy()
    joined[moves] = labels[index[moves, company[moves].argmax(axis=1)]]
    _, first, inverse = np.unique(joined, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse], dtype=np.int64)
