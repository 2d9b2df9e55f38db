"""Classes from clusters and a few labels."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_digits

from kinfold import IIC, FineTunedClassifier, InputError, OverclusteringClassifier
from kinfold.fewlabels import named
from kinfold.runtime import Runtime

HERE = Runtime(device="cpu", precision="float32")


@cache
def digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Three hundred digits, their classes, and those of the first sixty with -1 for the others."""
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))[:300]
    y = found.target[order]
    return (found.images[order] * 15.9).astype(np.uint8), y, np.where(np.arange(300) < 60, y, -1)


@cache
def clusterer() -> IIC:
    settings = {"n_epochs": 20, "n_heads": 2, "batch_size": 75, "width": 8, "learning_rate": 5e-3, "random_state": 0}
    return IIC(n_clusters=15, n_overclusters=30, **settings).fit(digits()[0], runtime=HERE)


def test_shares_of_classes_by_hand() -> None:
    # Cluster 0 holds one image of class 0 and half of one of class 1; half a vote of the mean, two thirds to class 0.
    p = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    found = named(p, np.array([0, 0, 1]), 2)
    np.testing.assert_allclose(found[0], [(1 + 1 / 3) / 2, (0.5 + 1 / 6) / 2], rtol=1e-6)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(2, 4), st.integers(0, 100))
def test_shares_are_shares(m: int, k: int, c: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(k), size=m)
    found = named(p, rng.integers(0, c, size=m), c)
    assert found.shape == (k, c) and found.min() >= 0
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


def test_few_labels_name_many_clusters() -> None:
    x, y, few = digits()
    for vote, least in (("all", 0.7), ("best", 0.6)):
        model = OverclusteringClassifier(clusterer(), vote=vote).fit(x, few, runtime=HERE)
        assert model.clusterer_ is clusterer()
        assert (model.predict(x, runtime=HERE) == y)[60:].mean() > least
        p = model.predict_proba(x[:5], runtime=HERE)
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)


def test_classes_may_have_names_and_any_clusterer_will_do() -> None:
    from tests.tiny import Tiny

    x, y, few = digits()
    model = OverclusteringClassifier(Tiny(n_rounds=1)).fit(x, np.where(few < 0, -1, few + 100), runtime=HERE)
    assert set(model.predict(x, runtime=HERE)) <= set(range(100, 110))
    model = OverclusteringClassifier(clusterer()).fit(x, np.array([f"digit {d}" for d in y]), runtime=HERE)
    assert model.score(x, np.array([f"digit {d}" for d in y])) > 0.75


def test_a_trunk_is_trained_on() -> None:
    x, y, few = digits()
    before = {name: value.clone() for name, value in clusterer().state_.net.state_dict().items()}
    model = FineTunedClassifier(clusterer(), n_epochs=40, batch_size=30, hidden=64, trunk_rate=1e-3, random_state=0)
    model.fit(x, few, runtime=HERE)
    assert model.losses_[-1] < 0.7 * model.losses_[0]
    assert (model.predict(x, runtime=HERE) == y)[60:].mean() > 0.65
    for name, value in clusterer().state_.net.state_dict().items():
        assert bool((value == before[name]).all()), f"the clustering's own {name} was changed"
    again = clone(model).fit(x, few, runtime=HERE)
    np.testing.assert_array_equal(again.predict(x, runtime=HERE), model.predict(x, runtime=HERE))


def test_an_unfitted_clusterer_is_cloned_and_fitted() -> None:
    x, _, few = digits()
    raw = IIC(n_clusters=4, n_epochs=1, width=2, n_heads=1, random_state=0)
    model = OverclusteringClassifier(raw).fit(x, few, runtime=HERE)
    assert not hasattr(raw, "labels_") and hasattr(model.clusterer_, "labels_")


@pytest.mark.parametrize("make", [OverclusteringClassifier, FineTunedClassifier])
def test_what_has_no_labels_is_refused(make: Any) -> None:
    x, _, few = digits()
    with pytest.raises(InputError, match=r"none of the 300 images has a label \(all of y is -1\)"):
        make(clusterer()).fit(x, np.full(300, -1))
    with pytest.raises(InputError, match="all labels are 7"):
        make(clusterer()).fit(x, np.where(few == 7, 7, -1))
    with pytest.raises(InputError, match="y has shape"):
        make(clusterer()).fit(x, np.zeros((300, 2)))


def test_wrong_choices_are_refused() -> None:
    x, _, few = digits()
    with pytest.raises(InputError, match="vote is 'some'"):
        OverclusteringClassifier(clusterer(), vote="some").fit(x, few)
    with pytest.raises(InputError, match="clusterer is OverclusteringClassifier; expected IIC"):
        FineTunedClassifier(OverclusteringClassifier(clusterer())).fit(x, few)
