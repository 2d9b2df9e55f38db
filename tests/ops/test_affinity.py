"""The neighbour graph's weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfold.errors import InputError
from kinfold.ops.affinity import affinity, graph_of
from kinfold.ops.knn import Neighbours, neighbours

LINE = np.array([[0.0], [1.0], [3.0]])


def test_one_bandwidth_by_hand() -> None:
    # Squared distances to the nearest other: 1, 1, 4; their mean is 2.
    expected = np.zeros((3, 3))
    expected[0, 1] = expected[1, 0] = np.exp(-1 / 2)
    expected[2, 1] = np.exp(-4 / 2)
    np.testing.assert_allclose(affinity(LINE, 1).toarray(), expected, rtol=1e-6)
    np.testing.assert_allclose(affinity(LINE, 1, scale=0.5).toarray(), expected**2, rtol=1e-6)


def test_local_bandwidths_by_hand() -> None:
    # The middle one of two neighbours is the first: 1, 1, 4.
    expected = np.array([[0, np.exp(-1 / 2), np.exp(-9 / 2)], [np.exp(-1 / 2), 0, np.exp(-4 / 2)], [0, 0, 0]])
    expected[2] = np.exp(-9 / 8), np.exp(-4 / 8), 0
    np.testing.assert_allclose(affinity(LINE, 2, local=True).toarray(), expected, rtol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 40), st.integers(1, 50), st.integers(0, 1000), st.booleans())
def test_rows_hold_k_weights_between_nought_and_one(n: int, k: int, seed: int, local: bool) -> None:
    x = np.random.default_rng(seed).normal(size=(n, 3))
    graph = affinity(x, k, local=local)
    assert graph.shape == (n, n)
    np.testing.assert_array_equal(np.diff(graph.indptr), min(k, n - 1))
    assert (graph.data >= 0).all() and (graph.data <= 1).all()
    np.testing.assert_array_equal(graph.diagonal(), 0)
    near = neighbours(x, k)
    order = np.argsort(near.distance, axis=1)
    sorted_weights = np.take_along_axis(graph.data.reshape(n, -1), order, axis=1)
    assert (np.diff(sorted_weights, axis=1) <= 0).all()


@pytest.mark.parametrize("local", [False, True])
def test_identical_samples_have_weight_one(local: bool) -> None:
    np.testing.assert_array_equal(affinity(np.ones((6, 2)), 3, local=local).data, 1)


def test_the_scale_of_the_features_does_not_matter() -> None:
    x = np.random.default_rng(0).normal(size=(50, 4))
    np.testing.assert_allclose(affinity(x * 1000, 5).toarray(), affinity(x, 5).toarray(), rtol=1e-3)


def test_given_neighbours_are_taken_as_they_are() -> None:
    near = Neighbours(np.array([[1], [0]]), np.array([[2.0], [2.0]], dtype=np.float32))
    np.testing.assert_allclose(graph_of(near).toarray(), np.exp(-1) * np.array([[0, 1], [1, 0]]))


def test_a_scale_that_is_none() -> None:
    with pytest.raises(InputError, match=r"scale is 0; expected a positive number"):
        affinity(LINE, 1, scale=0)
