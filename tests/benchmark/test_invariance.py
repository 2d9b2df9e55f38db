from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from kinfold.benchmark import invariance, published
from kinfold.benchmark.scenarios import SCENARIOS, scenario, select
from kinfold.data.images import Images


def images(n: int, shape: tuple[int, ...]) -> Images:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 10
    pixels = (20 * labels[:, None, None, None] + rng.integers(0, 50, size=(n, *shape))).astype(np.uint8)
    return Images(pixels, labels=labels)


def test_the_losses_of_the_first_steps_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invariance, "STEPS", 4)  # 40 images, 8 at a time: a pass has five
    monkeypatch.setattr(invariance, "SHOWN", (1, 3, 9))
    monkeypatch.setattr("kinfold.benchmark.datasets.load", lambda name, data: images(40, (3, 32, 32)))
    small = {"width": 2, "batch_size": 8, "n_repeats": 1}
    wanted = dataclasses.replace(scenario("iic-cifar10-first-steps"), parameters=small)
    found = invariance.first_steps(wanted, {"data": "", "seed": 0})
    assert set(found["scores"]) == {"loss_A_1", "loss_A_3", "loss_A_mean"}
    assert all(-2 < value < 1e-3 for value in found["scores"].values())


def test_a_hundredth_of_the_labels_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invariance, "TRAINED", 300)
    monkeypatch.setattr(invariance, "SHARE", 0.1)
    monkeypatch.setattr(invariance, "_official", lambda data: images(400, (1, 12, 12)))
    small = {"width": 2, "n_clusters": 12, "n_epochs": 2, "n_heads": 2, "batch_size": 100}
    wanted = dataclasses.replace(scenario("iic-overclustering-mnist-1percent"), parameters=small)
    found = invariance.few_labels(wanted, {"data": "", "seed": 0})
    assert found["n"] == 300 and set(found["scores"]) == {"acc", "acc_best_head", "acc_best_head_all_labels"}


def test_the_group_holds_the_ids_of_the_goals() -> None:
    chosen = [s.id for s in select("iic")]
    assert chosen[:3] == ["iic-usps-default", "iic-mnist-test-default", "iic-mnist-full-default"]
    assert "kmeans-pixels-mnist-full" in chosen
    assert set(published.IIC_GOALS) <= set(SCENARIOS)
    assert [s.id for s in select("iic", preset="paper")] == ["iic-mnist-full-paper", "iic-cifar10-first-steps"]
