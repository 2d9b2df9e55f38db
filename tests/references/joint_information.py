"""The clustering loss of invariant information clustering, one pair and one sub-head at a time.

A restatement of the definition that shares nothing with `kinfold.ops.joint`: loops in place of products of tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor


def table(first: Tensor, second: Tensor) -> Tensor:
    """Joint table of one sub-head ``(b, k), (b, k) -> (k, k)``, pair by pair."""
    k = first.shape[1]
    joint = torch.zeros(k, k, dtype=first.dtype)
    for z, other in zip(first, second, strict=True):
        joint = joint + torch.outer(z, other) + torch.outer(other, z)
    return joint / joint.sum()


def loss(first: Tensor, second: Tensor, marginal_weight: float = 1.0) -> Tensor:
    """Negative mutual information, the mean over sub-heads ``(b, s, k), (b, s, k) -> ()``."""
    total = torch.zeros((), dtype=first.dtype)
    for head in range(first.shape[1]):
        joint = table(first[:, head], second[:, head])
        k = joint.shape[0]
        for i in range(k):
            for j in range(k):
                rows, columns = joint[i].sum(), joint[:, j].sum()
                inside = torch.log(joint[i, j]) - marginal_weight * (torch.log(rows) + torch.log(columns))
                total = total - joint[i, j] * inside
    return total / first.shape[1]
