"""Plain restatements of JULE's losses: loops over anchors, positives and negatives, one scalar at a time."""

from __future__ import annotations

import torch
from torch import Tensor


def squared(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distance of two vectors."""
    return ((x - y) ** 2).sum()


def active_triplets(
    features: Tensor, same: list[int], far: list[int], margin: float, gamma: float, n_nearest: int = 99
) -> Tensor:
    """Mean over the triplets above zero, anchors and positives ordered, all negatives or those of near clusters."""
    terms = []
    centres = {
        c: torch.stack([x.detach() for x, of in zip(features, far, strict=True) if of == c]).mean(0) for c in far
    }
    for a in range(len(same)):
        for p in range(len(same)):
            if p == a or same[p] != same[a]:
                continue
            for n in range(len(same)):
                if far[n] == far[a]:
                    continue
                ranks = sorted(centres, key=lambda c: float(squared(centres[c], centres[far[a]])))
                if ranks.index(far[n]) > n_nearest:  # the first is the anchor's own
                    continue
                term = gamma * squared(features[a], features[p]) - squared(features[a], features[n]) + margin
                if term > 0:
                    terms.append(term)
    return torch.stack(terms).mean() if terms else features.sum() * 0


def released_triplets(
    features: Tensor, same: list[int], chance: list[list[float]], n_negatives: int, margin: float, gamma: float
) -> Tensor:
    """Mean over unordered pairs, first as anchor; each pair's negatives are those with the largest chances."""
    terms, pair = [], 0
    for a in range(len(same)):
        for p in range(a + 1, len(same)):
            if same[p] != same[a]:
                continue
            others = [n for n in range(len(same)) if same[n] != same[a]]
            drawn = sorted(others, key=lambda n: -chance[pair][n])[:n_negatives]
            for n in drawn:
                term = gamma * squared(features[a], features[p]) - squared(features[a], features[n]) + margin
                terms.append(torch.clamp(term, min=0))
            pair += 1
    return torch.stack(terms).mean()


def paper_loss(features: Tensor, same: list[int], gamma: float, n_others: int) -> Tensor:
    """Affinities of mates against those of the nearest images of other clusters."""
    n = len(same)
    width = torch.stack([squared(features[i], features[j]) for i in range(n) for j in range(n)]).mean().detach()
    terms = []
    for i in range(n):
        affinity = [torch.exp(-squared(features[i], features[j]) / width) for j in range(n)]
        order = sorted(range(n), key=lambda j: -float(affinity[j].detach()))
        others = [j for j in order if same[j] != same[i]][:n_others]
        near = torch.stack([affinity[j] for j in others]).mean()
        terms += [near - gamma * affinity[j] for j in range(n) if j != i and same[j] == same[i]]
    return torch.stack(terms).mean()
