from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans

from kinfold import metrics
from kinfold.benchmark import baselines, datasets
from kinfold.data import as_images

REAL = os.environ.get("KINFOLD_DATA")


# Three groups far apart make a graph in three pieces, which scikit-learn remarks on.
@pytest.mark.filterwarnings("ignore:Graph is not fully connected:UserWarning")
@pytest.mark.parametrize("name", sorted(baselines.METHODS))
def test_every_method_finds_plain_groups_and_repeats(name: str) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 40)
    images = np.zeros((120, 6, 6), dtype=np.uint8)
    for c in range(3):  # one bright band a class
        images[y == c, 2 * c : 2 * c + 2] = 200
    images += rng.integers(0, 40, size=images.shape, dtype=np.uint8)
    x = baselines.pixels(as_images(images))
    before = x.copy()
    labels = baselines.METHODS[name](x, 3, 0)
    np.testing.assert_array_equal(x, before)
    assert labels.dtype == np.int64
    np.testing.assert_allclose(metrics.accuracy(y, labels), 1.0)
    np.testing.assert_array_equal(baselines.METHODS[name](x, 3, 0), labels)


def test_k_means_sees_principal_components_of_many_long_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups that only a direction of large spread tells apart stay; what has next to no spread is not seen."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 40)
    x = rng.normal(size=(120, 50)).astype(np.float32) * 0.1
    x[:, 7] += 5 * y
    all_of_it = baselines.kmeans(x, 3, 0)
    monkeypatch.setattr(baselines, "LONG", 40)
    monkeypatch.setattr(baselines, "MOST_VALUES", 5999)
    monkeypatch.setattr(baselines, "N_COMPONENTS", 1)
    seen: list[tuple[int, ...]] = []
    found = KMeans.fit_predict

    def noted(model: KMeans, x: np.ndarray) -> np.ndarray:
        seen.append(x.shape)
        return np.asarray(found(model, x))

    monkeypatch.setattr(KMeans, "fit_predict", noted)
    np.testing.assert_allclose(metrics.accuracy(all_of_it, baselines.kmeans(x, 3, 0)), 1.0)
    assert baselines.kmeans(x[:119], 3, 0).shape == (119,)
    assert seen == [(120, 1), (119, 50)]


@pytest.mark.skipif(REAL is None, reason="needs the real sets: set KINFOLD_DATA to their folder")
@pytest.mark.parametrize(
    ("name", "method", "nmi", "acc"),
    [("cmu-pie", "gdl", 0.934, 0.842), ("mnist-test", "gdl_centred", 0.864, 0.933)],
)
def test_graph_degree_linkage_gives_the_published_figures(name: str, method: str, nmi: float, acc: float) -> None:
    images = datasets.load(name, Path(str(REAL)))
    y = np.asarray(images.labels)
    labels = baselines.METHODS[method](baselines.pixels(images), int(np.unique(y).size), 0)
    np.testing.assert_allclose(metrics.nmi(y, labels), nmi, atol=0.0025)
    np.testing.assert_allclose(metrics.accuracy(y, labels), acc, atol=0.0025)
