"""Triplets of clusters: a sample, one of its cluster, and one of another, that should be nearer and farther.

The loss that JULE (Yang 2016) trains on: as its code was released, as its text has it, and in our own form.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kinfold.ops.contrast import contrast

MOST_PAIRS = 4096  # positive pairs of a batch that enter the loss
TEMPERATURE = 0.3  # of the cosines by which images are told apart


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances of rows of unit length ``(a, d), (b, d) -> (a, b)``: 2 - 2 x.y, at most 4."""
    return 2 - 2 * x @ y.T


def weighted_triplets(
    features: Tensor, same: Tensor, far: Tensor, *, margin: float, gamma: float, generator: torch.Generator,
    n_nearest: int | None = None,
) -> Tensor:  # fmt: skip
    """Mean of the active triplets of a batch ``(b, d), (b,), (b,) -> ()``.

    ``max(0, gamma |a - p|^2 - |a - n|^2 + margin)`` over anchors and positives of one cluster and all negatives, where
    the mean is taken over the terms above zero: inactive ones, most of a batch, do not dilute the step. Our deviation
    in the mean and in the negatives; the hinge is the released code's.

    Parameters
    ----------
    features : (b, d) of unit length
    same : (b,) int
        Positives share it.
    far : (b,) int
        Negatives differ in it.
    generator : torch.Generator
        Chooses 4096 pairs where there are more.
    n_nearest : int, optional
        Negatives come from that many nearest clusters of the anchor's only (the paper's K_c), see `bordering`.

    Examples
    --------
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    >>> y = torch.tensor([0, 0, 1])
    >>> float(weighted_triplets(x, y, y, margin=0.2, gamma=1.0, generator=torch.Generator()))
    0.2...
    """
    d2 = squared_distances(features, features)
    other = ~torch.eye(len(features), dtype=torch.bool, device=features.device)
    anchor, positive = ((same[:, None] == same) & other).nonzero(as_tuple=True)
    if len(anchor) > MOST_PAIRS:
        chosen = torch.randperm(len(anchor), generator=generator)[:MOST_PAIRS].to(anchor.device)
        anchor, positive = anchor[chosen], positive[chosen]
    hinge = functional.relu(gamma * d2[anchor, positive][:, None] - d2[anchor] + margin)
    counts = far[:, None] != far if n_nearest is None else bordering(features, far, n_nearest)
    hinge = hinge * counts[anchor]
    return hinge.sum() / (hinge > 0).sum().clamp(min=1)


def bordering(features: Tensor, clusters: Tensor, n_nearest: int) -> Tensor:
    """Whether a sample's cluster is among the nearest of another's, by their centres ``(b, d), (b,) -> (b, b)``.

    Examples
    --------
    >>> x = torch.tensor([[0.0], [1.0], [3.0]])
    >>> bordering(x, torch.tensor([5, 6, 7]), 1).int().tolist()
    [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    """
    names, which = torch.unique(clusters, return_inverse=True)
    member = functional.one_hot(which, len(names)).to(features.dtype)
    centres = (member.T @ features.detach()) / member.sum(0)[:, None]
    apart = torch.cdist(centres, centres).fill_diagonal_(torch.inf)
    nearest = apart.topk(min(n_nearest, len(names) - 1), largest=False).indices
    near = torch.zeros_like(apart, dtype=torch.bool).scatter_(1, nearest, value=True)
    return near[which][:, which]


def told_apart(features: Tensor, same: Tensor) -> Tensor:
    """How hard it is to find the other view among those of other clusters ``(2 b, d), (2 b,) -> ()``.

    Parameters
    ----------
    features : (2 b, d)
        First views of a batch's images, then second views in the same order.
    same : (2 b,) int
        Clusters.
    """
    views = features.reshape(2, -1, features.shape[1]).transpose(0, 1).flatten(0, 1)
    return contrast(views, TEMPERATURE, same[: len(same) // 2])


def sampled_triplets(
    features: Tensor, same: Tensor, *, margin: float, gamma: float, generator: torch.Generator,
    n_negatives: int = 20, anchors_only: bool = False,
) -> Tensor:  # fmt: skip
    """The released code's triplets ``(b, d), (b,) -> ()``.

    Every unordered pair of one cluster, the first of the batch as anchor, and ``min(20, clusters in the batch - 1)``
    negatives drawn without replacement from the other clusters; the mean over all of them, active or not.

    Parameters
    ----------
    features, same, margin, gamma, generator
        As for `weighted_triplets`.
    n_negatives : int
        Most negatives a pair.
    anchors_only : bool
        The released criterion changes its input in place, so that the gradients of positives and negatives come out
        (gamma - 1) times what they should be: none at gamma 1.
    """
    learns = features.detach() + (gamma - 1) * (features - features.detach()) if anchors_only else features
    d2 = squared_distances(features, learns)
    anchor, positive = (same[:, None] == same).triu(1).nonzero(as_tuple=True)
    n_drawn = min(n_negatives, len(torch.unique(same)) - 1)
    if len(anchor) == 0 or n_drawn == 0:
        return (features * 0).sum()
    chance = torch.rand(len(anchor), len(same), generator=generator).to(features.device)
    chance = chance.masked_fill(same[anchor][:, None] == same, -1.0)
    negative = chance.topk(n_drawn, dim=1).indices
    hinge = functional.relu(gamma * d2[anchor, positive][:, None] - d2[anchor[:, None], negative] + margin)
    return hinge.mean()


def affinity_triplets(features: Tensor, same: Tensor, *, gamma: float, n_local: int) -> Tensor:
    """The loss of the paper's text ``(b, d), (b,) -> ()``: affinities in place of distances, and no hinge.

    ``-mean over i, j of one cluster and k of another of (gamma A_ij - A_ik)`` with ``A = exp(-d^2 / sigma^2)`` and
    sigma^2 the batch's mean squared distance; k runs over the n_local - 1 nearest images of other clusters.
    """
    d2 = squared_distances(features, features)
    closeness = torch.exp(-d2 / d2.detach().mean().clamp(min=1e-12))
    mates = same[:, None] == same
    anchor, positive = (mates & ~torch.eye(len(same), dtype=torch.bool, device=same.device)).nonzero(as_tuple=True)
    n_others = min(max(n_local - 1, 1), int((~mates).sum(1).min()))
    if len(anchor) == 0 or n_others == 0:
        return (features * 0).sum()
    nearest = closeness.masked_fill(mates, -1.0).topk(n_others, dim=1).values.mean(1)
    return -(gamma * closeness[anchor, positive] - nearest[anchor]).mean()
