"""Merges by centres, where the graph has no edge left."""

from __future__ import annotations

import numpy as np
import pytest

from kinfold.ops import centres
from kinfold.ops.merge_tree import MergeTree


def bare(start: np.ndarray) -> MergeTree:
    return MergeTree(start, np.empty((0, 2), dtype=np.int64), np.empty(0))


def test_the_smallest_goes_first_and_centres_move() -> None:
    # 9 joins {5, 5}: centre 19/3; then {0, 0} (first of the two smallest) is nearest to 1's pair.
    x = np.array([0.0, 0, 1, 1, 5, 5, 9])[:, None]
    tree = centres.join_unconnected(bare(np.array([0, 0, 1, 1, 2, 2, 3])), 1, x)
    np.testing.assert_array_equal(tree.merges, [[2, 3], [0, 1], [4, 5]])
    np.testing.assert_array_equal(tree.affinity, 0)


def test_without_features_the_two_smallest() -> None:
    tree = centres.join_unconnected(bare(np.repeat([0, 1, 2, 3], [4, 1, 2, 2])), 1, None)
    np.testing.assert_array_equal(tree.merges, [[1, 2], [3, 4], [0, 5]])


@pytest.mark.parametrize("n_clusters", [1, 7, 300])
def test_many_groups_go_in_rounds(n_clusters: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 3))
    tree = centres.join_unconnected(bare(np.arange(3000)), n_clusters, x)
    assert tree.n_end == n_clusters
    assert len(np.unique(tree.merges)) == tree.merges.size == 2 * (3000 - n_clusters)
    assert (tree.merges < 3000 + np.arange(len(tree.merges))[:, None]).all()
    assert len(np.unique(tree.cut(n_clusters))) == n_clusters


def test_a_round_joins_every_single_sample_to_its_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(centres, "STEPWISE_UP_TO", 2)
    x = np.array([[0.0], [0.0], [0.0], [1.0], [10.0], [10.0], [10.0], [11.5], [12.0]])
    tree = centres.join_unconnected(bare(np.array([0, 0, 0, 1, 2, 2, 2, 3, 4])), 3, x)
    # 1 -> {0, 0, 0}; 11.5 -> 12, which is joined in this round and stays.
    np.testing.assert_array_equal(tree.merges, [[0, 1], [3, 4]])


def test_rounds_and_steps_find_the_same_plain_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    truth = np.arange(800) % 4
    x = rng.normal(size=(800, 5)) + 100 * np.eye(5)[truth]
    steps = centres.join_unconnected(bare(np.arange(800)), 4, x).cut(4)
    monkeypatch.setattr(centres, "STEPWISE_UP_TO", 10)
    rounds = centres.join_unconnected(bare(np.arange(800)), 4, x).cut(4)
    np.testing.assert_array_equal(steps, truth)
    np.testing.assert_array_equal(rounds, truth)


def test_small_ones_go_to_the_nearest_large_one_smallest_first() -> None:
    x = np.array([0.0, 0, 0, 10, 10, 10, 4, 4, 6.5, 5.2])[:, None]
    tree = centres.join_small(bare(np.array([0, 0, 0, 1, 1, 1, 2, 2, 3, 4])), 5, 3, x)
    np.testing.assert_array_equal(tree.merges, [[1, 3], [4, 5], [0, 2]])
    np.testing.assert_array_equal(tree.cut(2), [0, 0, 0, 1, 1, 1, 0, 0, 1, 1])


def test_the_nearest_centre_goes_block_by_block() -> None:
    rng = np.random.default_rng(0)
    query, centre = rng.normal(size=(50, 4)), rng.normal(size=(7, 4))
    expected = ((query[:, None] - centre[None]) ** 2).sum(axis=-1).argmin(axis=1)
    np.testing.assert_array_equal(centres.nearest_centre(query, centre, block=8), expected)
    assert centres.nearest_centre(np.empty((0, 4)), centre).shape == (0,)


def test_nobody_is_missed_where_the_others_went() -> None:
    draw = np.random.default_rng(0)
    for _ in range(3000):
        n, k = int(draw.integers(8, 30)), int(draw.integers(3, 9))
        labels = np.concatenate([np.arange(k), draw.integers(0, k, n)])
        x = draw.normal(size=(n + k, 2))
        moved = centres.at_centres(x / np.linalg.norm(x, axis=1, keepdims=True), labels)
        assert len(np.unique(moved)) == k


def test_samples_go_to_the_nearest_centre_and_no_cluster_is_emptied() -> None:
    x = np.random.default_rng(0).normal(size=(60, 3))
    labels = np.arange(60) % 5
    centre = np.stack([x[labels == c].mean(0) for c in range(5)])
    expected = ((x[:, None] - centre) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal(centres.at_centres(x, labels), expected)
    # The middle cluster's centre is nobody's nearest: its own two samples are nearer to the others'.
    x = np.array([0.0, 1.0, 10.0, 11.0, 0.9, 10.1])[:, None]
    np.testing.assert_array_equal(centres.at_centres(x, np.array([0, 0, 1, 1, 2, 2])), [0, 0, 1, 1, 2, 2])
