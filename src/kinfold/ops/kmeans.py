"""k-means on vectors wherever they lie: in memory, in files, in shards, over several processes.

`e_step` goes over the vectors once and returns sums (`Sums`), which add up over pieces and processes; `m_step` makes
the next centres of them. faiss finds the nearest centres; counts, sums and squared distances are added up in float64,
the latter from differences, as float32 sums over a hundred million rows lose their last digits.

Three forms share these two steps: Euclidean; *spherical*, for directions (rows and centres of unit length); and
*gain-shape*, where a row is the signed multiple of one direction (the one-atom matching pursuit of Coates and Ng).
Clusters of about equal size are had by a penalty on large ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, cast, get_args

import numba
import numpy as np
import numpy.typing as npt

from kinfold.errors import InputError
from kinfold.ops.source import (
    BLOCK_VALUES,
    Floats,
    Ints,
    Processes,
    Samples,
    Source,
    added,
    as_source,
    place,
    unit,
)
from kinfold.ops.threads import faiss_threads

Form = Literal["euclidean", "spherical", "gain-shape"]
FIRST_SAMPLE = 32  # rows a cluster that the first steps look at
GROWTH_STEPS = 3  # steps at each size before the sample is doubled
SETTLED = 1e-4  # relative gain of a step under which the steps end
SETTLED_SAMPLE = 1e-2  # the same on a part of the rows, which is then doubled
IN_MEMORY = 32 * BLOCK_VALUES  # values of a sample that is kept in memory: half a gigabyte
SPREAD_UP_TO = 256  # clusters whose first centres are spread out
EVENING_STEPS = 20  # in which only the penalties change
FIRST_STEP = 0.1  # of a penalty, in mean squared distances
NUDGE = 1 / 1024  # by which the two halves of a split centre are moved apart, relative to its size

AnyFunction = TypeVar("AnyFunction", bound=Callable[..., Any])


@dataclass(frozen=True)
class Codebook:
    """Centres, and how a row finds its own.

    Attributes
    ----------
    centres : (k, d) float32
    form : {"euclidean", "spherical", "gain-shape"}
    penalty : (k,) float64 or None
        Added to the squared distances to each centre.

    Examples
    --------
    >>> book = Codebook(np.array([[0.0], [4.0]], dtype=np.float32))
    >>> book.assign([[1.0], [3.0]]), book.e_step([[1.0], [3.0], [5.0]]).counts
    (array([0, 1]), array([1., 2.]))
    """

    centres: Samples
    form: Form = "euclidean"
    penalty: Floats | None = None

    def e_step(self, x: Any, *, labels: npt.NDArray[np.integer] | None = None, run: Processes | None = None) -> Sums:
        """Go over all rows once and add up what the next centres are made of ``(n, d) -> Sums``.

        Parameters
        ----------
        x
            What `as_source` reads.
        labels : (n,) int, optional
            Filled with the nearest centres of the rows of this process.
        run
            Processes that share the work; None does all of it here.
        """
        source = as_source(x)
        if source.shape[1] != self.centres.shape[1]:
            raise InputError(
                f"the vectors have {source.shape[1]} columns, the centres {self.centres.shape[1]}; expected the same."
            )
        total = Sums.none(self.centres.shape)
        with faiss_threads():
            near = self._search()
            for start, rows in source.blocks(*place(run)):
                rows = unit(rows) if self.form == "spherical" else rows
                found, gain = near(rows)
                if len(found) and found.min() < 0:
                    bad = start + int(found.argmin())
                    raise InputError(f"vector {bad} holds NaN or infinite values; clean or drop such vectors first.")
                total.inertia += _add(rows, found, gain, self.centres, total.sums, total.counts)
                if labels is not None:
                    labels[start : start + len(rows)] = found
        return total.over(run)

    def assign(
        self, x: Any, *, out: npt.NDArray[np.integer] | None = None, run: Processes | None = None
    ) -> npt.NDArray[Any]:
        """Nearest centre of every row ``(n, d) -> (n,)`` int64.

        Parameters
        ----------
        out : (n,) int, optional
            Array or mapped file to fill; each process then writes its own rows only.
        """
        source = as_source(x)
        if out is not None:
            self.e_step(source, labels=out, run=run)
            return out
        labels = np.zeros(source.shape[0], dtype=np.int64)
        self.e_step(source, labels=labels, run=run)
        # Rows of others are zero, and float64 holds every cluster number exactly.
        return labels if place(run)[1] == 1 else added(labels.astype(np.float64), run).astype(np.int64)

    def _search(self) -> Callable[[Samples], tuple[Ints, Samples]]:
        """The map from rows to their centres and to the gain each row has there ``(m, d) -> (m,), (m,)``."""
        import faiss

        k, d = self.centres.shape
        index: Any
        centres = np.ascontiguousarray(self.centres, dtype=np.float32)
        if self.form == "gain-shape":
            index = faiss.IndexFlatIP(d)
            index.add(np.concatenate([centres, -centres]))

            def along(rows: Samples) -> tuple[Ints, Samples]:
                product, found = index.search(rows, 1)
                sign = np.where(found[:, 0] < k, 1, -1).astype(np.float32)
                return np.where(found[:, 0] < 0, -1, found[:, 0] % k), product[:, 0] * sign

            return along
        # A squared distance in one more dimension is the squared distance plus the penalty.
        extra = None if self.penalty is None else np.sqrt(self.penalty - self.penalty.min()).astype(np.float32)
        index = faiss.IndexFlatL2(d if extra is None else d + 1)
        index.add(centres if extra is None else np.column_stack([centres, extra]))

        def nearest(rows: Samples) -> tuple[Ints, Samples]:
            query = rows if extra is None else np.pad(rows, ((0, 0), (0, 1)))
            return index.search(query, 1)[1][:, 0], np.ones(len(rows), dtype=np.float32)

        return nearest


@dataclass
class Sums:
    """What a pass over some of the rows adds to the next centres; adds up over pieces, files and processes.

    Attributes
    ----------
    counts : (k,) float64
        Rows of each centre.
    sums : (k, d) float64
        Their sum; of the gain-shape form weighted by the gain.
    inertia : float
        Sum of the squared distances to the nearest centres, without penalties.
    """

    counts: Floats
    sums: Floats
    inertia: float = 0.0

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> Sums:
        """The sums over no rows for ``(k, d)`` centres."""
        return cls(np.zeros(shape[0]), np.zeros(shape))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.counts + other.counts, self.sums + other.sums, self.inertia + other.inertia)

    def over(self, run: Processes | None) -> Sums:
        """The sums over all processes, in one message."""
        flat = added(np.concatenate([self.counts, self.sums.ravel(), [self.inertia]]), run)
        k = len(self.counts)
        return Sums(flat[:k], flat[k:-1].reshape(self.sums.shape), float(flat[-1]))


@dataclass(frozen=True)
class KMeans:
    """What `kmeans` found.

    Attributes
    ----------
    book : Codebook
        Assigns new rows.
    labels : (n,) int64
    counts : (k,) int64
        Rows of each cluster; 0 for one that could not be filled, where rows repeat.
    inertia : float
        Sum of squared distances to the centres.
    history : list of float
        Mean squared distance of every step, of the rows that it looked at.
    n_split : int
        Empty clusters that were given half of another.
    """

    book: Codebook
    labels: Ints
    counts: Ints
    inertia: float
    history: list[float] = field(default_factory=list)
    n_split: int = 0

    @property
    def centres(self) -> Samples:
        """``(k, d)``."""
        return self.book.centres


def kmeans(
    x: Any,
    n_clusters: int,
    *,
    n_iterations: int = 20,
    form: Form = "euclidean",
    balanced: bool = False,
    most: int | None = None,
    growing: bool = True,
    start: str | npt.ArrayLike = "auto",
    n_starts: int = 1,
    seed: int = 0,
    run: Processes | None = None,
) -> KMeans:
    """Cluster vectors around `n_clusters` centres ``(n, d) -> KMeans``.

    Parameters
    ----------
    x
        What `as_source` reads: a matrix, a mapped file, shards, or any `Source`.
    n_clusters : int
    n_iterations : int
        Most steps on all rows (or on `most`); fewer when a step gains less than a ten-thousandth.
    form : {"euclidean", "spherical", "gain-shape"}
    balanced : bool
        Make sizes about equal by a penalty on large clusters, see `Balance`.
    most : int, optional
        Rows a cluster from which the centres are learned, drawn at random; None takes all. All rows are assigned.
    growing : bool
        Begin with 32 rows a cluster and double them every three steps: most of the way costs little (nested batches,
        Newling and Fleuret 2016). Off where the first centres are given.
    start : {"auto", "k-means++", "random"} or (k, d) array
        First centres: spread out, or distinct rows (as the released DeepCluster does), or these. "auto" spreads out up
        to 256 centres; more cost as much as five steps.
    n_starts : int
        Runs from different first centres, of which the one of least inertia is returned.
    seed : int
    run
        Processes that share the work, with the result of one.

    Raises
    ------
    InputError
        If there are fewer rows than clusters, or a choice does not exist.

    Examples
    --------
    >>> found = kmeans([[0.0], [0.2], [5.0], [5.2]], 2)
    >>> found.labels[0] == found.labels[1] != found.labels[2], round(found.inertia, 2)
    (np.True_, 0.04)
    """
    source = as_source(x)
    n, d = source.shape
    if not isinstance(n_clusters, int | np.integer) or not 1 <= n_clusters <= n:
        what = f"n_clusters is {n_clusters} and there are {n} vectors"
        raise InputError(f"{what}; expected a whole number from 1 to {n}: ask for fewer.")
    if form not in get_args(Form):
        raise InputError(f"form is {form!r}; expected one of {list(get_args(Form))}.")
    if balanced and form == "gain-shape":
        raise InputError("balanced goes with form='euclidean' or 'spherical', but form is 'gain-shape'.")
    first: str | Samples
    if not isinstance(start, str):
        first = np.asarray(start, dtype=np.float32)
        if first.shape != (n_clusters, d):
            raise InputError(f"start has shape {first.shape}; expected ({n_clusters}, {d}).")
    elif start not in ("auto", "k-means++", "random"):
        raise InputError(f"start is {start!r}; expected 'auto', 'k-means++', 'random' or an array ({n_clusters}, {d}).")
    else:
        spread = start == "k-means++" or (start == "auto" and n_clusters <= SPREAD_UP_TO)
        first = "k-means++" if spread else "random"
    found = [
        _once(source, n_clusters, n_iterations, form, balanced, most, growing, first, seed + i, run)
        for i in range(max(1, n_starts) if isinstance(first, str) else 1)
    ]
    return min(found, key=lambda one: one.inertia)


def _once(
    source: Source, k: int, n_iterations: int, form: Form, balanced: bool, most: int | None, growing: bool,
    start: str | Samples, seed: int, run: Processes | None,
) -> KMeans:  # fmt: skip
    """One run from one choice of first centres."""
    rng = np.random.default_rng(seed)
    n, d = source.shape
    size = n if most is None else min(n, max(most * k, k))
    grow = growing and isinstance(start, str)
    sizes = _sizes(size, n, d, FIRST_SAMPLE * k) if grow else [size]
    largest = max([s for s in sizes if s < n], default=0)
    sample = source.take(rng.choice(n, largest, replace=False)) if largest else None
    book = Codebook(_first(source if sample is None else as_source(sample), k, form, start, rng), form)
    balance = Balance(k) if balanced else None
    history: list[float] = []
    n_split = 0
    for m in sizes:
        rows = source if m == n else as_source(cast(Samples, sample)[:m])
        before, least = -1.0, SETTLED if m == size else SETTLED_SAMPLE
        for _ in range(n_iterations if m == size else GROWTH_STEPS):
            sums = book.e_step(rows, run=run)
            book, split = m_step(book, sums, rng, balance)
            n_split += split
            history.append(sums.inertia / m)
            if balance is None and not split and 0 <= before - history[-1] <= least * before:
                break
            before = history[-1]
    if balance is not None:
        book = _evened(book, balance, source if size == n else as_source(cast(Samples, sample)), run)
    labels = np.zeros(n, dtype=np.int64)
    sums = book.e_step(source, labels=labels, run=run)
    if place(run)[1] > 1:
        labels = added(labels.astype(np.float64), run).astype(np.int64)
    return KMeans(book, labels, sums.counts.astype(np.int64), sums.inertia, history, n_split)


def _sizes(size: int, n: int, d: int, first: int) -> list[int]:
    """Rows that the steps look at: doubled from `first` while they fit in memory, then all that are wanted.

    >>> _sizes(1000, 1000, 4, 300)
    [300, 600, 1000]
    """
    sizes = []
    while first < size and first * d <= IN_MEMORY:
        sizes.append(first)
        first *= 2
    return [*sizes, size]


def _evened(book: Codebook, balance: Balance, rows: Source, run: Processes | None) -> Codebook:
    """The same centres with the penalties of the most even sizes among some further steps."""
    evenest, even = np.inf, book
    for _ in range(EVENING_STEPS):
        sums = book.e_step(rows, run=run)
        unevenness = float((sums.counts**2).sum())
        if unevenness < evenest:
            evenest, even = unevenness, book
        balance.update(sums.counts, sums.inertia / max(sums.counts.sum(), 1.0))
        book = replace(book, penalty=balance.penalty.copy())
    return even


class Balance:
    """Penalties that even out the sizes of clusters, learned along with the centres.

    A cluster above the mean size gets a higher penalty, one below a lower one. Each has a step of its own: longer by a
    fifth while it stays on its side of the mean, halved when it crosses (the rule of Rprop), so that dense and thin
    regions both come to rest. What lies so far off that no border can move there stays a small cluster.

    Attributes
    ----------
    penalty : (k,) float64
        The least is 0.

    Examples
    --------
    >>> balance = Balance(2)
    >>> balance.update(np.array([3.0, 1.0]), 1.0)
    >>> balance.penalty
    array([0.2, 0. ])
    """

    def __init__(self, k: int) -> None:
        self.penalty: Floats = np.zeros(k)
        self._step: Floats | None = None
        self._side: Floats = np.zeros(k)

    def update(self, counts: Floats, spread: float) -> None:
        """Change the penalties by the sizes that they led to.

        Parameters
        ----------
        counts : (k,)
        spread : float
            Mean squared distance of a row to its centre, a tenth of which is the first step.
        """
        side = np.sign(counts - counts.mean())
        if self._step is None:
            self._step = np.full(len(counts), FIRST_STEP * spread)
        else:
            self._step *= np.where(side * self._side < 0, 0.5, np.where(side * self._side > 0, 1.2, 1.0))
        self._side = side
        self.penalty += side * self._step
        self.penalty -= self.penalty.min()


def m_step(
    book: Codebook, sums: Sums, rng: np.random.Generator, balance: Balance | None = None
) -> tuple[Codebook, int]:
    """The next centres, and how many of them took half of another's rows ``Sums -> Codebook, int``.

    Parameters
    ----------
    book : Codebook
        The centres that `sums` was made with.
    rng : numpy.random.Generator
        Chooses whom an empty cluster shares with.
    balance : Balance, optional
        Is updated.
    """
    counts = sums.counts.copy()
    used = counts > 0
    centres = book.centres.astype(np.float64)
    if book.form == "euclidean":
        centres[used] = sums.sums[used] / counts[used, None]
    else:  # a sum of nothing, or one that cancels, leaves the direction as it was
        norm = np.sqrt((sums.sums**2).sum(axis=1))
        turned = used & (norm > 0)
        centres[turned] = sums.sums[turned] / norm[turned, None]
    spread = sums.inertia / max(counts.sum(), 1.0)
    if balance is not None:
        balance.update(sums.counts, spread)
    donors = split_empty(centres, counts, rng, spread=np.sqrt(spread / centres.shape[1]))
    if donors and book.form != "euclidean":
        centres /= np.maximum(np.sqrt((centres**2).sum(axis=1)), 1e-30)[:, None]
    for i, j in donors.items():
        if balance is not None:
            balance.penalty[i] = balance.penalty[j]
    penalty = None if balance is None else balance.penalty.copy()
    return Codebook(centres.astype(np.float32), book.form, penalty), len(donors)


def split_empty(centres: Floats, counts: Floats, rng: np.random.Generator, *, spread: float = 0.0) -> dict[int, int]:
    """Give every empty cluster half of a large one, in place ``(k, d), (k,) -> {empty: donor}``.

    The donor is drawn with probability proportional to its rows less one. Its centre is copied and the two are moved
    apart by a thousandth, even and odd components in opposite ways, so that the next step divides the rows between
    them (the rule of faiss and of DeepCluster). Donors are drawn afresh each time and their counts halved.

    Parameters
    ----------
    centres : (k, d) float64
    counts : (k,) float64
    spread : float
        Root mean square of a component about its centre: components smaller than it are moved by a thousandth of it,
        so that a centre at zero can be split too. Our addition.

    Examples
    --------
    >>> centres, counts = np.array([[2.0, 2.0], [0.0, 0.0]]), np.array([6.0, 0.0])
    >>> split_empty(centres, counts, np.random.default_rng(0))
    {1: 0}
    >>> counts, (centres - 2).round(4)
    (array([3., 3.]), array([[-0.002,  0.002],
           [ 0.002, -0.002]]))
    """
    empty = np.flatnonzero(counts == 0)
    sign = np.where(np.arange(centres.shape[1]) % 2 == 0, 1.0, -1.0)
    donors: dict[int, int] = {}
    for i in empty.tolist():
        weight = np.maximum(counts - 1, 0)
        if weight.sum() == 0:  # every cluster has one row at most
            break
        j = int(rng.choice(len(counts), p=weight / weight.sum()))
        step = sign * NUDGE * np.maximum(np.abs(centres[j]), spread)
        centres[i], centres[j] = centres[j] + step, centres[j] - step
        counts[i] = counts[j] // 2
        counts[j] -= counts[i]
        donors[i] = j
    return donors


def _first(source: Source, k: int, form: Form, start: str | Samples, rng: np.random.Generator) -> Samples:
    """First centres ``-> (k, d)``."""
    if not isinstance(start, str):
        return unit(start) if form != "euclidean" else start.copy()
    n = source.shape[0]
    if start == "random":
        first = source.take(rng.choice(n, k, replace=False))
        return first if form == "euclidean" else unit(first)
    from sklearn.cluster import kmeans_plusplus

    rows = source.take(rng.choice(n, min(n, 20 * k), replace=False) if n > 20 * k else np.arange(n))
    rows = rows if form == "euclidean" else unit(rows)
    if not np.isfinite(rows).all():
        raise InputError("the vectors hold NaN or infinite values; clean or drop such vectors first.")
    # Several candidates a draw are better centres, and too slow for thousands.
    trials = None if k <= 100 else 1
    found, _ = kmeans_plusplus(rows, k, random_state=int(rng.integers(2**31)), n_local_trials=trials)
    return np.ascontiguousarray(found, dtype=np.float32)


def _compiled(function: AnyFunction) -> AnyFunction:
    """Compile with numba, cached on disk; keeps the type that the checker sees."""
    return cast(AnyFunction, numba.njit(cache=True, nogil=True)(function))


@_compiled
def _add(x: Samples, labels: Ints, gain: Samples, centres: Samples, sums: Floats, counts: Floats) -> float:
    """Add rows to the sums of their centres; returns the sum of squared distances."""
    total = 0.0
    for i in range(x.shape[0]):
        k = labels[i]
        g = np.float64(gain[i])
        counts[k] += 1.0
        squares = 0.0
        for j in range(x.shape[1]):
            value = np.float64(x[i, j])
            off = value - g * centres[k, j]
            squares += off * off
            sums[k, j] += g * value
        total += squares
    return total
