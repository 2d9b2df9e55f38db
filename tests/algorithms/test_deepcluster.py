"""DeepCluster: losses against plain restatements, and small real runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from tests.references import deepcluster as plain
from tests.references.agreement import agree
from torch import nn

from kinfold.algorithms import deepcluster
from kinfold.algorithms.deepcluster import (
    DeepCluster,
    DeepClusterState,
    centroid_loss,
    pseudo_label_loss,
    swapped_loss,
    views,
)
from kinfold.checks import check_resume_is_exact, check_save_and_load, check_seed_repeats, pictures
from kinfold.errors import InputError
from kinfold.metrics import nmi
from kinfold.ops.whitening import whitening
from kinfold.runtime import Runtime

QUICK: dict[str, Any] = {"n_clusters": 3, "n_rounds": 2, "n_pseudo_clusters": 6, "width": 4, "random_state": 0}


def digits(n: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))[:n]
    return (data.images[order] * 15).astype(np.uint8), data.target[order]


def sphere(n: int, seed: int, d: int = 5) -> torch.Tensor:
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(x, dim=1).requires_grad_()


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_the_loss_of_an_even_head_is_the_logarithm() -> None:
    head = torch.nn.Linear(2, 4)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    loss = pseudo_label_loss(
        torch.nn.Identity(), np.array([1, 0]), torch.ones(2, 2), head=head, targets=torch.tensor([3, 1]),
        run=Runtime(device="cpu"),
    )  # fmt: skip
    torch.testing.assert_close(loss, torch.tensor(np.log(4), dtype=torch.float32))


def test_the_head_sees_rectified_features() -> None:
    head = torch.nn.Linear(1, 2)
    losses = [
        pseudo_label_loss(
            torch.nn.Identity(), np.array([0]), torch.tensor([[value]]), head=head, targets=torch.tensor([0]),
            run=Runtime(device="cpu"),
        )
        for value in (-1.0, 0.0)
    ]  # fmt: skip
    torch.testing.assert_close(losses[0], losses[1])


# -- loss and gradient against the restatement -------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(labels=st.lists(st.integers(0, 2), min_size=2, max_size=4), n_views=st.integers(1, 3), seed=st.integers(0, 99))
def test_centroid_loss_equals_the_loops(labels: list[int], n_views: int, seed: int) -> None:
    x, z, centres = sphere(n_views * len(labels), seed), sphere(n_views * len(labels), seed), sphere(3, 7)
    ours = centroid_loss(x, centres.detach(), torch.tensor(labels), n_views)
    theirs = plain.centroid_loss(list(z.split(len(labels))), centres.detach(), labels)
    agree(ours, theirs, (x, z))


@pytest.mark.parametrize("n_views", [2, 4])
def test_swapped_loss_equals_the_loops(n_views: int) -> None:
    x, z, p, q = sphere(n_views * 4, 0), sphere(n_views * 4, 0), sphere(3, 7), sphere(3, 7)
    ours, theirs = swapped_loss(x, p, n_views), plain.swapped_loss(list(z.split(4)), q)
    agree(ours, theirs, (x, z), (p, q))


def test_names_of_prototypes_do_not_matter() -> None:
    x, p = sphere(8, 0).detach(), sphere(3, 7).detach()
    torch.testing.assert_close(swapped_loss(x, p[[2, 0, 1]], 2), swapped_loss(x, p, 2))


# -- views -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strength", "n_views"), [(1.0, 2), (0.0, 1), (0.0, 2), (0.0, 4)])
def test_views_keep_the_shape(strength: float, n_views: int) -> None:
    x = torch.rand(8, 3, 12, 12)
    made = views(x, torch.Generator().manual_seed(0), strength=strength, n_views=n_views)
    assert made.shape == x.shape
    assert not torch.equal(made, x)


def test_vectors_have_views_too() -> None:
    assert views(torch.rand(6, 3), torch.Generator(), strength=0.0, n_views=2).shape == (6, 3)


# -- whole runs --------------------------------------------------------------------------------------------------------


def test_a_small_run_reaches_its_band() -> None:
    """Recorded: 0.49 on 500 digits of 8 x 8 pixels, after five rounds."""
    x, y = digits(500)
    model = DeepCluster(n_clusters=10, variant="v1", n_rounds=5, n_pseudo_clusters=40, batch_size=64, random_state=0)
    model.fit(x)
    assert nmi(y, model.labels_) > 0.35
    assert (model.predict(x) == model.labels_).mean() > 0.95
    last = model.result_.history[-1]
    assert {"nmi_previous", "reassigned", "seconds_cluster", "seconds_train"} <= set(last)
    assert 0 <= last["reassigned"] < 1


@pytest.mark.parametrize("change", [
    {"variant": "v1"},
    {"variant": "v1", "assignment": "pic", "n_clusters": None},
    {"variant": "v1", "as_released": True, "reassign": 0.5},
    {"variant": "v1", "preset": "paper", "backbone": "small", "learning_rate": 0.01},
    {"variant": "v1", "final": "kmeans"},
    {"small_crops": 1, "remember": True, "final": "kmeans"},
    {"assignment": "sinkhorn", "small_crops": 2},
    {"n_clusters": None, "n_pseudo_clusters": (4, 6)},
    {"preset": "paper", "backbone": "small", "n_pseudo_clusters": (5, 5)},
])  # fmt: skip
def test_every_choice_runs(change: dict[str, Any]) -> None:
    x, _ = digits(90)
    model = DeepCluster(**(QUICK | change)).fit(x)
    assert np.isfinite(model.embedding_).all()
    if change.get("n_clusters", 3) == 3:
        assert model.n_clusters_ == 3
    assert len(model.result_.history) == 2


@pytest.mark.parametrize("variant", ["v1", "v2"])
def test_vectors_and_colour_images_are_clustered(variant: str) -> None:
    rng = np.random.default_rng(0)
    for x in (rng.normal(size=(60, 7)), rng.integers(0, 255, size=(60, 12, 12, 3)).astype(np.uint8)):
        assert len(DeepCluster(**(QUICK | {"variant": variant})).fit(x).labels_) == 60


@pytest.mark.parametrize("check", [check_seed_repeats, check_resume_is_exact, check_save_and_load])
@pytest.mark.parametrize("settings", [{"variant": "v1"}, {"assignment": "sinkhorn"}])
def test_the_other_variants_keep_the_contract(check: Any, settings: dict[str, Any]) -> None:
    check(DeepCluster(**(QUICK | settings)))


def test_a_head_leaves_nothing_behind() -> None:
    model = DeepCluster(**(QUICK | {"variant": "v1"})).fit(pictures())
    optimizer = model.state_.optimizer
    assert optimizer is not None
    assert len(optimizer.param_groups) == 1
    assert set(optimizer.state) <= set(model.state_.net.parameters())


def test_the_graph_follows_clusters_that_are_not_round() -> None:
    """Two long clusters side by side on the sphere: k-means cuts across them."""
    rng = np.random.default_rng(0)
    along, y = rng.uniform(-1, 1, 400), np.repeat([0, 1], 200)
    z = np.stack([np.ones(400), along, np.where(y == 0, -0.1, 0.1) + 0.01 * rng.normal(size=400)], 1).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    state = DeepClusterState(nn.Identity(), None, torch.Generator().manual_seed(0), np.zeros(400, dtype=np.int64))
    found = {name: DeepCluster(2, final=name)._last(z, state, Runtime()) for name in ("graph", "kmeans")}
    assert nmi(y, found["graph"]) == 1.0
    assert nmi(y, found["kmeans"]) < 0.5


def test_two_images_have_clusters() -> None:
    x, _ = digits(2)
    for variant in ("v1", "v2"):
        model = DeepCluster(**(QUICK | {"variant": variant, "n_clusters": 2, "n_rounds": 1})).fit(x)
        assert len(set(model.labels_.tolist())) <= 2


def test_few_images_have_few_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty images in forty components would all be equally far apart: eight are taken."""
    found = []

    def spied(*given: Any, **options: Any) -> Any:
        found.append(whitening(*given, **options))
        return found[-1]

    monkeypatch.setattr(deepcluster, "whitening", spied)
    DeepCluster(**(QUICK | {"variant": "v1"})).fit(digits(40)[0])
    assert [each.n_components for each in found] == [8, 8]


@pytest.mark.parametrize(("wrong", "says"), [
    ({"variant": "v3"}, "variant is 'v3'"),
    ({"assignment": "pic"}, "assignment for v2 is 'pic'"),
    ({"variant": "v1", "assignment": "sinkhorn"}, "assignment for v1 is 'sinkhorn'"),
    ({"as_released": ("sampler",)}, "as_released goes with variant='v1'"),
    ({"variant": "v1", "as_released": ("D1",)}, "as_released is"),
    ({"reassign": 0.0}, "reassign is 0.0"),
    ({"final": "ward"}, "final is 'ward'; expected 'graph' or 'kmeans'"),
    ({"n_pseudo_clusters": 0}, "n_pseudo_clusters is 0"),
    ({"variant": "v1", "n_pseudo_clusters": (3, 4)}, "one for v1"),
    ({"backbone": "resnet9000"}, "resnet9000"),
    ({"n_clusters": 500}, "ask for fewer"),
    ({"backbone": "vgg"}, "backbone is 'vgg'; expected 'auto', 'small', 'alexnet', 'vgg16'"),
])  # fmt: skip
def test_wrong_choices_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        DeepCluster(**(QUICK | wrong)).fit(digits(40)[0])
