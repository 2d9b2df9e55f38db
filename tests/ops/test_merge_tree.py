"""The merge log and its cuts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage

from kinfold.errors import InputError
from kinfold.ops.merge_tree import MergeTree, by_size


def test_cuts_by_hand() -> None:
    tree = MergeTree(np.array([0, 1, 1, 2, 3, 3]), np.array([[0, 2], [1, 4], [3, 5]]), np.array([3.0, 2.0, 1.0]))
    assert (tree.n_start, tree.n_end) == (4, 1)
    np.testing.assert_array_equal(tree.cut(4), [2, 0, 0, 3, 1, 1])
    np.testing.assert_array_equal(tree.cut(3), [0, 1, 1, 0, 2, 2])
    np.testing.assert_array_equal(tree.cut(2), [0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(tree.cut(1), [0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(tree.nodes(2), [5, 5, 5, 3])


def test_cuts_are_those_of_scipy() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    z = linkage(x, "average")
    tree = MergeTree(np.arange(60), z[:, :2].astype(np.int64), z[:, 2])
    for k in (1, 2, 7, 30, 60):
        np.testing.assert_array_equal(tree.cut(k), by_size(fcluster(z, k, "maxclust")))


def test_a_tree_without_merges() -> None:
    tree = MergeTree(np.array([0, 1, 1]), np.empty((0, 2), dtype=np.int64), np.empty(0))
    np.testing.assert_array_equal(tree.cut(2), [1, 0, 0])


@pytest.mark.parametrize("k", [0, 1, 4])
def test_a_level_that_is_not_there(k: int) -> None:
    tree = MergeTree(np.array([0, 1, 2]), np.array([[0, 1]]), np.array([0.5]))
    with pytest.raises(InputError, match=f"n_clusters is {k}; this tree can be cut between 2 and 3 clusters"):
        tree.cut(k)


def test_numbers_go_by_size_then_by_first_appearance() -> None:
    np.testing.assert_array_equal(by_size(np.array([9, 4, 4, 9, 2, 7, 7, 7])), [1, 2, 2, 1, 3, 0, 0, 0])
    np.testing.assert_array_equal(by_size(np.array([], dtype=int)), [])
