"""The probe by layers: one seed of DeepCluster on a set of the test's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from kinfold.benchmark import datasets, worker
from kinfold.benchmark.scenarios import SCENARIOS, Scenario


def test_layers_are_probed_beside_an_untrained_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load_digits()
    np.savez(tmp_path / "digits.npz", images=(data.images[:300] * 15).astype(np.uint8), labels=data.target[:300])
    parameters: dict[str, Any] = {"variant": "v1", "n_rounds": 2, "width": 4, "n_pseudo_clusters": 20}
    own = Scenario("digits-layers", "deepcluster", "layers", "DeepCluster", "digits", parameters=parameters)
    monkeypatch.setitem(SCENARIOS, "digits-layers", own)
    monkeypatch.setitem(datasets.SETS, "digits", datasets.BenchmarkSet("digits", "Digits", "digits.npz", 300, 10))
    found = worker.work({"scenario": "digits-layers", "seed": 0, "data": str(tmp_path), "part": None})
    scores = found["scores"]
    assert found["n"] == 300
    assert 0.5 < scores["learnt"] <= 1
    assert 0.5 < scores["pixels"] <= 1
    np.testing.assert_allclose(scores["gain"], scores["learnt"] - scores["random"])
    assert 0 < scores["nmi_previous_last"] <= 1
