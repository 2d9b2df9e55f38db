"""The loss that tells images apart: by hand, against a restatement with loops, and its invariances."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.references import targets as plain
from tests.references.agreement import agree

from kinfold.ops.contrast import contrast


def views(n: int, seed: int) -> torch.Tensor:
    return torch.randn(2 * n, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# -- a value worked out by hand ----------------------------------------------------------------------------------------


def test_one_loss_by_hand() -> None:
    """Two images whose views coincide and stand at right angles: partner e^2, two others e^0 at temperature 1/2."""
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    expected = -np.log(np.exp(2) / (np.exp(2) + 2))
    torch.testing.assert_close(contrast(x, 0.5), torch.tensor(expected, dtype=torch.float32))


# -- loss and gradient against the restatement, an invariance ----------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(n=st.integers(2, 5), temperature=st.sampled_from([0.1, 0.5, 1.0]), seed=st.integers(0, 99))
def test_the_loss_equals_the_loops(n: int, temperature: float, seed: int) -> None:
    x, z = views(n, seed).requires_grad_(), views(n, seed).requires_grad_()
    ours, theirs = contrast(x, temperature), plain.contrast(z, temperature)
    agree(ours, theirs, (x, z))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99))
def test_order_and_length_do_not_matter(seed: int) -> None:
    x = views(4, seed)
    order = torch.tensor([5, 4, 0, 1, 7, 6, 2, 3])  # pairs stay pairs
    torch.testing.assert_close(contrast(3 * x[order], 0.5), contrast(x, 0.5))


# -- groups ------------------------------------------------------------------------------------------------------------


def test_images_of_a_group_do_not_push_each_other_apart() -> None:
    """Two images of a group and one alone: for a view of the former only the latter's views are wrong choices."""
    x = views(3, 0)
    unit = torch.nn.functional.normalize(x, dim=1)
    cosines = unit @ unit.T / 0.5
    wrong = {0: [4, 5], 1: [4, 5], 2: [4, 5], 3: [4, 5], 4: [0, 1, 2, 3], 5: [0, 1, 2, 3]}
    terms = [torch.logsumexp(cosines[i, [i ^ 1, *away]], 0) - cosines[i, i ^ 1] for i, away in wrong.items()]
    torch.testing.assert_close(contrast(x, 0.5, torch.tensor([7, 7, 3])), torch.stack(terms).mean())


def test_groups_of_one_change_nothing() -> None:
    x = views(4, 1)
    torch.testing.assert_close(contrast(x, 0.2, torch.arange(4)), contrast(x, 0.2))


def test_one_group_leaves_nothing_to_tell_apart() -> None:
    x = views(3, 2).requires_grad_()
    value = contrast(x, 0.5, torch.zeros(3, dtype=torch.int64))
    value.backward()
    assert float(value.detach()) == 0 and float(x.grad.abs().max()) == 0
