"""Probes of features: values by hand, scikit-learn's as the second opinion, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from sklearn.metrics import average_precision_score, roc_auc_score

from kinfold.errors import InputError
from kinfold.evaluate import probes


def blobs(n: int, classes: int, d: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = dice.normal(size=(classes, d))[y] + noise * dice.normal(size=(n, d))
    return x.astype(np.float32), y


def test_retrieval_worked_out_by_hand() -> None:
    """Angles 0, 50 | 40, 90: the other of the class is found at ranks 2, 3 | 3, 2."""
    angles = np.radians([0, 50, 40, 90])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = probes.retrieval(x, np.array([0, 0, 1, 1]))
    assert found["map"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 3 + 1 / 2) / 4)
    assert found["precision_at_1"] == 0
    assert found["chance"] == pytest.approx(1 / 3)


def test_the_best_threshold_by_hand() -> None:
    closeness, truth = np.array([0.9, 0.3, 0.8, 0.4, 0.5]), np.array([True, False, True, False, True])
    assert probes._best_threshold(closeness, truth) == pytest.approx(0.45)
    assert probes._best_threshold(np.array([0.2, 0.1]), np.array([False, False])) > 0.2


def test_retrieval_agrees_with_scikit_learn() -> None:
    x, y = blobs(60, 4, 5, 1.0)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    expected = []
    for i in range(60):
        others = np.arange(60) != i
        expected.append(average_precision_score(y[others] == y[i], (unit @ unit[i])[others]))
    assert probes.retrieval(x, y)["map"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_verification_agrees_with_scikit_learn_on_all_pairs() -> None:
    x, y = blobs(40, 2, 3, 1.5)
    found = probes.verification(x, y, n_pairs=10**6)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    a, b = np.triu_indices(40, 1)
    same = y[a] == y[b]
    # All 380 pairs of the same, and as many of the 400 of different ones.
    assert found["pairs"] == 760
    assert found["auc"] == pytest.approx(roc_auc_score(same, (unit[a] * unit[b]).sum(1)), abs=0.02)
    assert 0.5 < found["accuracy"] <= 1
    assert found["true"][0] <= found["true"][-1] == 1


@given(st.integers(0, 10**6), st.floats(0.1, 50))
@settings(deadline=None, max_examples=8)
def test_turning_scaling_and_renaming_change_nothing(seed: int, scale: float) -> None:
    x, y = blobs(48, 3, 4, 0.8, seed)
    turned = (scale * x @ ortho_group.rvs(4, random_state=seed)).astype(np.float32)
    names = np.array([2, 0, 1])[y]
    assert probes.retrieval(turned, names)["map"] == pytest.approx(probes.retrieval(x, y)["map"], abs=1e-3)
    assert probes.verification(turned, names)["auc"] == pytest.approx(probes.verification(x, y)["auc"], abs=0.05)


def test_probes_reach_what_the_data_allow() -> None:
    x, y = blobs(300, 3, 10, 0.3)
    train, test = probes.split(y, 0)
    assert probes.linear_accuracy(x, y, train, test) > 0.97
    assert probes.knn_accuracy(x, y, train, test) > 0.97
    assert probes.kmeans_scores(x, y)["acc"] > 0.97
    noise = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
    assert probes.linear_accuracy(noise, y, train, test) < 0.55
    assert probes.chance(y) == pytest.approx(1 / 3)
    rows = probes.few_labels(x, y, train, test, counts=(1, 10, 1000))
    assert [row["labels"] for row in rows] == [1, 10]
    assert rows[0]["accuracy"] <= rows[1]["accuracy"] + 0.02
    assert rows[1]["accuracy"] > 0.95


def test_a_split_has_every_class_on_both_sides() -> None:
    y = np.repeat([0, 1, 2], [2, 30, 9])
    train, test = probes.split(y, 3)
    assert set(y[train]) == set(y[test]) == {0, 1, 2}
    assert not set(train) & set(test)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(41))


def test_labels_that_cannot_be_probed_are_one_sentence() -> None:
    x = np.eye(3, dtype=np.float32)
    with pytest.raises(InputError, match="hold a single class"):
        probes.split(np.zeros(3, dtype=np.int64), 0)
    with pytest.raises(InputError, match="class 1 has a single image"):
        probes.split(np.array([0, 0, 1]), 0)
    with pytest.raises(InputError, match="retrieval needs at least two of a class"):
        probes.retrieval(x, np.arange(3))
    with pytest.raises(InputError, match="verification needs two images of the same one"):
        probes.verification(x, np.zeros(3, dtype=np.int64))
