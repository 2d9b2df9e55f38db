"""The study's objectives, entry by entry.

A restatement that shares nothing with `kinfold.algorithms.information_study`: loops over images and clusters.
"""

from __future__ import annotations

import torch
from torch import Tensor


def imsat(p: Tensor) -> Tensor:
    """0.1 (H(Y|X) - 4 H(Y)) ``(b, k) -> ()``."""
    conditional, marginal = torch.zeros((), dtype=p.dtype), torch.zeros((), dtype=p.dtype)
    for row in p:
        for value in row:
            conditional = conditional - value * torch.log(value + 1e-8) / len(p)
    for j in range(p.shape[1]):
        share = p[:, j].sum() / len(p)
        marginal = marginal - share * torch.log(share + 1e-8)
    return 0.1 * (conditional - 4 * marginal)


def information(p: Tensor, q: Tensor) -> Tensor:
    """I between two views' clusters, from the symmetric joint table ``(b, k), (b, k) -> ()``."""
    k = p.shape[1]
    joint = torch.zeros(k, k, dtype=p.dtype)
    for one, two in zip(p, q, strict=True):
        joint = joint + torch.outer(one, two) + torch.outer(two, one)
    joint = joint / joint.sum()
    total = torch.zeros((), dtype=p.dtype)
    for i in range(k):
        for j in range(k):
            total = total + joint[i, j] * torch.log(joint[i, j] / (joint[i].sum() * joint[:, j].sum()))
    return total


def divergence(target: Tensor, p: Tensor) -> Tensor:
    """Mean KL from a constant target ``(b, k), (b, k) -> ()``."""
    total = torch.zeros((), dtype=p.dtype)
    for known, said in zip(target.detach(), p, strict=True):
        for t, value in zip(known, said, strict=True):
            total = total + t * torch.log((t + 1e-16) / (value + 1e-16)) / len(p)
    return total
