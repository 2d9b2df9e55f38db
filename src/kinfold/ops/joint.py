"""The joint table of two assignments of the same images, and what one tells about the other.

Ji, Henriques, Vedaldi, ICCV 2019, arXiv 1807.06653, equations 2 and 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 2.220446049250313e-16  # of a probability inside a logarithm, as in the released code


def joint_table(first: Tensor, second: Tensor) -> Tensor:
    """Joint distribution of paired soft assignments, for any number of sub-heads ``(b, s, k), (b, s, k) -> (s, k, k)``.

    Symmetric, because which of two views came first means nothing; entries of a table sum to one. Computed in float32
    also under autocast (in float64 for float64), as a table of many clusters has entries that bfloat16 rounds away.

    The table is a mean over pairs, so with several processes either the assignments go through ``run.gather`` before,
    or tables of equal shares through ``run.mean`` after. It is linear in each side: the mean of an image's several
    second views gives the table of all its pairs.

    Parameters
    ----------
    first, second
        Probabilities; row i of both belongs to image i.

    Examples
    --------
    >>> p = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    >>> joint_table(p, p)
    tensor([[[0.5000, 0.0000],
             [0.0000, 0.5000]]])
    """
    with torch.autocast(first.device.type, enabled=False):
        one, two = (x if x.dtype == torch.float64 else x.float() for x in (first, second))
        table = torch.einsum("bsi,bsj->sij", one, two)
        table = (table + table.transpose(1, 2)) / 2
        return table / table.sum((1, 2), keepdim=True)


def paired_table(answers: Tensor, n: int) -> Tensor:
    """Joint table of n images, each paired with all its other views ``(n (1 + r), s, k) -> (s, k, k)``.

    Repeating the plain view r times, as the released code does, gives the same table: a mean over the other views comes
    first here.

    Examples
    --------
    >>> sure = torch.eye(2)[[0, 1, 0, 1, 0, 1]][:, None]
    >>> paired_table(sure, 2)
    tensor([[[0.5000, 0.0000],
             [0.0000, 0.5000]]])
    """
    return joint_table(answers[:n], answers[n:].reshape(-1, n, *answers.shape[1:]).mean(0))


def table_information(table: Tensor, *, marginal_weight: float = 1.0) -> Tensor:
    """Mutual information of rows and columns of each table, in nats ``(s, k, k) -> (s,)``.

    ``sum P_ij (log P_ij - lambda log P_i - lambda log P_j)``, at most log k for lambda 1: reached by certain answers
    that agree and use all clusters alike.

    Parameters
    ----------
    table
        As `joint_table` gives.
    marginal_weight
        The paper's lambda. Above 1 it adds (lambda - 1) times the entropies of both marginals.

    Examples
    --------
    >>> table_information(torch.eye(2)[None] / 2)
    tensor([0.6931])
    >>> table_information(torch.full((1, 2, 2), 0.25))
    tensor([0.])
    """
    with torch.autocast(table.device.type, enabled=False):
        rows = table.sum(2, keepdim=True).clamp_min(SMALLEST)
        columns = table.sum(1, keepdim=True).clamp_min(SMALLEST)
        table = table.clamp_min(SMALLEST)
        return (table * (table.log() - marginal_weight * (rows.log() + columns.log()))).sum((1, 2))


def coarsened(table: Tensor, n_clusters: int) -> Tensor:
    """Join clusters of one table until so many are left, each time the two that cost the least information.

    Clusters that images change between from view to view are joined first, small ones before large ones: the
    agglomerative information bottleneck (Slonim, Tishby 1999) on IIC's own table. It turns an overclustering into a
    clustering.

    Parameters
    ----------
    table : (k, k)
        Symmetric, as `joint_table` gives.
    n_clusters : int
        How many are wanted, at most k.

    Returns
    -------
    (k,) int64
        New cluster of each old one.

    Examples
    --------
    >>> table = torch.tensor([[0.2, 0.1, 0.0], [0.1, 0.2, 0.0], [0.0, 0.0, 0.4]])
    >>> coarsened(table, 2)
    tensor([0, 0, 1])
    """
    p = table.detach().double().cpu().clone()
    name = torch.arange(len(p))
    shared = torch.stack([_shared(p, i) for i in range(len(p))])
    while len(p) > n_clusters:
        first, second = divmod(int(_cost_of_joining(p, shared).argmin()), len(p))
        keep, gone = min(first, second), max(first, second)
        shared -= _shared_with(p, keep) + _shared_with(p, gone)
        p[keep] += p[gone]
        p[:, keep] += p[:, gone]
        rest = torch.arange(len(p)) != gone
        p, shared = p[rest][:, rest], shared[rest][:, rest]
        shared += _shared_with(p, keep)
        shared[keep] = shared[:, keep] = _shared(p, keep)
        name[name == gone] = keep
        name[name > gone] -= 1
    return name


def _cost_of_joining(p: Tensor, shared: Tensor) -> Tensor:
    """Information lost when clusters i and j become one ``(k, k), (k, k) -> (k, k)``, infinite for i = j.

    `shared` has, for each i and j, the sum of `_shared_with` over every cluster.
    """
    size, own, diagonal = p.sum(1), _xlogx(p), p.diagonal()
    # The sum took i and j themselves for clusters that stay apart; in their place stands one entry of the diagonal.
    with_first = _xlogx(diagonal[:, None] + p) - own.diagonal()[:, None] - own
    with_second = _xlogx(diagonal[None] + p) - own.diagonal()[None] - own
    corner = _xlogx(diagonal[:, None] + diagonal[None] + 2 * p)
    corner = corner - own.diagonal()[:, None] - own.diagonal()[None] - 2 * own
    sizes = _xlogx(size[:, None] + size[None]) - _xlogx(size)[:, None] - _xlogx(size)[None]
    lost = 2 * sizes - 2 * (shared - with_first - with_second) - corner
    return lost.masked_fill(torch.eye(len(p), dtype=torch.bool), torch.inf)


def _shared_with(p: Tensor, m: int) -> Tensor:
    """What joining i and j does to their entries of cluster m ``(k, k) -> (k, k)``."""
    own = _xlogx(p[m])
    return _xlogx(p[m][:, None] + p[m]) - own[:, None] - own


def _shared(p: Tensor, i: int) -> Tensor:
    """The same for one i, summed over all m ``(k, k) -> (k,)``."""
    return (_xlogx(p[i] + p) - _xlogx(p[i]) - _xlogx(p)).sum(1)


def _xlogx(p: Tensor) -> Tensor:
    """p log p, nought at nought ``(...) -> (...)``."""
    found: Tensor = torch.special.xlogy(p, p)
    return found
