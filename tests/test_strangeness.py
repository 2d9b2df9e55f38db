"""Outlier scores are ranks of scaled distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfold import strangeness
from kinfold.strangeness import Strangeness


def blobs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.repeat([0, 1], 50)
    wide = np.where(labels[:, None] == 1, 10.0, 1.0)
    return (generator.normal(size=(100, 3)) * wide + labels[:, None] * 100).astype(np.float32), labels


def test_by_hand() -> None:
    features = np.array([[0.0], [1.0], [3.0]], dtype=np.float32)
    strange = Strangeness(features, np.zeros(3, dtype=np.int64), n_neighbors=1)
    # Nearest others at 1, 1, 2: ranks 0, 0 and 2 of 3.
    np.testing.assert_allclose(strange.fitted, [0, 0, 2 / 3])
    np.testing.assert_allclose(strange.score(np.array([[0.5], [4.5], [99.0]]), np.zeros(3, int)), [0, 2 / 3, 1])


def test_wide_and_narrow_clusters_are_judged_alike() -> None:
    features, labels = blobs()
    fitted = Strangeness(features, labels).fitted
    assert abs(fitted[labels == 0].mean() - fitted[labels == 1].mean()) < 0.1


def test_far_from_everything_is_one() -> None:
    features, labels = blobs()
    far = np.full((1, 3), 1e4, dtype=np.float32)
    assert Strangeness(features, labels).score(far, np.array([1])).tolist() == [1.0]


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100), st.integers(0, 5))
def test_scale_shift_and_order_change_nothing(scale: float, seed: int) -> None:
    features, labels = blobs(seed)
    plain = Strangeness(features, labels).fitted
    order = np.random.default_rng(seed).permutation(len(labels))
    moved = Strangeness((features * np.float32(scale))[order], labels[order]).fitted
    np.testing.assert_allclose(moved, plain[order], atol=0.03)


def test_a_sample_of_a_large_cluster_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = blobs()
    plain = Strangeness(features, labels)
    monkeypatch.setattr(strangeness, "REFERENCES", 25)
    monkeypatch.setattr(strangeness, "CHUNK", 7)
    sampled = Strangeness(features, labels)
    assert np.corrcoef(plain.fitted, sampled.fitted)[0, 1] > 0.7
    assert plain.score(features, labels).shape == (100,)


def test_lonely_images_and_identical_images() -> None:
    features = np.array([[0.0], [0.0], [0.0], [5.0]], dtype=np.float32)
    strange = Strangeness(features, np.array([0, 0, 0, 1]))
    assert strange.fitted.tolist() == [0, 0, 0, 1]
    new = strange.score(np.array([[0.0], [1.0], [5.0], [5.0]]), np.array([0, 0, 1, 7]))
    assert new[0] == 0
    assert new[1] > 0
    assert new[3] > 0  # nobody was fitted in cluster 7


def test_single_images_do_not_make_others_less_strange() -> None:
    x = np.concatenate([np.linspace(0, 1, 10), 100.0 + 50 * np.arange(10)])[:, None].astype(np.float32)
    labels = np.concatenate([np.zeros(10, dtype=np.int64), 1 + np.arange(10)])
    strange = Strangeness(x, labels)
    assert strange.fitted[10:].tolist() == [1.0] * 10
    far, near = strange.score(np.array([[1e6], [0.5]], dtype=np.float32), np.zeros(2, dtype=np.int64))
    assert far == 1.0
    assert near < 0.5
