"""Assignment of soft clusters with given sizes: entropic optimal transport in the log domain.

Cuturi 2013; as labels for learning SeLa (Asano 2020) and SwAV (Caron 2020).
"""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from kinfold.errors import InputError


def sinkhorn(
    scores: Tensor,
    *,
    epsilon: float = 0.05,
    sizes: ArrayLike | Tensor | None = None,
    weights: ArrayLike | Tensor | None = None,
    n_iterations: int = 3,
    tolerance: float = 0.0,
) -> Tensor:
    """Spread rows over clusters of given sizes ``(b, k) -> (b, k)``, rows sum to one.

    The plan Q that maximises ``<Q, scores> + epsilon H(Q)`` with row sums `weights` and column sums `sizes`, found by
    scaling columns and rows in turn; rows come last, so theirs are exact. Computed on logarithms in float64: no score
    is too large and no epsilon too small.

    Parameters
    ----------
    scores : (b, k)
        Of the whole batch; processes gather it first.
    epsilon : float
        Softness; towards 0 the rows become hard.
    sizes : (k,), optional
        Share of each cluster, of any sum; equal when None. A cluster of size 0 gets nothing.
    weights : (b,), optional
        Share of each row, of any sum; equal when None.
    n_iterations : int
        Most rounds. Three, the papers' choice for batches, come close; labels for a whole set take more.
    tolerance : float
        Stop when no column sum is off by more than this share of its size.

    Raises
    ------
    InputError
        If scores are not finite or not a matrix, epsilon is not positive, or sizes or weights do not fit.

    Examples
    --------
    >>> sinkhorn(torch.tensor([[9.0, 8.0], [9.0, 2.0]]), epsilon=2.0, n_iterations=50).round(decimals=2)
    tensor([[0.1800, 0.8200],
            [0.8200, 0.1800]])
    """
    if scores.ndim != 2 or not bool(torch.isfinite(scores).all()):
        raise InputError(f"scores of shape {tuple(scores.shape)} came; expected (b, k), all finite.")
    if epsilon <= 0:
        raise InputError(f"epsilon is {epsilon}; expected a number above 0.")
    b, k = scores.shape
    columns = _shares(sizes, k, "sizes").to(scores.device)
    rows = _shares(weights, b, "weights").to(scores.device)
    plan = scores.detach().double() / epsilon
    plan = plan - plan.logsumexp(1, keepdim=True) + rows.log()[:, None]
    for _ in range(n_iterations):
        found = plan.logsumexp(0)
        if tolerance and bool(((found.exp() - columns).abs() <= tolerance * columns).all()):
            break
        # A cluster of size zero is left without a share, and not divided by it.
        plan = plan + torch.where(columns > 0, columns.log() - found, -torch.inf)
        found = plan.logsumexp(1)
        plan = plan + torch.where(rows > 0, rows.log() - found, 0.0)[:, None]
    return plan.softmax(1).to(scores.dtype) if bool((rows > 0).all()) else _without_weight(plan, rows, scores)


def _without_weight(plan: Tensor, rows: Tensor, scores: Tensor) -> Tensor:
    """Rows of weight 0 take no part in the balance; they get zeros."""
    found = torch.zeros_like(plan)
    found[rows > 0] = plan[rows > 0].softmax(1)
    return found.to(scores.dtype)


def _shares(given: ArrayLike | Tensor | None, n: int, name: str) -> Tensor:
    """Shares that sum to one ``(n,)`` float64."""
    if given is None:
        return torch.full((n,), 1 / n, dtype=torch.float64)
    shares = torch.as_tensor(given).detach().double()
    if shares.shape != (n,) or not bool(torch.isfinite(shares).all()) or bool((shares < 0).any()) or shares.sum() <= 0:
        raise InputError(f"{name} of shape {tuple(shares.shape)} came; expected ({n},), none negative, some above 0.")
    return shares / shares.sum()
