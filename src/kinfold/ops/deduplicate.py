"""Near-copies among vectors: semantic deduplication (SemDeDup, Abbas et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from kinfold.errors import InputError
from kinfold.ops.kmeans import kmeans
from kinfold.ops.source import BLOCK_VALUES, Floats, Ints, Processes, Samples, added, as_source, place, unit

CLUSTER_ROWS = 1000  # rows a cluster on average when the number of clusters is not given


@dataclass(frozen=True)
class Duplicates:
    """What `deduplicate` found.

    Attributes
    ----------
    kept : (n,) bool
        Rows that are no near-copy of one before them in their cluster's order.
    duplicate_of : (n,) int64
        The most similar such row, -1 for rows that are kept.
    cosine : (n,) float64
        Their cosine; -1 where there is no row before.
    labels : (n,) int64
        Clusters that were compared within.
    """

    kept: npt.NDArray[np.bool_]
    duplicate_of: Ints
    cosine: Floats
    labels: Ints


def deduplicate(
    x: Any,
    *,
    epsilon: float = 0.05,
    n_clusters: int | None = None,
    keep: Literal["far", "near"] = "far",
    labels: Ints | None = None,
    seed: int = 0,
    run: Processes | None = None,
) -> Duplicates:
    """Mark rows that nearly repeat another one ``(n, d) -> Duplicates``.

    Rows are clustered by direction; within a cluster they stand in the order of their distance to the centre, and a row
    is dropped when its cosine to one before it, itself dropped or not, is above ``1 - epsilon``. Near-copies that fall
    into different clusters are not seen.

    Parameters
    ----------
    x
        What `kinfold.ops.source.as_source` reads. One cluster at a time is in memory.
    epsilon : float
        Largest cosine distance of a near-copy, 0 to 2.
    n_clusters : int, optional
        One for a thousand rows when None.
    keep : {"far", "near"}
        Which of two is kept: the one farther from the centre (rarer), or the nearer (more typical).
    labels : (n,) int, optional
        Clusters that are known already.
    seed, run
        As for `kinfold.ops.kmeans.kmeans`; processes take clusters in turn.

    Raises
    ------
    InputError
        If epsilon or keep is out of range or the labels do not fit.

    Examples
    --------
    >>> found = deduplicate([[1.0, 0.0], [0.0, 1.0], [1.0, 0.01]], n_clusters=1)
    >>> found.kept, found.duplicate_of
    (array([ True,  True, False]), array([-1, -1,  0]))
    """
    if not 0 <= epsilon <= 2:
        raise InputError(f"epsilon is {epsilon}; expected a cosine distance from 0 to 2.")
    if keep not in ("far", "near"):
        raise InputError(f"keep is {keep!r}; expected 'far' or 'near'.")
    source = as_source(x)
    n = source.shape[0]
    if labels is None:
        k = n_clusters or max(1, round(n / CLUSTER_ROWS))
        labels = kmeans(source, k, form="spherical", seed=seed, run=run).labels
    elif labels.shape != (n,):
        raise InputError(f"labels have shape {labels.shape}; expected ({n},).")
    rank, world = place(run)
    order = np.argsort(labels, kind="stable")
    cuts = np.flatnonzero(np.diff(labels[order])) + 1
    likeness, twin = np.zeros(n), np.zeros(n)
    for number, members in enumerate(np.split(order, cuts)):
        if number % world == rank:
            rows = unit(source.take(members))
            order_here = _ranked(rows, keep)
            ranked = members[order_here]
            likeness[ranked], before = _most_alike(rows[order_here])
            twin[ranked] = np.where(before >= 0, ranked[before], -1)
    likeness, twin = added(likeness, run), added(twin, run)
    kept = likeness <= 1 - epsilon
    return Duplicates(kept, np.where(kept, -1, twin).astype(np.int64), likeness, labels)


def _ranked(rows: Samples, keep: str) -> Ints:
    """Order by the cosine to the centre, the kept end first ``(m, d) -> (m,)``."""
    along = rows.astype(np.float64) @ rows.sum(axis=0, dtype=np.float64)
    return np.argsort(along if keep == "far" else -along, kind="stable")


def _most_alike(rows: Samples) -> tuple[Floats, Ints]:
    """Largest cosine to a row before, and which ``(m, d) -> (m,), (m,)``; -1 and -1 for the first."""
    m = len(rows)
    best, which = np.full(m, -1.0), np.full(m, -1, dtype=np.int64)
    step = max(1, BLOCK_VALUES // m)
    for start in range(0, m, step):
        stop = min(start + step, m)
        cosine = rows[start:stop] @ rows[:stop].T
        cosine[np.arange(stop)[None] >= np.arange(start, stop)[:, None]] = -2.0
        which[start:stop] = cosine.argmax(axis=1)
        best[start:stop] = cosine.max(axis=1)
    which[0], best[0] = -1, -1.0
    return best, which
