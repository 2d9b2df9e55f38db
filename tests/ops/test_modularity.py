"""Modularity of neighbours, against its definition written out and at its ends."""

from __future__ import annotations

import numpy as np
import pytest

from kinfold.ops.knn import neighbours
from kinfold.ops.modularity import modularity


@pytest.mark.parametrize("n_clusters", [1, 2, 7])
def test_it_is_the_sum_over_all_pairs(n_clusters: int) -> None:
    """Leicht and Newman 2008: the mean over edges of [edge] - out_i in_j / m, for pairs of one cluster."""
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    index = neighbours(x, 4).index
    labels = np.random.default_rng(1).integers(n_clusters, size=40)
    edge = np.zeros((40, 40))
    edge[np.arange(40)[:, None], index] = 1
    m = edge.sum()
    expected = ((edge - np.outer(edge.sum(1), edge.sum(0)) / m) * (labels[:, None] == labels)).sum() / m
    assert modularity(index, labels) == pytest.approx(expected, abs=1e-9)


def test_groups_that_no_edge_leaves_are_best() -> None:
    x = np.concatenate([np.random.default_rng(0).normal(size=(20, 2)) + 50 * c for c in range(3)]).astype(np.float32)
    index, truth = neighbours(x, 3).index, np.repeat(np.arange(3), 20)
    assert modularity(index, truth) == pytest.approx(2 / 3)
    wrong = truth.copy()
    wrong[:3] = 1
    assert modularity(index, wrong) < modularity(index, truth)
    assert modularity(index, np.zeros(60, dtype=int)) == 0
