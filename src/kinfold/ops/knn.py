"""Nearest neighbours through faiss: exact for small sets, approximate with a measured recall for large ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kinfold.errors import InputError

EXACT_UP_TO = 100_000


@dataclass(frozen=True)
class Neighbours:
    """The nearest other samples of every sample.

    Attributes
    ----------
    index : (n, k) int64
        Neighbours from near to far; a sample is never its own neighbour, also among exact duplicates.
    distance : (n, k) float32
        Squared Euclidean distances.
    recall : float
        Share of the true neighbours that were found, 1 for an exact search, else measured on 200 samples.
    """

    index: npt.NDArray[np.int64]
    distance: npt.NDArray[np.float32]
    recall: float


def neighbours(features: npt.ArrayLike, k: int, *, exact_up_to: int = EXACT_UP_TO) -> Neighbours:
    """Find the k nearest other samples of every sample ``(n, d) -> (n, k)``.

    Parameters
    ----------
    features : (n, d) float32
        Samples; squared Euclidean distance.
    k : int
        Neighbours wanted, at most n - 1 are given.
    exact_up_to : int
        Larger sets are searched through an inverted file (faiss ``IVFFlat``), whose recall is measured.

    Raises
    ------
    InputError
        If there are fewer than two samples or a value is not finite.

    Examples
    --------
    >>> neighbours(np.array([[0.0], [1.0], [3.0]], dtype="float32"), 1).index.ravel()
    array([1, 0, 1])
    """
    import faiss

    x = np.ascontiguousarray(features, dtype=np.float32)
    if x.ndim != 2 or len(x) < 2:
        raise InputError(f"features has shape {x.shape}; expected (n, d) with at least 2 samples.")
    if not np.isfinite(x).all():
        raise InputError("features holds NaN or infinite values; clean or drop these samples first.")
    n, d = x.shape
    k = min(k, n - 1)
    if n <= exact_up_to:
        distance, index = _search(faiss.IndexFlatL2(d), x, x, k)
        return Neighbours(index, distance, 1.0)
    quantizer = faiss.IndexFlatL2(d)
    n_lists = int(4 * np.sqrt(n))
    search = faiss.IndexIVFFlat(quantizer, d, n_lists)
    search.cp.niter, search.cp.seed = 8, 1234
    search.train(x[np.random.default_rng(0).choice(n, min(n, 40 * n_lists), replace=False)])
    search.nprobe = max(16, n_lists // 50)
    distance, index = _search(search, x, x, k)
    return Neighbours(index, distance, _recall(x, index))


def _search(
    search: object, base: npt.NDArray[np.float32], x: npt.NDArray[np.float32], k: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Search k + 1 and drop the sample itself, wherever among its duplicates it came."""
    search.add(base)  # type: ignore[attr-defined]
    distance, index = search.search(x, k + 1)  # type: ignore[attr-defined]
    own = index == np.arange(len(x))[:, None]
    own[~own.any(axis=1), -1] = True  # crowded out by duplicates: drop the farthest instead
    kept = ~own
    return (
        np.maximum(distance[kept].reshape(len(x), k), 0),
        index[kept].reshape(len(x), k).astype(np.int64),
    )


def _recall(x: npt.NDArray[np.float32], index: npt.NDArray[np.int64], n_probe: int = 200) -> float:
    import faiss

    probe = np.random.default_rng(0).choice(len(x), min(n_probe, len(x)), replace=False)
    k = index.shape[1]
    exact = faiss.IndexFlatL2(x.shape[1])
    exact.add(x)
    _, true = exact.search(x[probe], k + 1)
    hits = [len(np.intersect1d(np.setdiff1d(t, [p])[:k], index[p])) for p, t in zip(probe, true, strict=True)]
    return float(np.mean(hits) / k)
