"""The probe: one seed of a feature learner on a set of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from kinfold.benchmark import datasets, probe, worker
from kinfold.benchmark.scenarios import SCENARIOS, Scenario, select
from kinfold.errors import InputError


def test_a_probe_learns_on_one_part_and_scores_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits in the place of a published set; k-means on their pixels gives 0.7."""
    data = load_digits()
    np.savez(tmp_path / "digits.npz", images=(data.images[:900] * 15).astype(np.uint8), labels=data.target[:900])
    parameters: dict[str, Any] = {"n_atoms": 20, "patch_size": 4, "n_patches": 3000, "n_iter": 5}
    own = Scenario("digits-probe", "coates-ng", "probe", "CoatesNg", "digits", parameters=parameters)
    monkeypatch.setitem(SCENARIOS, "digits-probe", own)
    monkeypatch.setitem(datasets.SETS, "digits", datasets.BenchmarkSet("digits", "Digits", "digits.npz", 900, 10))
    monkeypatch.setitem(probe.TRAINING, "digits", 600)
    found = worker.work({"scenario": "digits-probe", "seed": 0, "data": str(tmp_path), "part": None})
    assert found["n"] == 900
    assert found["scores"]["acc_train"] > found["scores"]["acc_test"] > 0.9
    assert found["cpu_seconds"] > 0


def test_one_class_is_refused() -> None:
    with pytest.raises(InputError, match="one class only"):
        probe.linear_svm(np.zeros((3, 2), dtype=np.float32), np.zeros(3, dtype=np.int64))


def test_groups_hold_what_they_should() -> None:
    assert [s.id for s in select("coates-ng")] == [
        "coates-ng-k200-omp1", "coates-ng-k400-triangle", "coates-ng-k1600-triangle", "coates-ng-k1600-mirror",
        "coates-ng-k1600-omp1-mirror",
    ]  # fmt: skip
    assert [s.id for s in select("nat", "mnist-full")] == ["kmeans-pixels-mnist-full", "nat-mnist-full-default"][::-1]
