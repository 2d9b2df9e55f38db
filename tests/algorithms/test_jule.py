"""JULE: its schedule by hand, its choices, and small real runs; its losses are tested with `ops/triplets.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.datasets import load_digits

from kinfold.algorithms.jule import JULE, JuleState
from kinfold.errors import InputError
from kinfold.metrics import nmi
from kinfold.nn.pretrained import available
from kinfold.ops.affinity import graph_of
from kinfold.ops.agglomerate import initial_clusters
from kinfold.ops.batch_norm import norms
from kinfold.ops.centres import at_centres
from kinfold.ops.knn import Neighbours, neighbours
from kinfold.ops.merge_tree import by_size
from kinfold.train import half_cosine


def digits(n: int = 300) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))[:n]
    return (data.images[order] * 15).astype(np.uint8), data.target[order]


# -- the schedule by hand ----------------------------------------------------------------------------------------------


def test_schedule_by_hand() -> None:
    """The released code's counts: MNIST-test 1762, 176, 17, 10 at eta 0.9; UMIST 192, 153, ... at 0.2."""
    for rate, first, target, expected in (
        (0.9, 1762, 10, [176, 17, 10]),
        (0.2, 192, 20, [153, 122, 97, 77, 61, 48, 38, 30, 24, 20]),
    ):
        model = JULE(n_clusters=target, preset="paper", unrolling_rate=rate)
        assert counts(model, first, target) == expected


def test_a_rate_of_merging_plans_its_own_periods() -> None:
    x, _ = digits(200)
    model = JULE(10, preset="fast", unrolling_rate=0.4, n_epochs=1, random_state=0).fit(x)
    rows = model.result_.history
    assert model.state_.planned == model.state_.period + 1 == len(rows)
    assert model.state_.period > 2
    last = (len(rows) - 1) / len(rows)  # one batch a round: the last one begins here
    assert model.state_.optimizer.param_groups[0]["lr"] == pytest.approx(5e-4 * half_cosine(last, last=0.05))


@pytest.mark.parametrize("preset", ["default", "fast", "paper"])
def test_rounds_are_planned_where_the_number_of_clusters_is_given(preset: str) -> None:
    x, _ = digits(150)
    model = JULE(10, preset=preset, n_epochs=1, n_final=0, random_state=0).fit(x)
    assert model.state_.planned == model.state_.period == len(model.result_.history)


def test_a_number_that_fell_is_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clusters that only joined moved nobody, and yet are new ones to learn from."""
    monkeypatch.setattr(JULE, "_learn", lambda *given: 0.0)  # features that never change: nested clusters
    x, _ = digits(300)
    model = JULE(None, preset="fast", n_final=6, smallest=0.0, random_state=0).fit(x)
    found = [row["used"] for row in model.result_.history]
    assert found[-3] > found[-2] == found[-1]
    assert model.state_.final == 2


def test_the_papers_steps_are_those_of_the_released_momentum() -> None:
    """Momentum 0.9 dampened by 0.9 at the rate 0.01 goes as far as plain momentum at 0.001."""
    moved = []
    for released in ((), ("dampening",)):
        model = JULE(3, preset="paper", as_released=released)
        net = model._network((1, 28, 28))
        weight = next(net.parameters())
        with torch.no_grad():
            weight.zero_()
        optimizer = model._optimizer(net)
        for _ in range(1000):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
        moved.append(float(weight.detach().mean()))
        given = JULE(3, preset="paper", as_released=released, learning_rate=0.02)._optimizer(net)
        assert given.param_groups[0]["lr"] == 0.02
    assert moved[0] == pytest.approx(-0.001 * 10 * 1000, rel=0.05)
    assert moved[1] == pytest.approx(moved[0], rel=0.02)


def with_an_isolated_pair() -> tuple[Neighbours, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Two squares of a hundred points, and between them a pair that is nobody's neighbour."""
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(202, 2)).astype(np.float32)
    x[100:200, 0] += 6
    x[200:] = [[3.9, 0.5], [3.9, 0.6]]
    near = neighbours(x, 5)
    return near, x, initial_clusters(near.index[:, 0])


def test_the_papers_periods_begin_without_isolated_clusters() -> None:
    """As released, where there are more than twenty times as many clusters as wanted; the first chains stay."""
    near, x, start = with_an_isolated_pair()
    assert start.max() + 1 > 20 * 2

    def alone(n_clusters: int, *given: Any, **options: bool) -> bool:
        """Whether the merges begin with the pair as a cluster."""
        tree, wanted = JULE(n_clusters, preset="paper")._tree(near, x, *given, **options)
        assert wanted == n_clusters
        assert nmi(np.repeat([0, 1, 1], [100, 100, 2]), tree.cut(2)) == 1
        return bool(np.bincount(tree.start)[tree.start[200]] == 2)

    assert not alone(2, start)
    assert not alone(2, last=True)
    assert alone(4, start)
    assert alone(4, last=True)
    assert alone(2, first=True)


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
    {"negatives": "nearest", "n_local": 2},
    {"bandwidth": "local"},
    {"recalibrate": True},
    {"consensus": True, "n_final": 2},
    {"reassign": True},
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


def small_run(**change: Any) -> JULE:
    settings: dict[str, Any] = {"n_clusters": 10, "n_periods": 1, "n_epochs": 1, "n_final": 2, "random_state": 0}
    return JULE(**settings | change).fit(digits(200)[0])


def test_each_image_may_have_a_bandwidth_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    local = []

    def noted(near: Neighbours, **options: bool) -> csr_array:
        local.append(options["local"])
        return graph_of(near, **options)

    monkeypatch.setattr("kinfold.algorithms.jule.graph_of", noted)
    for bandwidth in ("global", "local"):
        small_run(bandwidth=bandwidth)
    assert local == [False] * (len(local) // 2) + [True] * (len(local) // 2)


def test_statistics_taken_anew_are_those_of_all_images() -> None:
    """The first batch norm's running mean is that of its input over all images, not one that trails behind."""
    x, _ = digits(200)
    for recalibrate in (True, False):
        model = small_run(recalibrate=recalibrate, n_final=0)
        net = model.state_.net
        seen: list[torch.Tensor] = []
        first = norms(net)[0]
        first.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        model.transform(x)
        mean = torch.cat(seen).transpose(0, 1).flatten(1).mean(1)
        assert first.running_mean is not None
        assert torch.allclose(mean, first.running_mean, atol=1e-4) == recalibrate


def test_networks_of_all_final_rounds_agree() -> None:
    """The last clustering looks at the features of every round; new images are still sorted by the last network."""
    model = small_run(consensus=True)
    seen, last = model.state_.seen, model.state_.features
    assert seen is not None
    assert last is not None
    assert seen.shape == (200, model.state_.final * 160)
    torch.testing.assert_close(seen[:, -160:], last)
    near = neighbours(torch.nn.functional.normalize(seen).numpy(), model._n_neighbors(200))
    tree, _ = model._tree(near, torch.nn.functional.normalize(seen).numpy(), last=True)
    np.testing.assert_array_equal(tree.cut(10), model.labels_)
    assert (model.predict(digits(200)[0]) == model.labels_).mean() > 0.8


@pytest.mark.parametrize(("wrong", "says"), [
    ({"loss": "x"}, "loss is 'x'"),
    ({"negatives": "hard"}, "negatives is 'hard'"),
    ({"negatives": "nearest", "preset": "paper"}, "negatives is 'nearest', which goes with loss='triplet'"),
    ({"negatives": "foreseen", "loss": "affinity"}, "negatives is 'foreseen', which goes with loss='triplet'"),
    ({"bandwidth": "narrow"}, "bandwidth is 'narrow'"),
    ({"center": "no"}, "center is 'no'; expected True or False or 'auto'"),
    ({"reassign": "no"}, "reassign is 'no'"),
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


@pytest.mark.skipif("KINFOLD_DATA" not in os.environ, reason="needs the USPS set under KINFOLD_DATA")
def test_real_digits_reach_their_band() -> None:
    """Two thousand digits of USPS by the fast preset; k-means on their pixels gives less than 0.5."""
    z = np.load(Path(os.environ["KINFOLD_DATA"]) / "usps_11000.npz")
    chosen = np.random.default_rng(0).permutation(len(z["labels"]))[:2000]
    model = JULE(n_clusters=10, preset="fast", random_state=0).fit(z["images"][chosen])
    assert nmi(z["labels"][chosen], model.labels_) > 0.6


@pytest.mark.parametrize(("reassign", "suits"), [(True, True), (True, False), (False, True)])
def test_images_go_to_the_nearest_centre_where_that_suits_their_neighbours(
    reassign: bool, suits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the last merges; the tree that is kept agrees."""
    asked: list[np.ndarray[Any, Any]] = []

    def rises(index: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> float:
        asked.append(labels)
        return len(asked) % 2 if suits else 0.0  # of the moved ones, then of those before

    monkeypatch.setattr("kinfold.algorithms.jule.modularity", rises)
    model = small_run(reassign=reassign)
    last = model.state_.features
    assert last is not None
    assert len(asked) == (2 * (1 + model.state_.final) if reassign else 0)
    tree, wanted = model._tree(neighbours(last.numpy(), model._n_neighbors(200)), last.numpy(), last=True)
    labels = tree.cut(wanted)
    moved = at_centres(last.numpy(), labels)
    assert (moved != labels).any()
    np.testing.assert_array_equal(model.labels_, by_size(moved) if reassign and suits else labels)
    np.testing.assert_array_equal(model.result_.cut(10), model.labels_)


@pytest.mark.parametrize("n", [101, 201])
def test_one_image_alone_is_no_batch_of_the_paper(n: int) -> None:
    x = np.random.default_rng(0).normal(size=(n, 6))
    model = JULE(3, preset="paper", n_epochs=1, as_released=("batch-norm",), random_state=0).fit(x)
    assert len(model.labels_) == n


def test_the_papers_first_weights_are_of_what_learns() -> None:
    if not available("efficientnet-lite0"):
        pytest.skip("the pretrained backbone is not installed")
    x = np.random.default_rng(0).integers(0, 256, (24, 64, 64, 3), dtype=np.uint8)
    model = JULE(3, preset="paper", backbone="efficientnet-lite0", n_epochs=1, random_state=0).fit(x)
    np.testing.assert_allclose(model.transform(x), model.embedding_, atol=1e-4)
