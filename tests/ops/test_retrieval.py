"""The three figures of the hashing papers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from kinfold.errors import InputError
from kinfold.ops.retrieval import draw_queries, hamming, retrieval


def test_three_figures_by_hand() -> None:
    # One query 000 of class 0; the gallery by distance: 0: right; 1: right, wrong; 2: nothing; 3: wrong.
    codes = np.array([[0, 0, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 1, 1]])
    y = np.array([0, 0, 0, 1, 1])
    found = retrieval(codes, y, np.array([0]), first=2, radius=1)
    # Precision 1 at distance 0 and 2/3 at distance 1; two right ones. The list of two takes half of distance 1.
    np.testing.assert_allclose(found["map"], (1 + 2 / 3) / 2)
    np.testing.assert_allclose(found["precision_first"], (1 + 0.5) / 2)
    np.testing.assert_allclose(found["precision_radius"], 2 / 3)
    # Nothing within the radius counts nought.
    alone = retrieval(codes[[4, 0, 1]], np.array([1, 1, 1]), np.array([0]), radius=2)
    assert alone["precision_radius"] == 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), d=st.integers(1, 6))
def test_average_precision_is_scikit_learns(seed: int, d: int) -> None:
    dice = np.random.default_rng(seed)
    codes, y = dice.integers(0, 2, (30, d)), dice.integers(0, 3, 30)
    y[:3] = y[3:6] = [0, 1, 2]
    queries = np.arange(3)
    distance = hamming(codes[:3], codes[3:])
    np.testing.assert_array_equal(distance, (codes[:3, None] != codes[3:]).sum(2))
    expected = [average_precision_score(y[3:] == y[q], 1 / (1 + distance[q])) for q in queries]
    found = retrieval(codes, y, queries, first=7)
    np.testing.assert_allclose(found["map"], np.mean(expected))
    shuffle = np.r_[queries, 3 + dice.permutation(27)]
    assert retrieval(codes[shuffle], y[shuffle], queries, first=7) == pytest.approx(found)
    flipped = np.where(np.arange(d) == 0, 1 - codes, codes)  # the names of a bit's two states do not matter
    assert retrieval(flipped, y, queries, first=7) == pytest.approx(found)


def test_queries_are_drawn_by_class() -> None:
    y = np.array([0] * 50 + [1] * 7)
    queries = draw_queries(y, 10, seed=3)
    assert len(np.unique(queries)) == 17
    np.testing.assert_array_equal(np.bincount(y[queries]), [10, 7])


@pytest.mark.parametrize(("codes", "queries", "says"), [
    (np.array([[0, 2], [1, 0]]), [0], "values beyond 0 and 1"),
    (np.array([[0, 1], [1, 0]]), [0, 1], "2 of 2 images are queries"),
])  # fmt: skip
def test_what_cannot_be_ranked(codes: np.ndarray, queries: list[int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        retrieval(codes, np.array([0, 1]), np.array(queries))
