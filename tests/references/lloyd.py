"""Plain restatements: one step of k-means, the balance of Sinkhorn, the climb of PIC, one row at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def e_step(x: Array, centres: Array) -> tuple[list[int], Array, Array, float]:
    """Nearest centre of each row, counts, sums and inertia."""
    labels, counts, sums, inertia = [], np.zeros(len(centres)), np.zeros(centres.shape), 0.0
    for row in x.astype(np.float64):
        squared = [float(((row - centre) ** 2).sum()) for centre in centres.astype(np.float64)]
        k = int(np.argmin(squared))
        labels.append(k)
        counts[k] += 1
        sums[k] += row
        inertia += squared[k]
    return labels, counts, sums, inertia


def balanced_plan(scores: Array, epsilon: float, sizes: Array, weights: Array, rounds: int) -> Array:
    """Scaling of columns, then rows, on the plain exponential; for moderate scores only."""
    plan = np.exp(scores.astype(np.float64) / epsilon)
    plan = plan / plan.sum(axis=1, keepdims=True) * weights[:, None]
    for _ in range(rounds):
        plan = plan * (sizes / plan.sum(axis=0))
        plan = plan * (weights / plan.sum(axis=1))[:, None]
    return plan / plan.sum(axis=1, keepdims=True)


def climb(index: Array, squared: Array, sigma: float, steps: int, damping: float) -> list[int]:
    """Root of every row after a damped walk, before single rows join others."""
    n, k = index.shape
    weight = np.zeros((n, n))
    for i in range(n):
        for j in range(k):
            weight[i, index[i, j]] += np.exp(-squared[i, j] / sigma**2)
    weight = weight + weight.T
    value = np.full(n, 1 / n)
    for _ in range(steps):
        value = damping * weight.T @ value + (1 - damping) / n
        value = value / value.sum()
    roots = []
    for i in range(n):
        while True:
            rise = [weight[i, j] * (value[j] - value[i]) for j in range(n)]
            if max(rise) <= 0:
                break
            i = int(np.argmax(rise))
        roots.append(i)
    return roots
