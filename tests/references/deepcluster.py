"""Plain restatements of DeepCluster's losses, one image and one view at a time."""

from __future__ import annotations

import numpy as np
import torch
from tests.references.lloyd import balanced_plan
from torch import Tensor


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Minus the sum over clusters of target times log probability."""
    total = torch.logsumexp(logits, 0)
    return -sum(target[k] * (logits[k] - total) for k in range(len(logits)))  # type: ignore[return-value]


def centroid_loss(views: list[Tensor], centres: Tensor, labels: list[int]) -> Tensor:
    """Mean over views and images."""
    terms = []
    for view in views:
        for z, label in zip(view, labels, strict=True):
            logits = torch.stack([(z * c).sum() for c in centres]) / 0.1
            terms.append(cross_entropy(logits, torch.eye(len(centres), dtype=z.dtype)[label]))
    return torch.stack(terms).mean()


def swapped_loss(views: list[Tensor], prototypes: Tensor) -> Tensor:
    """Each view predicts the code of view 0 and of view 1, not its own."""
    b, k = len(views[0]), len(prototypes)
    pairs = []
    for source in range(2):
        scores = torch.stack([torch.stack([(z * c).sum() for c in prototypes]) for z in views[source]])
        plan = balanced_plan(scores.detach().numpy(), 0.05, np.full(k, 1 / k), np.full(b, 1 / b), 3)
        for target in range(len(views)):
            if target != source:
                losses = [
                    cross_entropy(torch.stack([(z * c).sum() for c in prototypes]) / 0.1, torch.tensor(plan[i]))
                    for i, z in enumerate(views[target])
                ]
                pairs.append(torch.stack(losses).mean())
    return torch.stack(pairs).mean()
