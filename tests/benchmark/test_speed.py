from __future__ import annotations

import numpy as np
import pytest

from kinfold.benchmark import speed
from kinfold.benchmark.scenarios import scenario


def test_the_mixture_repeats_and_is_of_unit_length() -> None:
    x, y = speed.mixture(500, 64, 3)
    again, _ = speed.mixture(500, 64, 3)
    np.testing.assert_array_equal(x, again)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    assert np.unique(y).size == speed.N_CLUSTERS


def test_given_neighbours_are_the_exact_ones() -> None:
    from kinfold.ops.knn import neighbours

    x, _ = speed.mixture(400, 3, 0)
    given, searched = speed._given(x), neighbours(x, speed.N_NEIGHBORS)
    np.testing.assert_allclose(given.distance, searched.distance, atol=1e-5)


@pytest.mark.parametrize("name", ["kinfold", "ward", "kmeans"])
def test_parts_cluster_the_mixture(name: str) -> None:
    found = speed.PARTS[name](1200, 0)
    assert found["nmi"] > 0.9
    assert found["seconds"] > 0


def test_sparse_and_dense_leave_the_same_partition() -> None:
    assert speed.sparse(600, 0)["partition"] == speed.dense(600, 0)["partition"]


def test_conclusions_by_hand() -> None:
    runs = {
        "kinfold": [{"seconds": 4.0}],
        "half": [{"seconds": 2.0}],
        "quarter": [{"seconds": 1.0}],
        "ward": [{"seconds": 20.0}],
        "kmeans": [{"seconds": 0.1}],
    }
    found = speed.conclusions(scenario("agglomerate-10000"), runs)
    assert found["growth"] == {"sizes": [2500, 5000, 10000], "seconds": [1.0, 2.0, 4.0], "exponent": 1.0}
    assert found["ratio"] == {"against": "scikit-learn's ward with connectivity", "value": 5.0}
    assert found["original"]["cpu_seconds"] == 50.6
    pair = {"sparse": [{"seconds": 0.01, "partition": "a"}], "dense": [{"seconds": 2.0, "partition": "a"}]}
    found = speed.conclusions(scenario("agglomerate-dense-3000"), pair)
    assert found == {"ratio": {"against": "the dense numpy loop", "value": 200.0}, "same_partition": True}
