"""Entropies and divergences of soft assignments, and what they say about a run without any label.

Everything is in nats. Rows of probabilities sum to one; `p` has a row an image and a column a cluster. Over several
processes, gather the rows first (`Runtime.gather`): entropies of a batch mean are not means of entropies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from kinfold.errors import InputError

EPS = 1e-8  # inside the logarithms, as in the released code of IMSAT
DEAD = 0.05  # mutual information below this share of its bound: the network says nothing
COLLAPSED = 0.6  # entropy of the clusters' shares below this share of what the prior asks for

Verdict = Literal["well", "dead", "collapsed"]
Prior = Tensor | npt.NDArray[np.floating] | Sequence[float]


def entropy(p: Tensor, *, eps: float = EPS) -> Tensor:
    """Entropy of the last axis ``(..., k) -> (...)``: ``-sum p log(p + eps)``.

    Examples
    --------
    >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    tensor([0.6931, -0.0000])
    """
    return -(p * torch.log(p + eps)).sum(-1)


def conditional_entropy(p: Tensor, *, eps: float = EPS) -> Tensor:
    """H(Y|X), the mean entropy of the rows ``(b, k) -> ()``: how undecided the network is about an image."""
    return entropy(p, eps=eps).mean()


def marginal(p: Tensor, before: Tensor | None = None, *, rate: float = 1.0) -> Tensor:
    """Share of each cluster ``(b, k) -> (k,)``: the batch mean, or a running mean of it.

    A mean over few images a cluster is noisy, and its entropy too low. The running mean has the value of many batches
    and the gradient of this one, undamped, so `rate` changes what is estimated and not how strongly it is pursued.

    Parameters
    ----------
    before : (k,), optional
        The running mean of the batches before; None at the first.
    rate : float
        Weight of this batch, 0 to 1; 1 is the batch mean.

    Examples
    --------
    >>> p = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> marginal(p), marginal(p, torch.tensor([0.5, 0.5]), rate=0.2)
    (tensor([1., 0.]), tensor([0.6000, 0.4000]))
    """
    mean = p.mean(0)
    if before is None or rate >= 1.0:
        return mean
    running = torch.lerp(before.to(mean), mean.detach(), rate)
    return running + (mean - mean.detach())


def marginal_entropy(p: Tensor, before: Tensor | None = None, *, rate: float = 1.0, eps: float = EPS) -> Tensor:
    """H(Y), the entropy of `marginal` ``(b, k) -> ()``: log k when all clusters are equally large."""
    return entropy(marginal(p, before, rate=rate), eps=eps)


def mutual_information(p: Tensor, *, eps: float = EPS) -> Tensor:
    """I(X;Y) = H(Y) - H(Y|X) over a batch ``(b, k) -> ()``: log k when images are decided and clusters equal.

    Examples
    --------
    >>> mutual_information(torch.eye(2))
    tensor(0.6931)
    """
    return marginal_entropy(p, eps=eps) - conditional_entropy(p, eps=eps)


def divergence(p: Tensor, q: Tensor, *, eps: float = EPS) -> Tensor:
    """Kullback-Leibler divergence of the last axis ``(..., k), (..., k) -> (...)``: ``sum p log((p + eps)/(q + eps))``.

    Examples
    --------
    >>> divergence(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]))
    tensor(0.6931)
    """
    return (p * (torch.log(p + eps) - torch.log(q + eps))).sum(-1)


def kl(target: Tensor, p: Tensor, *, eps: float = EPS) -> Tensor:
    """Mean divergence of predictions from a target that gets no gradient ``(b, k), (b, k) -> ()``."""
    return divergence(target.detach(), p, eps=eps).mean()


def kl_to_prior(shares: Tensor, prior: Tensor, *, eps: float = EPS) -> Tensor:
    """KL(p(y) || q(y)) of the clusters' shares from the stated ones ``(..., k), (k,) -> (...)``.

    Clusters have no names: the largest is compared with the largest stated share, and so on down, which is the match of
    least divergence. For equal stated shares this is log k - H(Y).

    Parameters
    ----------
    prior : (k,)
        From large to small, see `as_prior`.

    Examples
    --------
    >>> kl_to_prior(torch.tensor([0.25, 0.75]), torch.tensor([0.75, 0.25]))
    tensor(0.)
    """
    rank = shares.detach().argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    return divergence(shares, prior.to(shares)[rank], eps=eps)


def as_prior(prior: Prior | None, n_clusters: int) -> Tensor:
    """Stated shares of the clusters as a vector ``-> (k,)``, largest first; None is equal shares.

    Raises
    ------
    InputError
        If there is not one positive number a cluster, or they do not sum to one.

    Examples
    --------
    >>> as_prior([0.25, 0.75], 2), as_prior(None, 2)
    (tensor([0.7500, 0.2500]), tensor([0.5000, 0.5000]))
    """
    if prior is None:
        return torch.full((n_clusters,), 1.0 / n_clusters)
    shares = np.asarray(prior, dtype=np.float64)
    if shares.shape != (n_clusters,):
        raise InputError(f"prior has shape {shares.shape}; expected one share for each of {n_clusters} clusters.")
    if not np.isfinite(shares).all() or shares.min() <= 0:
        raise InputError(f"prior has a share of {shares.min():.3g}; expected positive numbers that sum to one.")
    if abs(shares.sum() - 1) > 1e-4:
        raise InputError(f"prior sums to {shares.sum():.4g}; expected one: divide the shares by their sum.")
    return torch.from_numpy(np.sort(shares / shares.sum())[::-1].copy()).float()


def verdict(marginal: float, conditional: float, n_clusters: int, *, expected: float | None = None) -> Verdict:
    """What two entropies say about a run, no label being looked at.

    "dead": the outputs carry no information about the image, as when they are all uniform (H(Y|X) near H(Y)).
    "collapsed": few clusters hold nearly everything (H(Y) far below what is asked for). One cluster is always well.

    Parameters
    ----------
    marginal, conditional : float
        H(Y) and H(Y|X), over many images.
    n_clusters : int
    expected : float, optional
        Entropy of the stated shares; None takes log k.

    Examples
    --------
    >>> verdict(2.3, 2.29, 10), verdict(0.4, 0.01, 10), verdict(2.25, 0.1, 10)
    ('dead', 'collapsed', 'well')
    """
    bound = math.log(n_clusters) if expected is None else expected
    if n_clusters < 2 or bound <= 0:
        return "well"
    if marginal < COLLAPSED * bound:
        return "collapsed"
    return "dead" if marginal - conditional < DEAD * bound else "well"


def used_clusters(labels: npt.NDArray[np.integer], n_clusters: int, *, smallest: float = 0.0) -> int:
    """Number of clusters that hold more than this share of the mean cluster size ``(n,) -> ()``.

    Examples
    --------
    >>> used_clusters(np.array([0, 0, 0, 2]), 3)
    2
    """
    counts = np.bincount(labels, minlength=n_clusters)
    return int((counts > smallest * len(labels) / n_clusters).sum())
