"""Optimal one-to-one assignment: of a batch to its targets, of one labeling to another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

from kinfold.errors import InputError

Ints = npt.NDArray[np.int64]


def best_assignment(scores: Tensor | npt.ArrayLike, *, capacities: npt.ArrayLike | None = None) -> Ints:
    """Column of each row such that the sum of the chosen scores is largest ``(b, m) -> (b,)``.

    Exact (the Hungarian problem, by scipy); a batch of 256 takes milliseconds, the time grows with the cube. Noise as
    Targets permutes the targets of a batch so, with ``scores = z @ c[p].T``.

    Parameters
    ----------
    scores : (b, m)
    capacities : (m,) int, optional
        How many rows a column may take; one when None.

    Raises
    ------
    InputError
        If scores are not finite or the columns cannot take all rows.

    Examples
    --------
    >>> best_assignment([[9.0, 8.0], [9.0, 2.0]])
    array([1, 0])
    >>> best_assignment([[9.0, 8.0], [9.0, 2.0], [1.0, -9.0]], capacities=[2, 1])
    array([1, 0, 0])
    """
    from scipy.optimize import linear_sum_assignment

    if isinstance(scores, Tensor):
        scores = scores.detach().double().cpu().numpy()
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        raise InputError(f"scores of shape {table.shape} came; expected (b, m), all finite.")
    owner = np.arange(table.shape[1])
    if capacities is not None:
        room = np.asarray(capacities)
        if room.shape != owner.shape or room.dtype.kind not in "iu" or (room < 0).any():
            raise InputError(f"capacities are {capacities}; expected {len(owner)} whole numbers, none negative.")
        owner = np.repeat(owner, np.minimum(room, len(table)))
    if len(owner) < len(table):
        raise InputError(f"{len(table)} rows came for {len(owner)} places; expected at least as many places as rows.")
    _, place = linear_sum_assignment(table[:, owner], maximize=True)
    return np.asarray(owner[place], dtype=np.int64)


def renaming(labels: npt.ArrayLike, others: npt.ArrayLike, k: int) -> Ints:
    """Names that make one labeling agree best with another ``(n,), (n,) -> (k,)``: ``renaming(a, b, k)[a]`` is like b.

    Examples
    --------
    >>> renaming([0, 0, 1, 2], [2, 2, 0, 1], 3)
    array([2, 0, 1])
    """
    return best_assignment(np.bincount(np.asarray(labels) * k + np.asarray(others), minlength=k * k).reshape(k, k))
