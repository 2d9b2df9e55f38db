from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.references.lloyd import balanced_plan

from kinfold.errors import InputError
from kinfold.ops.sinkhorn import sinkhorn


def scores(b: int, k: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(b, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_two_by_two_by_hand() -> None:
    """Off-diagonal odds are exp((8 + 9 - 9 - 2) / (2 epsilon)) = e^1.5 at epsilon 2."""
    found = sinkhorn(torch.tensor([[9.0, 8.0], [9.0, 2.0]]), epsilon=2.0, n_iterations=200)
    share = np.exp(1.5) / (1 + np.exp(1.5))
    np.testing.assert_allclose(found, [[1 - share, share], [share, 1 - share]], rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(b=st.integers(2, 9), k=st.integers(2, 5), rounds=st.integers(0, 5), seed=st.integers(0, 99))
def test_it_is_the_plain_scaling(b: int, k: int, rounds: int, seed: int) -> None:
    x, rng = scores(b, k, seed), np.random.default_rng(seed)
    sizes, weights = rng.dirichlet(np.ones(k)), rng.dirichlet(np.ones(b))
    found = sinkhorn(
        x, epsilon=0.5, sizes=torch.tensor(sizes), weights=torch.tensor(weights), n_iterations=rounds
    ).numpy()
    np.testing.assert_allclose(found, balanced_plan(x.numpy(), 0.5, sizes, weights, rounds), rtol=1e-8)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_sizes_are_kept_at_any_scale(scale: float) -> None:
    found = sinkhorn(scores(60, 4, scale=scale), epsilon=0.05 * max(scale, 1), n_iterations=500)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-9)
    np.testing.assert_allclose(found.sum(0), 15, rtol=1e-3)


def test_scores_too_large_for_an_exponential() -> None:
    found = sinkhorn(torch.tensor([[1e6, 0.0], [1e6, 10.0]]), epsilon=0.01, n_iterations=20)
    assert bool(torch.isfinite(found).all())
    np.testing.assert_array_equal(found.argmax(1), [0, 1])


def test_given_sizes_and_weights() -> None:
    sizes = torch.tensor([3.0, 1.0, 0.0])
    weights = torch.tensor([0.0] + [1.0] * 39)
    found = sinkhorn(scores(40, 3), epsilon=0.5, sizes=sizes, weights=weights, n_iterations=300)
    np.testing.assert_array_equal(found[0], 0)
    np.testing.assert_allclose(found[1:].sum(0), [39 * 0.75, 39 * 0.25, 0], rtol=1e-6)


def test_sizes_may_be_a_list() -> None:
    scores = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    plain = sinkhorn(scores, sizes=[1.0, 3.0], weights=np.ones(6))
    torch.testing.assert_close(plain, sinkhorn(scores, sizes=torch.tensor([1.0, 3.0])))


def test_it_stops_when_the_sizes_are_near() -> None:
    x = scores(50, 3)
    near = sinkhorn(x, epsilon=0.5, n_iterations=1000, tolerance=0.01)
    exact = sinkhorn(x, epsilon=0.5, n_iterations=1000)
    assert not torch.equal(near, exact)
    np.testing.assert_allclose(near.sum(0), 50 / 3, rtol=0.02)


def test_order_of_rows_and_columns_does_not_matter() -> None:
    x = scores(20, 4)
    rows, columns = torch.randperm(20, generator=torch.Generator().manual_seed(1)), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(sinkhorn(x[rows][:, columns]), sinkhorn(x)[rows][:, columns])


@pytest.mark.parametrize(("wrong", "says"), [
    ({"scores": torch.full((2, 2), torch.nan)}, "all finite"),
    ({"scores": torch.zeros(3)}, r"expected \(b, k\)"),
    ({"epsilon": 0.0}, "epsilon is 0.0"),
    ({"sizes": torch.ones(3)}, "sizes of shape"),
    ({"weights": torch.tensor([-1.0, 2.0])}, "weights of shape"),
])  # fmt: skip
def test_bad_input(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        sinkhorn(**{"scores": torch.zeros(2, 2), **wrong})
