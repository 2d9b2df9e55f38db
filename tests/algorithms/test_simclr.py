"""SimCLR: small runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from kinfold.algorithms.simclr import SimCLR
from kinfold.errors import InputError
from kinfold.metrics import nmi

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
