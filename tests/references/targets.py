"""Plain restatements: the pull to targets, the best exchange by trying all, contrast and turns by loops."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor


def pull(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean over the batch of |z - c|^2, one coordinate at a time."""
    terms = []
    for z, c in zip(outputs, targets, strict=True):
        terms.append(torch.stack([(z[j] - c[j]) ** 2 for j in range(len(z))]).sum())
    return torch.stack(terms).sum() / len(terms)


def least(outputs: Tensor, targets: Tensor, held: list[int]) -> float:
    """The least sum of squared distances over every way to deal out what the batch holds."""
    best = math.inf
    for order in itertools.permutations(range(len(held))):
        total = sum(float(((outputs[i] - targets[held[j]]) ** 2).sum()) for i, j in enumerate(order))
        best = min(best, total)
    return best


def contrast(views: Tensor, temperature: float) -> Tensor:
    """NT-Xent: for each view minus the log of its partner's share among all others."""
    unit = [v / v.norm() for v in views]
    terms = []
    for i in range(len(unit)):
        partner = i + 1 if i % 2 == 0 else i - 1
        others = [torch.exp(unit[i] @ unit[j] / temperature) for j in range(len(unit)) if j != i]
        terms.append(-torch.log(torch.exp(unit[i] @ unit[partner] / temperature) / torch.stack(others).sum()))
    return torch.stack(terms).mean()


def turned(logits: Tensor) -> Tensor:
    """Cross-entropy of turn r for row 4 i + r."""
    terms = []
    for row in range(len(logits)):
        shares = torch.exp(logits[row]) / torch.exp(logits[row]).sum()
        terms.append(-torch.log(shares[row % 4]))
    return torch.stack(terms).mean()
