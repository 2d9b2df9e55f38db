"""Fewer dimensions: what is kept of distances, and that nothing else matters than the seed."""

from __future__ import annotations

import numpy as np
import pytest

from kinfold.errors import InputError
from kinfold.ops import reduce as module
from kinfold.ops.reduce import reduce


def flat(n: int, d: int, rank: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d)) + 7).astype(np.float32)


def distances(x: np.ndarray) -> np.ndarray:
    return np.sqrt(((x[:60, None].astype(np.float64) - x[None, :60]) ** 2).sum(axis=-1))


def test_components_keep_all_distances_of_a_flat_set() -> None:
    x = flat(200, 500, 5)
    np.testing.assert_allclose(distances(reduce(x, 5)), distances(x), rtol=1e-3, atol=1e-2)


def test_components_are_those_of_the_whole_set() -> None:
    x = flat(100, 40, 40)
    centred = x - x.mean(axis=0)
    values = np.linalg.svd(centred, compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(reduce(x, 40), axis=0), values, rtol=1e-2, atol=1e-2)


def test_a_projection_keeps_distances_on_average() -> None:
    x = np.random.default_rng(0).normal(size=(60, 4000)).astype(np.float32)
    off = ~np.eye(60, dtype=bool)
    ratio = (distances(reduce(x, 256, method="projection"))[off] / distances(x)[off]) ** 2
    assert abs(ratio.mean() - 1) < 0.05
    assert np.abs(ratio - 1).max() < 0.5


@pytest.mark.parametrize("method", ["pca", "projection"])
def test_only_the_seed_matters(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = flat(300, 50, 20)
    kept = x.copy()
    np.random.seed(1)
    first = reduce(x, 8, method=method, seed=3)
    np.random.seed(2)
    np.testing.assert_array_equal(reduce(x, 8, method=method, seed=3), first)
    assert not np.allclose(reduce(x, 8, method="projection", seed=4), first)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_allclose(reduce(x.astype(np.float64)[:, ::1], 8, method=method, seed=3), first, atol=1e-3)


def test_a_sample_of_the_rows_does_and_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    x = flat(2000, 30, 4)
    whole = distances(reduce(x, 4))
    monkeypatch.setattr(module, "SAMPLE_VALUES", 3000)
    np.testing.assert_allclose(distances(reduce(x, 4)), whole, rtol=1e-3, atol=1e-2)


def test_no_more_components_than_there_are() -> None:
    assert reduce(flat(10, 50, 10), 128).shape == (10, 10)
    assert reduce(flat(50, 6, 6), 128).shape == (50, 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": np.zeros(4)}, r"features has shape \(4,\)"),
        ({"features": np.zeros((0, 4))}, r"features has shape \(0, 4\)"),
        ({"n_components": 0}, "n_components is 0"),
        ({"method": "tsne"}, "method is 'tsne'; expected 'pca' or 'projection'"),
    ],
)
def test_what_does_not_do_is_said(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        reduce(**{"features": np.zeros((4, 4)), **change})


def test_constant_samples_stay_constant() -> None:
    np.testing.assert_allclose(reduce(np.ones((9, 20)), 3), 0, atol=1e-6)


def test_wide_rows_keep_their_distances_on_fewer_directions() -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(400, 10)) @ rng.normal(size=(10, 3 * 32 * 32))).astype(np.float32)
    rows = x / np.linalg.norm(x, axis=1, keepdims=True)
    features = reduce(rows, 256)
    assert features.shape == (400, 256)
    np.testing.assert_allclose(distances(features), distances(rows), atol=1e-3)
