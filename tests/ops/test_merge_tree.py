"""The merge log and its cuts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage

from kinfold.errors import InputError
from kinfold.ops.merge_tree import MergeTree, by_size, continued, last_clusters, within


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


@pytest.mark.parametrize("k", ["3", 2.0, None])
def test_a_level_is_a_whole_number(k: Any) -> None:
    with pytest.raises(InputError, match=f"n_clusters is {k!r}; expected a whole number"):
        MergeTree(np.array([0, 1, 2]), np.array([[0, 1]]), np.array([0.5])).cut(k)


def test_numbers_go_by_size_then_by_first_appearance() -> None:
    np.testing.assert_array_equal(by_size(np.array([9, 4, 4, 9, 2, 7, 7, 7])), [1, 2, 2, 1, 3, 0, 0, 0])
    np.testing.assert_array_equal(by_size(np.array([], dtype=int)), [])


def full_tree(n: int, seed: int) -> MergeTree:
    """Of n samples in some initial clusters, down to one."""
    rng = np.random.default_rng(seed)
    start = np.unique(np.append(rng.integers(max(2, n // 2), size=n - 2), [0, 1]), return_inverse=True)[1]
    z = linkage(rng.normal(size=(start.max() + 1, 2)), "average")
    return MergeTree(start, z[:, :2].astype(np.int64), 1 / z[:, 2])


@settings(deadline=None, max_examples=30)
@given(st.integers(4, 40), st.integers(0, 10_000), st.integers(1, 6))
def test_the_inside_of_groups_is_the_tree_s(n: int, seed: int, n_groups: int) -> None:
    """Every partition on the way of the tree, parted by group, is one on the way of the new tree."""
    tree = full_tree(n, seed)
    groups = np.unique(np.random.default_rng(seed + 1).integers(n_groups, size=n), return_inverse=True)[1]
    inside = within(tree, groups)
    assert inside.n_end == groups.max() + 1
    for k in range(1, tree.n_start + 1):
        parted = np.unique(tree.cut(k) * n + groups, return_inverse=True)[1]
        np.testing.assert_array_equal(inside.cut(parted.max() + 1), by_size(parted))
    assert (np.isin(inside.affinity, tree.affinity)).all()
    assert (np.diff(inside.affinity) <= 0).all()


def test_the_whole_as_one_group_is_the_tree_itself() -> None:
    tree = full_tree(20, 0)
    same = within(tree, np.zeros(20, dtype=np.int64))
    np.testing.assert_array_equal(same.start, tree.start)
    np.testing.assert_array_equal(same.merges, tree.merges)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_a_tree_in_two_parts_is_the_tree(k: int) -> None:
    tree = full_tree(20, 3)
    at = tree.n_start - k
    below = MergeTree(tree.start, tree.merges[:at], tree.affinity[:at])
    labels = last_clusters(below)
    np.testing.assert_array_equal(by_size(labels), tree.cut(k))
    place = np.unique(tree.nodes(k)).tolist()
    number = {node: i for i, node in enumerate(place)} | {tree.n_start + at + t: k + t for t in range(k)}
    rest = np.array([[number[a], number[b]] for a, b in tree.merges[at:].tolist()], dtype=np.int64).reshape(-1, 2)
    whole = continued(below, MergeTree(labels, rest, tree.affinity[at:]))
    np.testing.assert_array_equal(whole.merges, tree.merges)
    np.testing.assert_array_equal(whole.affinity, tree.affinity)
