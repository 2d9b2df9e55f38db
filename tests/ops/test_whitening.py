from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.references.threads import together

from kinfold.errors import InputError
from kinfold.ops.source import Parts
from kinfold.ops.whitening import moments, whitening


def mixed(n: int = 300, d: int = 6, rank: int | None = None) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    rank = rank or d
    return (rng.normal(size=(n, rank)) * np.arange(1, rank + 1) @ rng.normal(size=(rank, d)) + 50).astype(np.float32)


def test_two_columns_by_hand() -> None:
    x = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 2.0], [4.0, 2.0]])  # variances 4 and 1
    found = whitening(x, unit_length=False)
    np.testing.assert_allclose(found.mean, [2, 1])
    np.testing.assert_allclose(found.matrix, [[0.5, 0], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(found(x), [[-1, -1], [1, -1], [-1, 1], [1, 1]])
    np.testing.assert_allclose(np.linalg.norm(whitening(x)(x), axis=1), 1, rtol=1e-6)


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(1, 29), block=st.integers(1, 30), shift=st.floats(-1e4, 1e4))
def test_moments_add_up_and_keep_their_digits(cut: int, block: int, shift: float) -> None:
    x = np.random.default_rng(cut).normal(size=(30, 3)) + shift
    x = x.astype(np.float32)
    found = moments(Parts([x[:cut], x[cut:]], block=block))
    np.testing.assert_allclose(found.mean, x.mean(axis=0, dtype=np.float64), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x.T.astype(np.float64), bias=True), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("form", ["pca", "zca"])
def test_the_covariance_becomes_the_identity(form: Any) -> None:
    x = mixed()
    found = whitening(x, None, form=form, unit_length=False)(x)
    np.testing.assert_allclose(np.cov(found.T, bias=True), np.eye(6), atol=1e-3)


def test_zca_stays_near_its_input() -> None:
    """Whitened columns belong to the columns that they came from; eps keeps weak directions weak."""
    x = mixed(d=3)
    z = whitening(x, None, form="zca", eps=0.1, unit_length=False)
    np.testing.assert_allclose(z.matrix, z.matrix.T, atol=1e-5)
    values, axes = np.linalg.eigh(np.cov(x.T.astype(np.float64), bias=True))
    np.testing.assert_allclose(z.matrix, axes / np.sqrt(values + 0.1) @ axes.T, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("n", "d", "rank", "components"), [(5, 20, 20, 4), (300, 3, 3, 3), (300, 20, 7, 7)])
def test_components_that_are_not_there_are_left_out(n: int, d: int, rank: int, components: int) -> None:
    x = mixed(n, d, rank)
    found = whitening(x, 256)
    assert found.n_components <= components
    assert found.n_components >= components - 1
    assert np.isfinite(found(x)).all()


def test_a_rotation_keeps_distances() -> None:
    x = mixed()
    z = whitening(x, whiten=False, unit_length=False)(x)
    np.testing.assert_allclose(
        np.linalg.norm(z[1:] - z[:-1], axis=1), np.linalg.norm(x[1:] - x[:-1], axis=1), rtol=1e-4
    )


def test_processes_agree() -> None:
    x = mixed()
    one = whitening(x, 4)
    for two in together(lambda run: whitening(Parts([x], block=31), 4, run=run)):
        np.testing.assert_allclose(two.matrix, one.matrix, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("x", "options", "says"), [
    (np.ones((5, 3)), {}, "all vectors are the same"),
    (np.full((5, 3), np.nan), {}, "NaN"),
    (mixed(9), {"form": "ica"}, "form is 'ica'"),
    (mixed(9), {"n_components": 0}, "n_components is 0"),
    (mixed(9), {"eps": -1.0}, "eps is -1.0"),
])  # fmt: skip
def test_bad_input(x: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        whitening(x, **options)
