"""PIC: the degree form climbs as the published walk does, and goes on where that one's weights vanish."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.references.lloyd import climb

from kinfold.errors import InputError
from kinfold.metrics import ari
from kinfold.ops.knn import neighbours
from kinfold.ops.pic import _bandwidth, _graph, _roots, _steepest, _walk, pic
from kinfold.ops.source import unit


def blobs(n: int = 400, d: int = 4, k: int = 5, spread: float = 0.05) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    y = rng.integers(k, size=n)
    return unit((rng.normal(size=(k, d))[y] + spread * rng.normal(size=(n, d))).astype(np.float32)), y


def test_a_peak_by_hand() -> None:
    """On a line 0, 1, 1.5, 2, 3 the middle is densest: all climb there."""
    x = np.array([[0.0], [1.0], [1.5], [2.0], [3.0], [50.0], [51.0], [52.0]], dtype=np.float32)
    np.testing.assert_array_equal(pic(x, n_neighbors=2), [0, 0, 0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("form", ["degree", "published"])
def test_it_climbs_as_the_loops_do(form: Any) -> None:
    x, _ = blobs(60)
    near = neighbours(x, 5)
    graph = _graph(near.index, np.exp(-near.distance.astype(np.float64) / 0.04), np.float64)
    value = np.asarray(graph.sum(axis=1)).ravel() if form == "degree" else _walk(graph.astype(np.float32))
    found = _roots(_steepest(graph, value))
    theirs = climb(near.index, near.distance.astype(np.float64), 0.2, 200, 0.001)
    assert ari(np.array(theirs), found) > 0.95


def test_both_forms_agree_where_the_published_one_does_not_vanish() -> None:
    x, y = blobs(1500, d=8)
    near = neighbours(x, 5)
    published, degree = pic(near, form="published"), pic(near, sigma=0.2)
    assert ari(published, degree) > 0.97
    graph = _graph(near.index, np.exp(-near.distance.astype(np.float64) / 0.04), np.float32)
    assert np.corrcoef(_walk(graph), np.asarray(graph.sum(axis=1)).ravel())[0, 1] > 0.9999
    assert all(len(np.unique(y[degree == c])) == 1 for c in np.unique(degree))  # blobs in pieces, never mixed


def test_the_published_weights_vanish_and_ours_do_not() -> None:
    """Isotropic unit vectors in 64 dimensions: neighbours at a squared distance of 1.2 weigh 1e-13."""
    x = unit(np.random.default_rng(0).normal(size=(600, 64)).astype(np.float32))
    assert len(np.unique(pic(x, form="published"))) > 590
    assert len(np.unique(pic(x))) < 200


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_unit_of_the_distances_does_not_matter(scale: float) -> None:
    x, _ = blobs()
    np.testing.assert_array_equal(pic(x * np.float32(scale)), pic(x))


def test_repeated_rows_do_not_hide_the_others() -> None:
    assert _bandwidth(np.array([[0.0, 0.0], [0.0, 4.0]])) == 2.0
    assert _bandwidth(np.zeros((2, 2))) == 1.0
    x = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)
    assert len(np.unique(pic(x))) == 3 or len(np.unique(pic(x))) > 3  # equal rows have no hill to climb
    assert np.isfinite(pic(x)).all()


@pytest.mark.parametrize(("options", "says"), [
    ({"form": "x"}, "form is 'x'"), ({"n_neighbors": 0}, "n_neighbors is 0"), ({"sigma": 0.0}, "sigma 0.0"),
])  # fmt: skip
def test_bad_input(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        pic(np.zeros((4, 2)), **options)
