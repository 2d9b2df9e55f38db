"""The number of clusters from the tree of a mixture whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from kinfold.ops.affinity import graph_of
from kinfold.ops.agglomerate import agglomerate, initial_clusters
from kinfold.ops.estimate import estimate_clusters
from kinfold.ops.knn import neighbours


@pytest.mark.parametrize("k", [2, 3, 7, 15])
def test_separated_groups_are_counted(k: int) -> None:
    rng = np.random.default_rng(k)
    centres = rng.normal(size=(k, 16)) * 4
    x = (centres[rng.integers(0, k, 60 * k)] + rng.normal(size=(60 * k, 16)) * 0.7).astype(np.float32)
    near = neighbours(x, 15)
    tree = agglomerate(graph_of(near), initial_clusters(near.index[:, 0]), 1, features=x)
    assert estimate_clusters(tree) == k
