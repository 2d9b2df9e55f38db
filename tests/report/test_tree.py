from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kinfold.ops.agglomerate import MergeTree, by_size
from kinfold.report.tree import agreement, matched_colours, page_tree


def random_tree(n_start: int, seed: int) -> MergeTree:
    rng = np.random.default_rng(seed)
    alive, merges = list(range(n_start)), []
    while len(alive) > 1:
        a, b = (alive.pop(int(rng.integers(len(alive)))) for _ in range(2))
        alive.append(n_start + len(merges))
        merges.append((a, b))
    start = np.concatenate([np.arange(n_start), rng.integers(0, n_start, 3 * n_start)]).astype(np.int64)
    return MergeTree(start, np.array(merges, dtype=np.int64).reshape(-1, 2), rng.random(len(merges)))


def test_no_tree_or_one_that_does_not_hold_the_number_gives_none() -> None:
    assert page_tree(None, 3) is None
    assert page_tree({"start": [0, 1], "merges": [[0, 1]], "affinity": [1.0]}, 3) is None
    assert page_tree({"start": [0, 1], "merges": np.zeros((0, 2)), "affinity": []}, 2) is None


def test_the_page_gets_at_most_three_hundred_clusters_and_the_right_merges() -> None:
    found = page_tree(random_tree(1000, 0), 120)
    assert found is not None
    assert (found.n_leaves, found.n_end, len(found.merges)) == (300, 1, 299)


@given(st.integers(2, 60), st.integers(0, 5), st.data())
def test_every_cut_is_that_of_the_whole_tree(n_start: int, seed: int, data: st.DataObject) -> None:
    tree = random_tree(n_start, seed)
    small = page_tree(tree, min(4, n_start))
    assert small is not None
    k = data.draw(st.integers(1, small.n_leaves))
    np.testing.assert_array_equal(by_size(small.nodes(k)), tree.cut(k))


@given(st.integers(2, 60), st.integers(0, 5), st.data())
def test_a_cut_uses_the_first_colours_and_a_split_changes_one(n_start: int, seed: int, data: st.DataObject) -> None:
    small = page_tree(random_tree(n_start, seed), min(8, n_start))
    assert small is not None
    k = data.draw(st.integers(1, small.n_leaves - 1))
    before, after = small.colour[small.nodes(k)], small.colour[small.nodes(k + 1)]
    assert set(before) == set(range(k)) and set(after) == set(range(k + 1))
    np.testing.assert_array_equal(after[after != before], k)


def test_final_labels_take_the_colours_of_the_clusters_they_came_from(make: Callable[..., Any]) -> None:
    clustering, _ = make(200)
    tree = page_tree(clustering.tree, 4)
    assert tree is not None
    labels = (clustering.labels + 1) % 4
    labels[:10] = (labels[:10] + 1) % 4
    colour = matched_colours(labels, tree)
    assert sorted(colour) == [0, 1, 2, 3]
    assert (colour[labels] == tree.colour[tree.nodes(4)]).mean() == agreement(labels, tree) == 0.95
