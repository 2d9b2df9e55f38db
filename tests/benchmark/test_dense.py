"""The plain form is itself checked against the definitions, cluster pair by cluster pair."""

from __future__ import annotations

import numpy as np
import pytest

from kinfold.benchmark import dense
from kinfold.ops.affinity import affinity
from kinfold.ops.agglomerate import agglomerate, initial_clusters
from kinfold.ops.knn import neighbours


def sample(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)) + 2.0 * rng.normal(size=(6, 5))[rng.integers(6, size=n)]
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_flows_and_affinities_are_their_definitions() -> None:
    w = dense.weights(sample(40, 0), 6)
    labels = np.arange(40) % 5
    u = dense.flows(w, labels)
    a = dense.affinities(u, np.bincount(labels).astype(float))
    for i in range(5):
        for j in range(5):
            if i != j:
                block, back = w[labels == j][:, labels == i], w[labels == i][:, labels == j]
                np.testing.assert_allclose(u[i, j], (block @ back).sum())
                other = (back @ block).sum()
                np.testing.assert_allclose(a[i, j], (block @ back).sum() / 64 + other / 64)


def test_two_single_samples_have_twice_the_product_of_their_weights() -> None:
    w = np.array([[0.0, 0.5, 0.1], [0.25, 0.0, 0.0], [0.0, 0.3, 0.0]])
    a = dense.affinities(dense.flows(w, np.arange(3)), np.ones(3))
    np.testing.assert_allclose(a, [[0, 0.25, 0], [0.25, 0, 0], [0, 0, 0]])


def test_the_exact_update_equals_affinities_made_anew() -> None:
    x = sample(60, 1)
    w = dense.weights(x, 8)
    start = initial_clusters(neighbours(x, 8).index[:, 0])
    for down_to in range(int(start.max()), 6, -1):
        labels = dense.merge(w, start, down_to).labels
        at = dense.merge(w, start, down_to - 1).affinity
        a = dense.affinities(dense.flows(w, labels), np.bincount(labels).astype(float))
        assert np.isclose(a, at[-1], rtol=1e-9).any()


@pytest.mark.parametrize(
    "options", [{"n_local": 1}, {"n_local": 5}, {"n_local": 3, "local_above": 12}, {"exact": False}]
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_sparse_core_gives_the_same_partition(seed: int, options: dict[str, int]) -> None:
    x = sample(300, seed)
    near = neighbours(x, 10)
    start = initial_clusters(near.index[:, 0])
    graph = affinity(x, 10)
    expected = dense.merge(graph.toarray(), start, 6, **options)
    tree = agglomerate(graph, start, 6, **options)
    n = len(expected.affinity)
    np.testing.assert_allclose(tree.affinity[:n], expected.affinity, rtol=1e-9)
    same = expected.labels[:, None] == expected.labels[None]
    found = tree.cut(len(np.unique(expected.labels)))
    np.testing.assert_array_equal(found[:, None] == found[None], same)


def test_the_dense_graph_is_the_sparse_one() -> None:
    x = sample(700, 3)
    np.testing.assert_allclose(dense.weights(x, 10), affinity(x, 10).toarray(), atol=1e-5)
    near = neighbours(x, 10)
    np.testing.assert_allclose(dense.fill(near.index, near.distance), affinity(x, 10).toarray(), atol=1e-6)
