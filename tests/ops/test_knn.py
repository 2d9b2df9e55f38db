"""Neighbours: by hand, against every distance, at the edges, and how many an approximate search finds."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kinfold.errors import InputError
from kinfold.ops.knn import neighbours


def every_distance(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    d2 = ((x[:, None] - x[None]) ** 2).sum(axis=-1)
    np.fill_diagonal(d2, np.inf)
    return d2


def clustered(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Thirty clusters of fifteen dimensions in d, with noise in all."""
    rng = np.random.default_rng(seed)
    inner = rng.normal(size=(30, 15))[rng.integers(30, size=n)] + 0.5 * rng.normal(size=(n, 15))
    x = inner @ rng.normal(size=(15, d)) / 4 + 0.1 * rng.normal(size=(n, d))
    return x.astype(np.float32)


def test_by_hand() -> None:
    near = neighbours(np.array([[0.0], [1.0], [3.0], [7.0]]), 2)
    np.testing.assert_array_equal(near.index, [[1, 2], [0, 2], [1, 0], [2, 1]])
    np.testing.assert_array_equal(near.distance, [[1, 9], [1, 4], [4, 9], [16, 36]])
    assert near.recall == 1 and near.method == "exact"
    assert near.index.dtype == np.int64 and near.distance.dtype == np.float32


@settings(deadline=None, max_examples=40)
@given(
    arrays(np.float32, st.tuples(st.integers(2, 12), st.integers(1, 3)), elements=st.integers(-3, 3)),
    st.integers(1, 15),
)
def test_small_grids_with_many_ties(x: np.ndarray, k: int) -> None:
    near = neighbours(x, k)
    n = len(x)
    d2 = every_distance(x)
    assert near.index.shape == (n, min(k, n - 1))
    assert (near.index != np.arange(n)[:, None]).all()
    assert all(len(set(row)) == len(row) for row in near.index.tolist())
    np.testing.assert_array_equal(near.distance, np.take_along_axis(d2, near.index, axis=1))
    np.testing.assert_array_equal(near.distance, np.sort(d2, axis=1)[:, : near.index.shape[1]])


def test_equals_sorting_every_distance() -> None:
    x = clustered(400, 20)
    near = neighbours(x, 10)
    np.testing.assert_array_equal(near.index, np.argsort(every_distance(x), axis=1)[:, :10])
    np.testing.assert_allclose(near.distance, np.sort(every_distance(x), axis=1)[:, :10], rtol=1e-5)


def test_far_from_the_origin_as_near_it() -> None:
    # Norms of 1e5 leave nothing of distances of 1 in single precision, unless the centre is taken off first.
    x = clustered(300, 8)
    x = np.round(x * 64) / 64
    np.testing.assert_array_equal(neighbours(x + np.float32(4096), 5).index, neighbours(x, 5).index)


def test_duplicates_are_neighbours_at_distance_zero_but_never_oneself() -> None:
    x = np.repeat(clustered(10, 6), 5, axis=0)
    near = neighbours(x, 4)
    np.testing.assert_array_equal(near.distance, 0)
    np.testing.assert_array_equal(near.index // 5, np.repeat(np.arange(10), 5)[:, None].repeat(4, axis=1))
    assert (near.index != np.arange(50)[:, None]).all()


def test_more_duplicates_than_neighbours() -> None:
    near = neighbours(np.ones((40, 3)), 5)
    np.testing.assert_array_equal(near.distance, 0)
    assert (near.index != np.arange(40)[:, None]).all()


def test_two_samples_and_more_neighbours_than_samples() -> None:
    np.testing.assert_array_equal(neighbours(np.array([[0.0], [2.0]]), 20).index, [[1], [0]])
    assert neighbours(clustered(7, 3), 7).index.shape == (7, 6)


@pytest.mark.parametrize(
    "form",
    [
        lambda x: x.astype(np.float64),
        np.asfortranarray,
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: x[::-1][::-1],
        torch.from_numpy,
        lambda x: x.tolist(),
    ],
    ids=["float64", "fortran", "strided", "negative strides", "tensor", "lists"],
)
def test_any_form_of_the_same_numbers(form: object) -> None:
    x = clustered(100, 5)
    kept = x.copy()
    near, expected = neighbours(form(x), 3), neighbours(x, 3)
    np.testing.assert_array_equal(near.index, expected.index)
    np.testing.assert_array_equal(near.distance, expected.distance)
    np.testing.assert_array_equal(x, kept)


def test_integers_and_negative_zero() -> None:
    x = np.array([[0, 0], [255, 0], [0, 250]], dtype=np.uint8)
    np.testing.assert_array_equal(neighbours(x, 1).distance.ravel(), [62500, 65025, 62500])
    np.testing.assert_array_equal(neighbours(np.array([[-0.0], [0.0], [1.0]]), 1).distance.ravel(), [0, 0, 1])


# --- approximate ------------------------------------------------------------------------------------------------------


def measured(x: np.ndarray, index: np.ndarray) -> float:
    true = neighbours(x, index.shape[1], exact_up_to=len(x), reduce_above=x.shape[1]).index
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(index, true, strict=True)]))


@pytest.mark.parametrize(
    ("d", "options", "words"),
    [
        (20, {"exact_up_to": 1000}, r"\d+ of 256 inverted lists"),
        (300, {"reduce_above": 200}, r"128 principal components, \d+ candidates"),
        (300, {"reduce_above": 200, "exact_up_to": 1000}, r"128 principal components, \d+ candidates in \d+ of"),
    ],
    ids=["lists", "reduced", "both"],
)
def test_an_approximate_search_finds_what_it_says(d: int, options: dict[str, int], words: str) -> None:
    x = clustered(10_000, d)
    near = neighbours(x, 10, **options)
    found = measured(x, near.index)
    assert found >= 0.95
    assert abs(near.recall - found) < 0.03
    assert re.match(words, near.method)
    np.testing.assert_allclose(near.distance[:50], ((x[near.index[:50]] - x[:50, None]) ** 2).sum(axis=-1), rtol=1e-4)
    assert (np.diff(near.distance, axis=1) >= 0).all() and (near.index != np.arange(len(x))[:, None]).all()


def test_more_is_visited_where_more_is_wanted() -> None:
    x = np.random.default_rng(0).normal(size=(5000, 30)).astype(np.float32)  # nothing that lists could go by
    low = neighbours(x, 10, exact_up_to=1000, recall=0.2)
    high = neighbours(x, 10, exact_up_to=1000, recall=0.9)
    assert high.recall >= 0.85 and low.recall < high.recall


def test_lists_of_duplicates_still_give_k_neighbours() -> None:
    # Five places of 1,000 samples and one of three: its list holds fewer than k others.
    x = np.repeat(100 * np.eye(6, dtype=np.float32), [1000, 1000, 1000, 1000, 1000, 3], axis=0)
    near = neighbours(x, 10, exact_up_to=1000)
    assert np.isfinite(near.distance).all() and near.recall == 1
    assert (near.index >= 0).all() and (near.index != np.arange(len(x))[:, None]).all()
    np.testing.assert_array_equal(near.distance[-3:, :2], 0)
    np.testing.assert_array_equal(near.distance[-3:, 2:], 20_000)


def test_an_approximate_search_repeats() -> None:
    x = clustered(5000, 12)
    first, again = (neighbours(x, 5, exact_up_to=1000) for _ in range(2))
    np.testing.assert_array_equal(first.index, again.index)
    assert first.recall == again.recall


def test_faiss_gets_torch_s_threads_for_the_while(monkeypatch: pytest.MonkeyPatch) -> None:
    import faiss

    before, asked = faiss.omp_get_max_threads(), []
    search = faiss.knn
    monkeypatch.setattr(faiss, "knn", lambda *a: asked.append(faiss.omp_get_max_threads()) or search(*a))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    neighbours(clustered(50, 3), 3)
    assert asked == [3]
    assert faiss.omp_get_max_threads() == before


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "k", "message"),
    [
        (np.zeros((1, 3)), 1, r"features has shape \(1, 3\); expected \(n, d\) with at least 2 samples"),
        (np.zeros(3), 1, r"features has shape \(3,\)"),
        (np.zeros((3, 0)), 1, r"features has shape \(3, 0\)"),
        (np.array([[0.0], [np.nan]]), 1, "NaN or infinite values"),
        (np.array([[0.0], [-np.inf]]), 1, "NaN or infinite values"),
        (np.array([[0.0], [1e300]]), 1, "NaN or infinite values"),
        (np.array([[0.0], [-1e20]]), 1, r"features holds 1e\+20; expected at most 1e\+15"),
        (np.zeros((3, 1)), 0, "k is 0; expected at least 1 neighbour"),
    ],
)
def test_what_does_not_do_is_said(x: np.ndarray, k: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        neighbours(x, k)
