from __future__ import annotations

import numpy as np
import pytest

from kinfold.report import layout
from kinfold.report.layout import planar


def blobs(n: int, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = np.arange(n) % 3
    return (rng.normal(0, 0.3, (n, d)) + 5 * np.eye(3, d)[labels]).astype(np.float32), labels


def test_groups_stay_together_and_a_seed_repeats() -> None:
    x, labels = blobs(150)
    first, again = planar(x), planar(x)
    np.testing.assert_array_equal(first.places, again.places)
    centres = np.stack([first.places[labels == c].mean(axis=0) for c in range(3)])
    nearest = np.linalg.norm(first.places[:, None] - centres, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, labels)
    assert "t-SNE" in first.how


def test_images_outside_the_sample_join_their_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "MAX_SAMPLES", 60)
    x, labels = blobs(300)
    found = planar(x)
    centres = np.stack([found.places[labels == c].mean(axis=0) for c in range(3)])
    nearest = np.linalg.norm(found.places[:, None] - centres, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, labels)
    assert "of 60 images drawn at random; the other 240" in found.how


def test_two_dimensions_are_drawn_as_they_are() -> None:
    x = np.array([[0, 0], [4, 0], [4, 2]], dtype=np.float32)
    found = planar(x)
    np.testing.assert_allclose(found.places, [[0, 0.25], [1, 0.25], [1, 0.75]])
    assert "as it is" in found.how


@pytest.mark.parametrize(
    "x",
    [
        np.zeros((1, 5)),
        np.zeros((40, 5)),
        np.ones((12, 1)),
        np.full((20, 3), np.nan),
        np.vstack([np.zeros((30, 60)), np.ones((1, 60))]),
    ],
    ids=["one", "constant", "one column", "not a number", "one odd image"],
)
def test_degenerate_embeddings_get_places(x: np.ndarray) -> None:
    places = planar(x).places
    assert places.shape == (len(x), 2)
    assert np.isfinite(places).all() and places.min() >= 0 and places.max() <= 1


def test_the_embedding_is_left_as_it_was() -> None:
    x, _ = blobs(30)
    before = x.copy()
    planar(x)
    np.testing.assert_array_equal(x, before)
