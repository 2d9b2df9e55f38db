"""Nearest neighbours through faiss: exact for small sets, approximate with a measured recall for large ones.

Three ways, by the size of the set:

- up to `EXACT_UP_TO` samples of up to `REDUCE_ABOVE` dimensions (or `SMALL` samples of any dimension): every pair;
- more samples: inverted lists (faiss ``IVFFlat``) of which a few are visited;
- more dimensions: candidates from the leading principal components (`kinfold.ops.reduce`), of which the nearest in
  full dimension are taken.

The last two try their effort on 200 samples first and double it until these find the wanted share of their true
neighbours; the recall that is stated comes from 200 others. Distances are always those of the full vectors, computed
from differences, so that exact duplicates are at distance 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kinfold.errors import InputError
from kinfold.ops.reduce import reduce
from kinfold.ops.threads import faiss_threads

Samples = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

EXACT_UP_TO = 100_000
REDUCE_ABOVE = 1024
SMALL = 4000
N_COMPONENTS = 128
N_PROBE = 200
EFFORTS = (1, 2, 4, 8, 16)
LARGEST_VALUE = 1e15  # squares of larger ones come near the end of float32


@dataclass(frozen=True)
class Neighbours:
    """The nearest other samples of every sample.

    Attributes
    ----------
    index : (n, k) int64
        Neighbours from near to far, equally near ones by position; a sample is never its own neighbour, also among
        exact duplicates.
    distance : (n, k) float32
        Squared Euclidean distances.
    recall : float
        Share of the true neighbours that were found, 0 to 1: 1 for an exact search, else measured on 200 samples.
    method : str
        How they were found, in words.
    """

    index: Ints
    distance: Samples
    recall: float = 1.0
    method: str = "exact"


def neighbours(
    features: npt.ArrayLike,
    k: int,
    *,
    exact_up_to: int = EXACT_UP_TO,
    reduce_above: int = REDUCE_ABOVE,
    recall: float = 0.95,
) -> Neighbours:
    """Find the k nearest other samples of every sample ``(n, d) -> (n, k)``.

    Parameters
    ----------
    features : (n, d) float
        Samples; squared Euclidean distance. Anything but float32 is converted to it.
    k : int
        Neighbours wanted; at most n - 1 are given.
    exact_up_to : int
        Larger sets are searched approximately.
    reduce_above : int
        Sets of more dimensions and more than 4,000 samples are searched through their principal components.
    recall : float
        Share of the true neighbours that an approximate search is to find, 0 to 1. It is given up for what 16 times
        the smallest effort finds.

    Raises
    ------
    InputError
        If there are fewer than two samples, a value is not finite or beyond 1e15, or k is below 1.

    Notes
    -----
    faiss is given torch's number of threads, for as long as the search takes.

    Examples
    --------
    >>> neighbours(np.array([[0.0], [1.0], [3.0]], dtype="float32"), 1).index.ravel()
    array([1, 0, 1])
    """
    x = _samples(features)
    if k < 1:
        raise InputError(f"k is {k}; expected at least 1 neighbour.")
    n, d = x.shape
    k = min(k, n - 1)
    with faiss_threads():
        if n <= SMALL or (n <= exact_up_to and d <= reduce_above):
            return Neighbours(*_refined(x, np.arange(n), _every_pair(x, np.arange(n), k + 1), k))
        return _approximate(x, k, reduced=d > reduce_above, listed=n > exact_up_to, wanted=recall)


def _samples(features: npt.ArrayLike) -> Samples:
    with np.errstate(over="ignore"):
        x: Samples = np.ascontiguousarray(features, dtype=np.float32)
    if x.ndim != 2 or len(x) < 2 or not x.shape[1]:
        raise InputError(f"features has shape {x.shape}; expected (n, d) with at least 2 samples.")
    low, high = float(x.min()), float(x.max())
    if not np.isfinite([low, high]).all():
        raise InputError("features holds NaN or infinite values; clean or drop these samples first.")
    if max(-low, high) > LARGEST_VALUE:
        raise InputError(f"features holds {max(-low, high):.3g}; expected at most {LARGEST_VALUE:.0g}: divide by it.")
    return x


def _every_pair(x: Samples, rows: Ints, k: int) -> Ints:
    """Candidates by brute force ``(n, d), (q,) -> (q, k)``."""
    import faiss

    # faiss takes differences of norms: they round off least around the centre.
    centred = x - x.mean(axis=0)
    _, index = faiss.knn(centred[rows] if len(rows) < len(x) else centred, centred, min(k, len(x)))
    return np.asarray(index, dtype=np.int64)


def _refined(x: Samples, rows: Ints, candidates: Ints, k: int) -> tuple[Ints, Samples]:
    """The k nearest among candidates, without the sample itself ``(q, c) -> (q, k), (q, k)``."""
    distance = np.empty(candidates.shape, dtype=np.float32)
    block = max(1, 300_000 // (candidates.shape[1] * x.shape[1]))  # a few megabytes: stays in the processor's cache
    for i in range(0, len(rows), block):
        difference = x[candidates[i : i + block]]
        difference -= x[rows[i : i + block], None]
        np.einsum("qcd,qcd->qc", difference, difference, out=distance[i : i + block])
    distance[(candidates == rows[:, None]) | (candidates < 0)] = np.inf
    order = np.lexsort((candidates, distance), axis=1)[:, :k]
    return np.take_along_axis(candidates, order, axis=1), np.take_along_axis(distance, order, axis=1)


def _approximate(x: Samples, k: int, *, reduced: bool, listed: bool, wanted: float) -> Neighbours:
    """As little effort as finds the wanted share of the neighbours of a few samples; then the same for all."""
    base = reduce(x, N_COMPONENTS) if reduced else x - x.mean(axis=0)
    search = _Lists(base, k, reduced) if listed else _Scan(base, k)
    probe = np.random.default_rng(0).choice(len(x), min(2 * N_PROBE, len(x)), replace=False)
    _, true = _refined(x, probe, _every_pair(x, probe, k + 1), k)
    trial = probe[::2]
    for effort in EFFORTS:
        if _share(_refined(x, trial, search(trial, effort), k)[1], true[::2]) >= wanted:
            break
    rows = np.arange(len(x))
    index, distance = _refined(x, rows, search(rows, effort), k)
    short = np.flatnonzero(np.isinf(distance).any(axis=1))  # the lists visited hold fewer than k others
    if len(short):
        index[short], distance[short] = _refined(x, short, _every_pair(x, short, k + 1), k)
    words = f"{base.shape[1]} principal components, " if reduced else ""
    return Neighbours(index, distance, _share(distance[probe[1::2]], true[1::2]), words + search.words(effort))


def _share(distance: Samples, true: Samples) -> float:
    """Found neighbours that are no farther than the k-th true one, which is fair among ties ``(q, k), (q, k)``."""
    return float((distance <= true[:, -1:] * np.float32(1 + 1e-5)).mean())


def _candidates(k: int, effort: int) -> int:
    """Candidates in few dimensions for k neighbours in many: a quarter more at the smallest effort."""
    return k + max(1, k * effort // 4)


class _Scan:
    """Every pair in few dimensions; more effort means more candidates."""

    def __init__(self, base: Samples, k: int) -> None:
        self.base, self.k = base, k

    def __call__(self, rows: Ints, effort: int) -> Ints:
        """Candidates ``(q,) -> (q, c)``."""
        return _every_pair(self.base, rows, _candidates(self.k, effort) + 1)

    def words(self, effort: int) -> str:
        return f"{_candidates(self.k, effort)} candidates"


class _Lists:
    """Inverted lists; more effort means that more of them are visited."""

    def __init__(self, base: Samples, k: int, reduced: bool) -> None:
        import faiss

        n, d = base.shape
        self.base, self.k, self.reduced = base, k, reduced
        self.n_lists = max(1, min(int(4 * np.sqrt(n)), n // 39))  # k-means asks for 39 samples a list
        self.quantizer = faiss.IndexFlatL2(d)  # held here: the index does not
        self.index = faiss.IndexIVFFlat(self.quantizer, d, self.n_lists)
        self.index.cp.niter, self.index.cp.seed = 8, 1234
        self.index.train(base[np.random.default_rng(0).choice(n, min(n, 40 * self.n_lists), replace=False)])
        self.index.add(base)

    def __call__(self, rows: Ints, effort: int) -> Ints:
        """Candidates ``(q,) -> (q, c)``, -1 where the lists hold no more."""
        query = self.base[rows] if len(rows) < len(self.base) else self.base
        self.index.nprobe = min(8 * effort, self.n_lists)
        _, index = self.index.search(query, 1 + (_candidates(self.k, effort) if self.reduced else self.k))
        return np.asarray(index, dtype=np.int64)

    def words(self, effort: int) -> str:
        words = f"{min(8 * effort, self.n_lists)} of {self.n_lists} inverted lists"
        return f"{_candidates(self.k, effort)} candidates in {words}" if self.reduced else words
