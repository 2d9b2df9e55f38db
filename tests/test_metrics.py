from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfold import metrics

pairs = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(0, 5), min_size=n, max_size=n), st.lists(st.integers(0, 7), min_size=n, max_size=n)
    )
)


def entropy(p: list[float]) -> float:
    return -sum(q * math.log(q) for q in p if q > 0)


def test_nmi_by_hand() -> None:
    # classes 4 + 2, clusters 3 + 3, table [[3, 1], [0, 2]]
    y, labels = [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]
    mutual = entropy([4 / 6, 2 / 6]) + entropy([0.5, 0.5]) - entropy([3 / 6, 1 / 6, 2 / 6])
    geometric = mutual / math.sqrt(entropy([4 / 6, 2 / 6]) * entropy([0.5, 0.5]))
    arithmetic = mutual / ((entropy([4 / 6, 2 / 6]) + entropy([0.5, 0.5])) / 2)
    np.testing.assert_allclose(metrics.nmi(y, labels), geometric, rtol=1e-12)
    np.testing.assert_allclose(metrics.nmi(y, labels, average="arithmetic"), arithmetic, rtol=1e-12)
    assert geometric > arithmetic  # the geometric mean never exceeds the arithmetic one


def test_accuracy_needs_the_hungarian_method_not_the_greedy_one() -> None:
    # table [[5, 4], [4, 0]]: greedy takes 5 + 0, the best map 4 + 4
    y = [0] * 9 + [1] * 4
    labels = [0] * 5 + [1] * 4 + [0] * 4
    np.testing.assert_allclose(metrics.accuracy(y, labels), 8 / 13)


def test_accuracy_with_unequal_numbers_of_clusters() -> None:
    np.testing.assert_allclose(metrics.accuracy([0, 0, 0, 1, 1, 1], [0, 0, 1, 2, 2, 3]), 4 / 6)  # 4 clusters, 2 classes
    np.testing.assert_allclose(metrics.accuracy([0, 0, 1, 1, 2], [0, 0, 0, 0, 0]), 2 / 5)  # 1 cluster, 3 classes


def test_ari_by_hand() -> None:
    # table [[3, 1], [0, 2]]: pairs together in both 3 + 0 + 1 = 4; in classes 6 + 1, in clusters 3 + 3; of 15
    expected = (4 - 7 * 6 / 15) / ((7 + 6) / 2 - 7 * 6 / 15)
    np.testing.assert_allclose(metrics.ari([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1]), expected)


def test_confusion_puts_matches_on_the_diagonal() -> None:
    y = ["a", "a", "a", "b", "b", "c"]
    labels = [7, 7, 3, 3, 3, 9]
    np.testing.assert_array_equal(metrics.confusion(y, labels), [[2, 1, 0], [0, 2, 0], [0, 0, 1]])
    classes, clusters = metrics.alignment(y, labels)
    assert classes.tolist() == ["a", "b", "c"]
    assert clusters.tolist() == [7, 3, 9]


def test_confusion_keeps_what_has_no_partner_at_the_end() -> None:
    table = metrics.confusion([0, 0, 1, 1, 1, 2, 2, 2], [4, 4, 4, 4, 4, 8, 8, 8])
    classes, clusters = metrics.alignment([0, 0, 1, 1, 1, 2, 2, 2], [4, 4, 4, 4, 4, 8, 8, 8])
    np.testing.assert_array_equal(table, [[3, 0], [0, 3], [2, 0]])
    assert classes.tolist() == [1, 2, 0]
    assert clusters.tolist() == [4, 8]


@settings(deadline=None, max_examples=60)
@given(pairs)
def test_the_diagonal_is_the_accuracy(pair: tuple[list[int], list[int]]) -> None:
    table = metrics.confusion(*pair)
    np.testing.assert_allclose(np.trace(table) / len(pair[0]), metrics.accuracy(*pair))
    assert table.sum() == len(pair[0])


@settings(deadline=None, max_examples=60)
@given(pairs, st.permutations(range(8)))
def test_relabelling_and_reordering_change_nothing(pair: tuple[list[int], list[int]], names: list[int]) -> None:
    y, labels = np.array(pair[0]), np.array(pair[1])
    renamed = np.array(names)[labels]
    order = np.random.default_rng(0).permutation(y.size)
    before, after = metrics.scores(y, labels), metrics.scores(y[order], renamed[order])
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, atol=1e-9, err_msg=name)


@settings(deadline=None, max_examples=60)
@given(pairs)
def test_ranges_and_symmetry(pair: tuple[list[int], list[int]]) -> None:
    values = metrics.scores(*pair)
    assert 0 <= values["nmi"] <= 1 + 1e-12
    assert 0 < values["acc"] <= 1
    assert -0.5 - 1e-12 <= values["ari"] <= 1 + 1e-12
    swapped = metrics.scores(pair[1], pair[0])
    for name, value in values.items():
        np.testing.assert_allclose(swapped[name], value, atol=1e-9, err_msg=name)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_equal_labelings_score_one(labels: list[int]) -> None:
    for name, value in metrics.scores(labels, labels).items():
        np.testing.assert_allclose(value, 1.0, atol=1e-9, err_msg=name)


def test_silhouette_by_hand() -> None:
    # points 0, 2 | 10: a = 2, 2; b = 10, 8; a single image counts 0
    expected = ((10 - 2) / 10 + (8 - 2) / 8 + 0) / 3
    np.testing.assert_allclose(metrics.silhouette([[0.0], [2.0], [10.0]], ["x", "x", "y"]), expected)


def test_silhouette_samples_by_its_seed_and_is_nan_where_undefined() -> None:
    points = np.random.default_rng(0).normal(size=(300, 3)) + np.repeat([[0.0], [8.0], [16.0]], 100, axis=0)
    labels = np.repeat([0, 1, 2], 100)
    full, sampled = metrics.silhouette(points, labels), metrics.silhouette(points, labels, sample=120)
    np.testing.assert_allclose(sampled, full, atol=0.05)
    assert sampled == metrics.silhouette(points, labels, sample=120)
    assert math.isnan(metrics.silhouette(points, np.zeros(300)))
    assert math.isnan(metrics.silhouette(points[:5], np.arange(5)))


def test_stability_is_the_mean_over_pairs() -> None:
    a, b, c = [0, 0, 1, 1], [0, 1, 0, 1], [1, 1, 0, 0]
    expected = (metrics.ari(a, b) + metrics.ari(a, c) + metrics.ari(b, c)) / 3
    np.testing.assert_allclose(metrics.stability([a, b, c]), expected)


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"expected two vectors of the same length"):
        metrics.nmi([0, 1], [0, 1, 2])
    with pytest.raises(ValueError, match=r"expected two vectors"):
        metrics.accuracy([], [])
    with pytest.raises(ValueError, match=r"expected two vectors"):
        metrics.ari([[0, 1]], [[0, 1]])
    with pytest.raises(ValueError, match=r"pass at least two"):
        metrics.stability([[0, 1]])
    with pytest.raises(ValueError, match=r"expected \(n, d\)"):
        metrics.silhouette([[0.0], [1.0]], [0, 1, 2])
