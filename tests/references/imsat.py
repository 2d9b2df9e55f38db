"""Plain restatements of IMSAT's losses, for clusters and for bits: loops over images, clusters and pairs of bits."""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-8


def total(terms: list[Tensor]) -> Tensor:
    """Sum of scalars."""
    return torch.stack(terms).sum()


def log(x: Tensor) -> Tensor:
    """Logarithm with the released code's small number."""
    return torch.log(x + EPS)


def released_loss(p: Tensor, q: Tensor, weight: float, mu: float) -> Tensor:
    """SAT + weight (H(Y|X) - mu H(Y)) of clean and changed predictions."""
    n, k = p.shape
    rows, columns = range(n), range(k)
    constant = p.detach()
    sat = total([constant[i, j] * (log(constant[i, j]) - log(q[i, j])) for i in rows for j in columns]) / n
    undecided = total([-p[i, j] * log(p[i, j]) for i in rows for j in columns]) / n
    shares = [total([p[i, j] for i in rows]) / n for j in columns]
    spread = total([-share * log(share) for share in shares])
    return sat + weight * (undecided - mu * spread)


def released_hash_loss(p: Tensor, q: Tensor, weight: float) -> Tensor:
    """SAT + weight (sum_d H(Y_d|X) - H(Y_d) + 2 sum_{i<j} I(Y_i; Y_j)) of clean and changed bits."""
    n, d = p.shape
    constant = p.detach()
    sat = total([
        state(constant[i, j], s) * (log(state(constant[i, j], s)) - log(state(q[i, j], s)))
        for i in range(n) for j in range(d) for s in (0, 1)
    ]) / n  # fmt: skip
    undecided = total([entropy(p[i, j]) for i in range(n) for j in range(d)]) / n
    means = [p[:, j].sum() / n for j in range(d)]
    spread = total([entropy(mean) for mean in means])
    pairs = [p.sum() * 0]
    for i in range(d):
        for j in range(i + 1, d):
            for s in (0, 1):
                for t in (0, 1):
                    joint = total([state(p[m, i], s) * state(p[m, j], t) for m in range(n)]) / n
                    apart = state(means[i], s) * state(means[j], t)
                    pairs.append(joint * (log(joint) - log(apart)))
    return sat + weight * (undecided - spread + 2 * total(pairs))


def state(p: Tensor, s: int) -> Tensor:
    """Probability that a bit is in state s."""
    return p if s else 1 - p


def entropy(p: Tensor) -> Tensor:
    """Entropy of one bit."""
    return -(p * log(p) + (1 - p) * log(1 - p))
