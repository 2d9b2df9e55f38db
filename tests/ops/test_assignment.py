from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfold.errors import InputError
from kinfold.ops.assignment import best_assignment, renaming


def test_by_hand() -> None:
    np.testing.assert_array_equal(best_assignment(torch.tensor([[9.0, 8.0], [9.0, 2.0]])), [1, 0])


@settings(max_examples=20, deadline=None)
@given(b=st.integers(1, 5), more=st.integers(0, 1), seed=st.integers(0, 99))
def test_no_permutation_is_better(b: int, more: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(b, b + more))
    found = best_assignment(scores)
    assert len(set(found.tolist())) == b
    best = max(sum(scores[i, j] for i, j in enumerate(chosen)) for chosen in permutations(range(b + more), b))
    np.testing.assert_allclose(scores[np.arange(b), found].sum(), best)


def test_a_constant_changes_nothing() -> None:
    scores = np.random.default_rng(0).normal(size=(6, 6))
    np.testing.assert_array_equal(best_assignment(scores + 7), best_assignment(scores))


def test_capacities_are_kept() -> None:
    scores = np.zeros((7, 3))
    scores[:, 0] = 1
    found = best_assignment(scores, capacities=[2, 4, 3])
    counts = np.bincount(found, minlength=3)
    assert counts[0] == 2
    assert (counts <= [2, 4, 3]).all()


def test_a_labeling_gets_the_names_of_another() -> None:
    others = np.random.default_rng(0).integers(0, 5, 200)
    order = np.random.default_rng(1).permutation(5)
    labels = order[others]
    labels[:20] = 0  # most agree, not all
    np.testing.assert_array_equal(renaming(labels, others, 5), np.argsort(order))
    assert (renaming(labels, others, 5)[labels] == others).mean() > 0.85


@pytest.mark.parametrize(("scores", "capacities", "says"), [
    ([[np.nan]], None, "all finite"),
    ([[1.0], [2.0]], None, "at least as many places"),
    ([[1.0, 2.0]], [0, 0], "at least as many places"),
    ([[1.0, 2.0]], [1.5, 1], "whole numbers"),
])  # fmt: skip
def test_bad_input(scores: Any, capacities: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        best_assignment(scores, capacities=capacities)
