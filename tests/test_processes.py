"""Two processes compute what one computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import Tiny
from tests.tiny_run import digits, measurements
from tests.torchrun import run_twice

from kinfold.results import Clustering
from kinfold.runtime import Runtime


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes, started by torchrun, wrote."""
    folder = tmp_path_factory.mktemp("joined")
    run_twice("tests.tiny_run", folder, timeout=240)
    return folder


def test_values_and_gradients_are_those_of_one_process(joined: Path) -> None:
    alone = {name: value.numpy() for name, value in measurements(Runtime(device="cpu")).items()}
    with np.load(joined / "measured.npz") as two:
        assert set(two.files) == set(alone)
        for name in ("mean", "gather", "sum"):
            np.testing.assert_allclose(two[f"{name} value"], alone[f"{name} value"], rtol=1e-12)
            np.testing.assert_allclose(two[f"{name} gradient"], alone[f"{name} gradient"], rtol=1e-9, atol=1e-12)
        for name in two.files:
            if name.startswith("norm"):
                np.testing.assert_allclose(two[name], alone[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_embedding_has_the_same_bits(joined: Path) -> None:
    alone = measurements(Runtime(device="cpu"))["embedding"].numpy()
    with np.load(joined / "measured.npz") as two:
        np.testing.assert_array_equal(two["embedding"], alone)


def test_a_fit_has_the_same_loss_labels_and_weights(joined: Path) -> None:
    two = Clustering.load(joined / "run")
    model = Tiny(3, n_rounds=3, batch_size=25, double=True, random_state=0)
    one = model.fit(digits(101), runtime=Runtime(device="cpu")).result_
    assert two.run["processes"] == 2
    assert one.run["processes"] == 1
    np.testing.assert_array_equal(two.labels, one.labels)
    losses = [[row["loss"] for row in result.history] for result in (two, one)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-9)
    for name, weight in one.weights.items():
        torch.testing.assert_close(two.weights[name], weight, rtol=1e-8, atol=1e-10)


def test_every_process_comes_to_its_end_and_one_writes(joined: Path) -> None:
    assert {path.name for path in joined.iterdir()} == {"measured.npz", "run", "finished-0", "finished-1"}
    assert not (joined / "run" / "checkpoint").exists()
