"""JULE: its losses against plain restatements, its schedule by hand, its invariances, and small real runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from tests.references.triplets import active_triplets, paper_loss, released_triplets

from kinfold.algorithms.jule import (
    JULE,
    JuleState,
    affinity_triplets,
    sampled_triplets,
    told_apart,
    weighted_triplets,
)
from kinfold.errors import InputError
from kinfold.metrics import nmi


def sphere(n: int, d: int = 4, seed: int = 0) -> torch.Tensor:
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(x, dim=1).requires_grad_()


def digits(n: int = 300) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))[:n]
    return (data.images[order] * 15).astype(np.uint8), data.target[order]


# -- a value worked out by hand ----------------------------------------------------------------------------------------


def test_one_triplet_by_hand() -> None:
    x = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    y = torch.tensor([0, 0, 1])
    # |a - p|^2 = 0.8; |a - n|^2 = 2; |p - n|^2 = 0.4: only (p, a, n) is active, 0.8 - 0.4 + 0.2.
    value = weighted_triplets(x, y, y, margin=0.2, gamma=1.0, generator=torch.Generator())
    torch.testing.assert_close(value, torch.tensor(0.6))


def test_schedule_by_hand() -> None:
    """The released code's counts: MNIST-test 1762, 176, 17, 10 at eta 0.9; UMIST 192, 153, ... at 0.2."""
    for rate, first, target, expected in (
        (0.9, 1762, 10, [176, 17, 10]),
        (0.2, 192, 20, [153, 122, 97, 77, 61, 48, 38, 30, 24, 20]),
    ):
        model = JULE(n_clusters=target, preset="paper", unrolling_rate=rate)
        assert counts(model, first, target) == expected


def test_number_of_periods() -> None:
    model = JULE(n_clusters=10, n_periods=4)
    found = counts(model, 1000, 10)
    assert len(found) == 4
    assert found[-1] == 10
    assert sorted(found, reverse=True) == found


def counts(model: JULE, first: int, target: int) -> list[int]:
    state = JuleState(torch.nn.Identity(), None, torch.Generator(), np.arange(first), target=target)
    found: list[int] = []
    while not found or found[-1] > target:
        state.period += 1
        found.append(model._next(state))
        state.labels = np.arange(found[-1])
    return found


# -- loss and gradient against the restatement -------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=4, max_size=9),
    gamma=st.sampled_from([1.0, 2.0]),
    seed=st.integers(0, 99),
)
def test_weighted_triplets_equal_the_loops(labels: list[int], gamma: float, seed: int) -> None:
    far = [label // 2 for label in labels]
    for differs in (labels, far):
        x, z = sphere(len(labels), seed=seed), sphere(len(labels), seed=seed)
        ours = weighted_triplets(
            x, torch.tensor(labels), torch.tensor(differs), margin=0.2, gamma=gamma, generator=torch.Generator()
        )
        theirs = active_triplets(z, labels, differs, 0.2, gamma)
        torch.testing.assert_close(ours, theirs)
        ours.backward()
        theirs.backward()
        torch.testing.assert_close(tangent(x), tangent(z))


def tangent(x: torch.Tensor) -> torch.Tensor:
    """The part of a gradient along the sphere; the rest is lost in the normalisation."""
    assert x.grad is not None
    unit = x.detach()
    return x.grad - (x.grad * unit).sum(1, keepdim=True) * unit


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 2, 3, 3]])
def test_sampled_triplets_equal_the_loops(labels: list[int]) -> None:
    x, z = sphere(len(labels)), sphere(len(labels))
    n_negatives = min(20, len(set(labels)) - 1)
    n_pairs = sum(labels.count(c) * (labels.count(c) - 1) // 2 for c in set(labels))
    chance = torch.rand(n_pairs, len(labels), generator=torch.Generator().manual_seed(3))
    ours = sampled_triplets(x, torch.tensor(labels), margin=0.2, gamma=1.0, generator=torch.Generator().manual_seed(3))
    theirs = released_triplets(z, labels, chance.tolist(), n_negatives, 0.2, 1.0)
    torch.testing.assert_close(ours, theirs)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(tangent(x), tangent(z))


@pytest.mark.parametrize(("gamma", "share"), [(1.0, 0.0), (1.5, 0.5), (2.0, 1.0)])
def test_the_released_gradient_reaches_anchors_only(gamma: float, share: float) -> None:
    """Positives and negatives get (gamma - 1) times the true gradient; anchors all of it."""
    y = torch.tensor([0, 0, 1])  # one pair: image 0 is the anchor, 1 the positive, 2 the negative
    gradients = []
    for anchors_only in (False, True):
        x = sphere(3, seed=5)
        sampled_triplets(
            x, y, margin=2.0, gamma=gamma, generator=torch.Generator().manual_seed(0), anchors_only=anchors_only
        ).backward()
        gradients.append(tangent(x))
    true, released = gradients
    torch.testing.assert_close(released[0], true[0])
    torch.testing.assert_close(released[1:], share * true[1:])


def test_affinity_triplets_equal_the_loops() -> None:
    labels = [0, 0, 1, 1, 1, 2]
    x, z = sphere(6), sphere(6)
    ours, theirs = affinity_triplets(x, torch.tensor(labels), gamma=2.0, n_local=3), paper_loss(z, labels, 2.0, 2)
    torch.testing.assert_close(ours, theirs)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(tangent(x), tangent(z))


def test_a_batch_without_pairs_costs_nothing() -> None:
    y = torch.arange(4)
    for value in (
        weighted_triplets(sphere(4), y, y, margin=0.2, gamma=1.0, generator=torch.Generator()),
        sampled_triplets(sphere(4), y, margin=0.2, gamma=1.0, generator=torch.Generator()),
        affinity_triplets(sphere(4), y, gamma=1.0, n_local=5),
    ):
        assert float(value.detach()) == 0.0


# -- invariances -------------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(labels=st.lists(st.integers(0, 3), min_size=4, max_size=9), shift=st.integers(1, 5))
def test_names_of_clusters_do_not_matter(labels: list[int], shift: int) -> None:
    x = sphere(len(labels))
    y = torch.tensor(labels)
    first = weighted_triplets(x, y, y, margin=0.2, gamma=1.0, generator=torch.Generator())
    again = weighted_triplets(x, 9 - y, y + shift, margin=0.2, gamma=1.0, generator=torch.Generator())
    torch.testing.assert_close(first, again)


# -- whole runs --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> tuple[JULE, np.ndarray[Any, Any]]:
    x, y = digits(600)
    return JULE(n_clusters=10, n_epochs=2, n_periods=3, n_final=2, random_state=0).fit(x), y


def test_a_small_run_reaches_its_band(fitted: tuple[JULE, np.ndarray[Any, Any]]) -> None:
    """Recorded: 0.82 on 600 digits of 8 x 8 pixels."""
    model, y = fitted
    assert nmi(y, model.labels_) > 0.75
    assert set(model.result_.variants) == {"sf", "rc"}
    np.testing.assert_array_equal(model.result_.variants["rc"], model.labels_)


def test_the_tree_is_the_result(fitted: tuple[JULE, np.ndarray[Any, Any]]) -> None:
    model, _ = fitted
    np.testing.assert_array_equal(model.result_.cut(10), model.labels_)
    assert len(np.unique(model.result_.cut(4))) == 4


def test_new_images_go_where_their_like_went(fitted: tuple[JULE, np.ndarray[Any, Any]]) -> None:
    model, _ = fitted
    x, _ = digits(900)
    new = model.predict_proba(x[600:])
    np.testing.assert_allclose(new.sum(1), 1, atol=1e-5)
    assert (model.predict(x[:600]) == model.labels_).mean() > 0.95


@pytest.mark.parametrize("change", [
    {"loss": "affinity"},
    {"negatives": "foreseen"},
    {"as_released": ("anchor-gradient", "dampening", "batch-norm", "half-neighbors", "fast-update"), "preset": "paper"},
    {"n_clusters": None},
    {"preset": "paper", "unrolling_rate": 0.9},
    {"preset": "fast"},
    {"weight_contrast": 0.5, "warm_epochs": 2, "negatives": "foreseen"},
    {"weight_contrast": 1.0, "warm_epochs": 0, "loss": "affinity"},
])  # fmt: skip
def test_every_choice_runs(change: dict[str, Any]) -> None:
    x, _ = digits(200)
    settings: dict[str, Any] = {"n_clusters": 10, "n_epochs": 1, "random_state": 0} | change
    model = JULE(**settings).fit(x)
    if settings["n_clusters"]:
        assert model.n_clusters_ == settings["n_clusters"]
    assert np.isfinite(model.embedding_).all()


@pytest.mark.parametrize(("wrong", "says"), [
    ({"loss": "x"}, "loss is 'x'"),
    ({"negatives": "hard"}, "negatives is 'hard'"),
    ({"preset": "best"}, "preset is 'best'"),
    ({"as_released": ("D2",), "preset": "paper"}, "as_released names"),
    ({"as_released": ("dampening",)}, "goes with preset='paper'"),
    ({"unrolling_rate": 0.0}, "unrolling_rate is 0.0"),
    ({"weight_contrast": "much"}, "weight_contrast is 'much'"),
    ({"weight_contrast": 1.0, "preset": "paper"}, "weight_contrast is 1.0 with preset='paper'"),
    ({"view_strength": "some"}, "view_strength is 'some'"),
    ({"backbone": "resnet9000"}, "resnet9000"),
    ({"n_clusters": 0}, "n_clusters is 0"),
    ({"n_clusters": 500}, "ask for fewer"),
])  # fmt: skip
def test_wrong_choices_are_refused(wrong: dict[str, Any], says: str) -> None:
    x, _ = digits(60)
    with pytest.raises(InputError, match=says):
        JULE(**{"n_clusters": 3, **wrong}).fit(x)


# -- photographs without a pretrained network --------------------------------------------------------------------------


def photographs(n: int = 60) -> np.ndarray[Any, Any]:
    """Pictures of coloured noise, every one far from every other ``-> (n, 16, 16, 3)``."""
    return np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize(("images", "change", "begins_alone"), [
    (photographs(), {}, True),
    (photographs(), {"weight_contrast": 0.0}, False),
    (photographs()[..., 0], {}, False),  # grey
    (photographs()[..., 0], {"weight_contrast": 1.0}, True),
    (np.repeat(photographs(20), 3, axis=0) // 3, {}, False),  # three copies of each
])  # fmt: skip
def test_photographs_are_told_apart_first(
    images: np.ndarray[Any, Any], change: dict[str, Any], begins_alone: bool
) -> None:
    shared: dict[str, Any] = {"n_periods": 2, "n_epochs": 1, "n_final": 1, "warm_epochs": 3, "width": 8}
    model = JULE(n_clusters=4, backbone="convnet", random_state=0, **shared, **change).fit(images)
    counts = [int(row["n_clusters"]) for row in model.result_.history]
    assert (counts[:2] == [len(images)] * 2) == begins_alone
    assert counts[-1] == 4
    assert model.state_.alone == (3 if begins_alone else 0)
    assert len(counts) <= model.state_.planned
    assert (model.state_.planned == 6) == begins_alone


def test_photographs_have_no_final_rounds_unless_asked() -> None:
    shared: dict[str, Any] = {"n_periods": 2, "n_epochs": 1, "warm_epochs": 1, "width": 8, "random_state": 0}
    model = JULE(n_clusters=4, backbone="convnet", **shared).fit(photographs())
    assert [int(row["n_clusters"]) for row in model.result_.history][-1] == 4
    assert len(model.result_.history) == model.state_.planned == 3
    np.testing.assert_array_equal(model.result_.variants["rc"], model.result_.variants["sf"])


def test_rows_of_a_batch_find_their_other_view() -> None:
    """First views of three images, then second views: 0 with 3, 1 with 4, 2 with 5; images 0 and 1 share a cluster."""
    x = sphere(6).detach()
    cosines = x @ x.T / 0.3
    away = {0: [2, 5], 1: [2, 5], 2: [0, 1, 3, 4]}
    terms = [
        torch.logsumexp(cosines[row, [(row + 3) % 6, *away[row % 3]]], 0) - cosines[row, (row + 3) % 6]
        for row in range(6)
    ]
    torch.testing.assert_close(told_apart(x, torch.tensor([8, 8, 2] * 2)), torch.stack(terms).mean())


@pytest.mark.skipif("KINFOLD_DATA" not in os.environ, reason="needs the USPS set under KINFOLD_DATA")
def test_real_digits_reach_their_band() -> None:
    """Two thousand digits of USPS by the fast preset; k-means on their pixels gives less than 0.5."""
    z = np.load(Path(os.environ["KINFOLD_DATA"]) / "usps_11000.npz")
    chosen = np.random.default_rng(0).permutation(len(z["labels"]))[:2000]
    model = JULE(n_clusters=10, preset="fast", random_state=0).fit(z["images"][chosen])
    assert nmi(z["labels"][chosen], model.labels_) > 0.6
