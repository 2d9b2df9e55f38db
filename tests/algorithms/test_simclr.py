"""SimCLR: its loss by hand and against a restatement, and a small run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from tests.references import targets as plain

from kinfold.algorithms.simclr import SimCLR, contrast
from kinfold.errors import InputError
from kinfold.metrics import nmi


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
    torch.testing.assert_close(ours, theirs)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(x.grad, z.grad)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99))
def test_order_and_length_do_not_matter(seed: int) -> None:
    x = views(4, seed)
    order = torch.tensor([5, 4, 0, 1, 7, 6, 2, 3])  # pairs stay pairs
    torch.testing.assert_close(contrast(3 * x[order], 0.5), contrast(x, 0.5))


# -- whole runs --------------------------------------------------------------------------------------------------------


def test_a_small_run_reaches_its_band() -> None:
    """Recorded: NMI 0.67 on 600 digits of 8 x 8 pixels."""
    data = load_digits()
    x, y = (data.images[:600] * 15).astype(np.uint8), data.target[:600]
    model = SimCLR(n_clusters=10, n_epochs=8, batch_size=100, width=16, view_strength=0.5, random_state=0).fit(x)
    assert nmi(y, model.labels_) > 0.6
    losses = [row["loss"] for row in model.result_.history]
    assert losses[-1] < losses[0] - 0.2


@pytest.mark.parametrize(("wrong", "says"), [
    ({"n_clusters": None}, "SimCLR needs n_clusters"),
    ({"n_epochs": 0}, "n_epochs is 0"),
    ({"batch_size": 1}, "batch_size is 1"),
    ({"temperature": 0.0}, "temperature is 0.0"),
])  # fmt: skip
def test_wrong_choices_are_refused(wrong: dict[str, Any], says: str) -> None:
    x = np.random.default_rng(0).integers(0, 255, (20, 8, 8), dtype=np.uint8)
    with pytest.raises(InputError, match=says):
        SimCLR(**{"n_clusters": 2, **wrong}).fit(x)
