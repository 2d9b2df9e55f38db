"""Plain restatements of entropies, divergences and the adversarial direction: loops over images and clusters."""

from __future__ import annotations

import torch
from torch import Tensor


def total(terms: list[Tensor]) -> Tensor:
    """Sum of scalars."""
    return torch.stack(terms).sum()


def marginal_entropy(p: Tensor, eps: float) -> Tensor:
    """Entropy of the batch mean."""
    n, k = p.shape
    terms = []
    for j in range(k):
        share = total([p[i, j] for i in range(n)]) / n
        terms.append(-share * torch.log(share + eps))
    return total(terms)


def conditional_entropy(p: Tensor, eps: float) -> Tensor:
    """Mean over images of the entropy of their row."""
    n, k = p.shape
    return total([-p[i, j] * torch.log(p[i, j] + eps) for i in range(n) for j in range(k)]) / n


def kl(target: Tensor, p: Tensor, eps: float) -> Tensor:
    """Mean over images of the divergence from a constant target."""
    n, k = p.shape
    terms = [target[i, j] * torch.log((target[i, j] + eps) / (p[i, j] + eps)) for i in range(n) for j in range(k)]
    return total(terms) / n
