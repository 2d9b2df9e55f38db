from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.references.threads import together

from kinfold.errors import InputError
from kinfold.metrics import ari
from kinfold.ops.hierarchical_kmeans import (
    Hierarchy,
    Level,
    balanced_sample,
    even_shares,
    hierarchical_kmeans,
    nearest_members,
    split_kmeans,
    water_fill,
)
from kinfold.ops.kmeans import Codebook, kmeans
from kinfold.ops.source import Parts


def nested(n: int = 900) -> tuple[Any, Any]:
    """Three far groups of three near ones, of very unequal sizes."""
    rng = np.random.default_rng(0)
    y = rng.choice(9, n, p=np.array([40, 5, 5, 20, 5, 5, 10, 5, 5]) / 100)
    centres = np.repeat([[0, 0], [30, 0], [0, 30]], 3, axis=0) + np.tile([[0, 0], [4, 0], [0, 4]], (3, 1))
    return (centres[y] + 0.3 * rng.normal(size=(n, 2))).astype(np.float32), y


def test_levels_by_hand() -> None:
    book = Codebook(np.zeros((1, 1), dtype=np.float32))
    tree = Hierarchy([Level(book, np.array([2, 0, 1, 1])), Level(book, np.array([1, 1, 0]))])
    np.testing.assert_array_equal(tree.labels(0), [2, 0, 1, 1])
    np.testing.assert_array_equal(tree.labels(), [0, 1, 1, 1])


def test_a_nested_set_is_found() -> None:
    x, y = nested()
    tree = hierarchical_kmeans(x, [40, 9, 3], n_nearest=3)
    assert ari(y // 3, tree.labels()) > 0.95
    assert ari(y, tree.labels(1)) > 0.8
    assert [len(level.book.centres) for level in tree.levels] == [40, 9, 3]


def test_water_is_filled_by_hand() -> None:
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(water_fill(np.array([10, 3, 1]), 7, rng), [3, 3, 1])
    np.testing.assert_array_equal(water_fill(np.array([10, 3, 1]), 10, rng), [6, 3, 1])
    np.testing.assert_array_equal(water_fill(np.array([0, 0]), 0, rng), [0, 0])


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(0, 20), min_size=1, max_size=8), part=st.floats(0, 1))
def test_water_is_level(sizes: list[int], part: float) -> None:
    total = int(part * sum(sizes))
    share = water_fill(np.array(sizes), total, np.random.default_rng(0))
    assert share.sum() == total
    assert (share <= sizes).all()
    open_ones = share[share < sizes]  # what is not full is level, to one
    if len(open_ones):
        assert share.max() - open_ones.min() <= 1


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(0, 30), min_size=1, max_size=8), part=st.floats(0, 1))
def test_shares_follow_the_sizes(sizes: list[int], part: float) -> None:
    held = np.array(sizes)
    least, most = int((held > 0).sum()), int(held.sum())
    total = least + int(part * (most - least))
    share = even_shares(held, total)
    assert share.sum() == total
    assert ((share >= (held > 0)) & (share <= held)).all()


def test_a_balanced_sample_is_even_over_the_branches() -> None:
    x, y = nested(2000)
    tree = hierarchical_kmeans(x, [9, 3], n_resamplings=0, n_iterations=30, seed=2)
    drawn = balanced_sample(tree, 90)
    assert len(set(drawn.tolist())) == 90
    np.testing.assert_array_equal(np.bincount(tree.labels()[drawn]), [30, 30, 30])
    plain = np.bincount(y[np.random.default_rng(0).choice(2000, 90)] // 3)
    assert plain.max() > 45
    np.testing.assert_array_equal(np.sort(balanced_sample(tree, 2000)), np.arange(2000))


def test_nearest_members_by_hand() -> None:
    x = np.array([[0.0], [3.0], [1.0], [9.0]], dtype=np.float32)
    centres = np.array([[1.0], [9.0]], dtype=np.float32)
    np.testing.assert_array_equal(nearest_members(x, np.array([0, 0, 0, 1]), centres, 2), [0, 2, 3])


def test_resampling_spreads_the_centres() -> None:
    """A dense half and a thin half of a line: without resampling most centres are in the dense one."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0, 1, 7600), rng.uniform(1, 2, 400)])[:, None].astype(np.float32)
    plain, spread = (hierarchical_kmeans(x, [800, 20], n_resamplings=r, n_nearest=10) for r in (0, 10))
    thin = [int((tree.levels[-1].book.centres > 1).sum()) for tree in (plain, spread)]
    assert thin[0] + 2 < thin[1] <= 11


def test_split_clusters_are_nearly_as_tight() -> None:
    x = np.random.default_rng(0).normal(size=(2000, 4)).astype(np.float32)
    split, whole = split_kmeans(x, 64), kmeans(x, 64)
    inertia = split.book.e_step(x).inertia
    assert inertia < 1.15 * whole.inertia
    np.testing.assert_array_equal(split.book.assign(x), split.labels)
    assert len(np.unique(split.labels)) == 64


def test_processes_agree() -> None:
    x, _ = nested()
    one = split_kmeans(x, 25)
    for two in together(lambda run: split_kmeans(Parts([x], block=50), 25, run=run)):
        np.testing.assert_array_equal(two.labels, one.labels)


@pytest.mark.parametrize(("work", "says"), [
    (lambda x: hierarchical_kmeans(x, [3, 3]), "falling numbers"),
    (lambda x: hierarchical_kmeans(x, []), "falling numbers"),
    (lambda x: hierarchical_kmeans(x, [9999]), "ask for fewer"),
    (lambda x: split_kmeans(x, 9999), "ask for fewer"),
    (lambda x: balanced_sample(hierarchical_kmeans(x, [3]), 9999), "n_items is 9999"),
])  # fmt: skip
def test_bad_input(work: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        work(nested(30)[0])
