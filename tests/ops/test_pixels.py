"""Raw pixels as rows: unit length, small images exact, large ones averaged with their neighbours kept."""

from __future__ import annotations

import numpy as np
import pytest

from kinfold.ops.knn import neighbours
from kinfold.ops.pixels import first_clusters, first_graph, kept, mutuality, pixel_features


def test_small_images_are_only_scaled() -> None:
    x = np.random.default_rng(0).integers(0, 255, (5, 1, 4, 4)).astype(np.uint8)
    rows = x.reshape(5, -1).astype(np.float32)
    np.testing.assert_allclose(
        pixel_features(x, centred=False), rows / np.linalg.norm(rows, axis=1, keepdims=True), rtol=1e-6
    )
    centred = rows - rows.mean(0)
    np.testing.assert_allclose(
        pixel_features(x, centred=True), centred / np.linalg.norm(centred, axis=1, keepdims=True), rtol=1e-5, atol=1e-6
    )


def test_large_images_keep_their_neighbours() -> None:
    """Recall of the ten nearest at 64 x 64 after averaging, on smooth images as photographs are."""
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(300, 1, 8, 8))
    x = np.kron(coarse, np.ones((1, 1, 8, 8))) + rng.normal(size=(300, 1, 64, 64)) * 0.05
    rows = x.reshape(300, -1)
    exact = neighbours(rows / np.linalg.norm(rows, axis=1, keepdims=True), 10).index
    reduced = pixel_features(x, centred=False)
    assert reduced.shape == (300, 1024)
    found = neighbours(reduced, 10).index
    recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(exact, found, strict=True)])
    assert recall > 0.95


@pytest.mark.parametrize("centred", [False, True])
def test_what_averaging_keeps_is_measured(centred: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same share as by exact search at both sizes; fewer than all are lost where images differ in fine grain."""
    rng = np.random.default_rng(0)
    x = (np.kron(rng.normal(size=(90, 1, 8, 8)), np.ones((1, 1, 8, 8))) + rng.normal(size=(90, 1, 64, 64)) * 3) + 9
    x = x.astype(np.float32)
    rows = x.reshape(90, -1) - (x.reshape(90, -1).mean(0) if centred else 0)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    full = neighbours(unit, 6).index
    monkeypatch.setattr("kinfold.ops.pixels.FULL_CHUNK", 32)
    _, near = first_graph(x, 6, centred, measured=True)
    share = np.mean([len(np.intersect1d(a, b)) / 6 for a, b in zip(full, near.index, strict=True)])
    assert near.recall == pytest.approx(share, abs=1e-9)
    assert 0.2 < near.recall < 0.9
    assert near.method == "averaged down to a side of 32 pixels, exact"
    assert kept(x, unit.astype(np.float32), 6, centred=centred) == 1


def test_small_images_lose_no_neighbour() -> None:
    x = np.random.default_rng(0).integers(0, 255, (40, 3, 32, 20)).astype(np.uint8)
    assert first_graph(x, 5, "auto", measured=True)[1].recall == 1


def test_large_images_are_averaged_down() -> None:
    x = np.zeros((3, 1, 64, 64), dtype=np.uint8)
    x[:, :, :2, :2] = np.arange(1, 4, dtype=np.uint8)[:, None, None, None]
    features = pixel_features(x, centred=False)
    assert features.shape == (3, 32 * 32)
    np.testing.assert_allclose(features[:, 0], 1, rtol=1e-6)


def test_black_images_are_not_a_division_by_zero() -> None:
    assert np.isfinite(pixel_features(np.zeros((3, 1, 4, 4), np.uint8), centred=True)).all()


def test_mutual_neighbours_by_hand() -> None:
    """0 and 1 choose each other, 3 chooses 1 in vain: two of three."""
    near = neighbours(np.array([[0.0], [1.0], [3.0]], dtype=np.float32), 1)
    assert mutuality(near) == pytest.approx(2 / 3)


def test_centring_is_chosen_by_mutual_neighbours() -> None:
    x = np.random.default_rng(0).integers(0, 255, (60, 1, 6, 6)).astype(np.uint8)
    choices = [first_graph(x, 5, center) for center in (False, True, "auto")]
    best = max(choices[:2], key=lambda each: mutuality(each[1]))
    np.testing.assert_array_equal(choices[2][0], best[0])
    assert mutuality(choices[0][1]) != mutuality(choices[1][1])


def test_vectors_are_taken_as_they_are() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32) * 7
    np.testing.assert_array_equal(first_graph(x, 3, "auto")[0], x)


def test_neighbours_stay_in_order() -> None:
    """From near to far, also after their mutuality was measured."""
    near = neighbours(np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32), 6)
    before = near.index.copy()
    mutuality(near)
    np.testing.assert_array_equal(near.index, before)


def test_first_clusters_are_the_groups_of_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(120) % 4
    x = (
        (rng.normal(size=(4, 1, 6, 6))[y] * 40 + 128 + rng.normal(size=(120, 1, 6, 6)) * 4)
        .clip(0, 255)
        .astype(np.uint8)
    )
    for sample in (5000, 60):  # the centring decided on all images, and on half of them
        monkeypatch.setattr("kinfold.ops.pixels.SAMPLE", sample)
        labels = first_clusters(x, 4)
        assert len(np.unique(np.stack([y, labels]), axis=1).T) == len(np.unique(labels)) == 4
    assert first_clusters(x.reshape(120, -1).astype(np.float32), 4).max() == 3
