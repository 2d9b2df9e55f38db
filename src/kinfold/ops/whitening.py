"""Principal components, whitening and unit length, learned from sums over the rows wherever they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kinfold.errors import InputError
from kinfold.ops.source import Floats, Processes, Samples, added, as_source, place, unit

RANK = 1e-10  # of the largest variance; directions with less are rounding noise


@dataclass
class Moments:
    """Count, sum and sum of outer products of rows about a fixed point; adds up over pieces, files and processes.

    Attributes
    ----------
    count : float
    sums : (d,) float64
    outer : (d, d) float64
    origin : (d,) float64
        The fixed point, near the mean, so that no digits are lost; the same in all that is added.

    Examples
    --------
    >>> found = moments([[1.0, 0.0], [3.0, 0.0]])
    >>> found.mean, found.covariance
    (array([2., 0.]), array([[1., 0.],
           [0., 0.]]))
    """

    count: float
    sums: Floats
    outer: Floats
    origin: Floats

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.sums + other.sums, self.outer + other.outer, self.origin)

    @property
    def mean(self) -> Floats:
        """``(d,)``."""
        return self.origin + self.sums / self.count

    @property
    def covariance(self) -> Floats:
        """``(d, d)``, divided by the count."""
        off = self.sums / self.count
        return self.outer / self.count - np.outer(off, off)


def moments(x: Any, *, run: Processes | None = None) -> Moments:
    """Go over all rows once and add up their first two moments ``(n, d) -> Moments``.

    Parameters
    ----------
    x
        What `kinfold.ops.source.as_source` reads.
    run
        Processes that share the work; None does all of it here.
    """
    source = as_source(x)
    n, d = source.shape
    origin = source.take(np.unique(np.linspace(0, n - 1, 256).astype(np.int64))).mean(axis=0, dtype=np.float64)
    sums, outer = np.zeros(d), np.zeros((d, d))
    for _, rows in source.blocks(*place(run)):
        off = rows - origin
        sums += off.sum(axis=0)
        outer += off.T @ off
    return Moments(float(n), added(sums, run), added(outer, run), origin)


@dataclass(frozen=True)
class Whitening:
    """An affine map of rows, then unit length if wanted.

    Attributes
    ----------
    mean : (d,) float32
    matrix : (d, c) float32
    unit_length : bool

    Examples
    --------
    >>> found = whitening(np.random.default_rng(0).normal(size=(500, 3)) * [1, 5, 9], unit_length=False)
    >>> np.cov(found(np.random.default_rng(0).normal(size=(500, 3)) * [1, 5, 9]).T).round(1) + 0.0
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """

    mean: Samples
    matrix: Samples
    unit_length: bool

    @property
    def n_components(self) -> int:
        """Columns of what comes out."""
        return int(self.matrix.shape[1])

    def __call__(self, x: Any) -> Samples:
        """Whiten rows in memory ``(n, d) -> (n, c)`` float32; of a larger source, do it piece by piece."""
        rows: Samples = np.asarray(x, dtype=np.float32)
        found = np.asarray((rows - self.mean) @ self.matrix, dtype=np.float32)
        return unit(found) if self.unit_length else found


def whitening(
    x: Any,
    n_components: int | None = 256,
    *,
    form: Literal["pca", "zca"] = "pca",
    whiten: bool = True,
    eps: float = 0.0,
    unit_length: bool = True,
    run: Processes | None = None,
) -> Whitening:
    """Learn to rotate rows to their principal components and to give all the same variance ``(n, d) -> Whitening``.

    The defaults are DeepCluster's: 256 components, whitened, unit length. Its released code fails where there are fewer
    images or dimensions than components; here components are left out that the rows do not have: beyond d, beyond
    n - 1, and those whose variance is below a ten-billionth of the largest, which is rounding noise.

    Parameters
    ----------
    x
        What `kinfold.ops.source.as_source` reads.
    n_components : int, optional
        Most components; None keeps all.
    form : {"pca", "zca"}
        "zca" turns back to the original axes, so that whitened patches still look like patches (Coates and Ng).
    whiten : bool
        Divide by the spread; else only rotate.
    eps : float
        Added to every variance, in its unit. With eps above 0 nothing is left out as noise: it stays small.
    unit_length : bool
        Give the rows unit length at the end.
    run
        Processes that share the work.

    Raises
    ------
    InputError
        If rows are not finite or all the same, or a choice does not exist.
    """
    if form not in ("pca", "zca"):
        raise InputError(f"form is {form!r}; expected 'pca' or 'zca'.")
    if n_components is not None and n_components < 1:
        raise InputError(f"n_components is {n_components}; expected at least 1, or None for all.")
    if eps < 0:
        raise InputError(f"eps is {eps}; expected 0 or more.")
    found = moments(x, run=run)
    covariance = found.covariance
    if not np.isfinite(covariance).all():
        raise InputError("the vectors hold NaN or infinite values; clean or drop such vectors first.")
    variance, axes = np.linalg.eigh(covariance)
    variance, axes = np.maximum(variance[::-1], 0), axes[:, ::-1]
    rank = int((variance > RANK * variance[0]).sum()) if variance[0] > 0 else 0
    rank = min(rank, max(int(found.count) - 1, 1))
    if rank == 0 and eps == 0:
        raise InputError("all vectors are the same; expected vectors that differ.")
    kept = min(n_components or len(variance), len(variance) if eps > 0 else rank)
    variance, axes = variance[:kept], axes[:, :kept]
    # An axis has no sign of its own: let its largest entry be positive.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(kept)])
    matrix = axes / np.sqrt(variance + eps) if whiten else axes
    if form == "zca":
        matrix = matrix @ axes.T
    return Whitening(found.mean.astype(np.float32), matrix.astype(np.float32), unit_length)
