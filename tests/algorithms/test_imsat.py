"""IMSAT: its loss against a plain restatement, the released code's constants, its invariances, and small real runs."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from tests.references.imsat import released_loss
from torch import nn

from kinfold.algorithms import imsat
from kinfold.algorithms.imsat import IMSAT, ImsatState, disagreement, information, probabilities, self_augmented
from kinfold.data.images import as_images
from kinfold.data.sample import drawn
from kinfold.errors import InputError
from kinfold.metrics import accuracy
from kinfold.nn.heads import Heads, WithHead
from kinfold.nn.perceptrons import BYTE_SCALE, quiet_init, wide_perceptron
from kinfold.ops.adversarial import adversarial_directions, neighbour_radius, pushed
from kinfold.ops.batch_norm import probing
from kinfold.ops.information import as_prior, kl_to_prior
from kinfold.ops.knn import neighbours
from kinfold.ops.pixels import first_clusters
from kinfold.runtime import Runtime
from kinfold.train import flat

HERE = Runtime(device="cpu", precision="float32")


def digits(n: int = 300) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))[:n]
    return (data.images[order] * 15).astype(np.uint8), data.target[order]


def logits(n: int, k: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, k, generator=generator, dtype=torch.float64).requires_grad_()


# -- a value worked out by hand ----------------------------------------------------------------------------------------


def test_the_loss_by_hand() -> None:
    # Two images, decided, in one of two clusters: H(Y|X) = 0, KL of (1, 0) from equal shares log 2, less the allowed.
    p = torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]])
    away = kl_to_prior(p.mean(0), as_prior(None, 2))
    torch.testing.assert_close(information(p, away, weight=4.0), torch.tensor([4 * math.log(2)]))
    torch.testing.assert_close(information(p, away, weight=4.0, allowed=0.2), torch.tensor([4 * (math.log(2) - 0.2)]))
    torch.testing.assert_close(information(p, away, weight=4.0, allowed=1.0), torch.tensor([0.0]), atol=1e-6, rtol=0)


def test_first_weights_are_the_released_ones() -> None:
    trunk, head = wide_perceptron((1, 28, 28)), nn.Linear(1200, 10)
    quiet_init(trunk, head)
    hidden = [layer.weight.detach() for layer in trunk if isinstance(layer, nn.Linear)]
    for weight in hidden:
        np.testing.assert_allclose(float(weight.std()), math.sqrt(0.1 / weight.shape[1]), rtol=0.01)
    np.testing.assert_allclose(float(head.weight.detach().std()), 0.01 / math.sqrt(1200), rtol=0.03)
    norms = [layer for layer in trunk if isinstance(layer, nn.BatchNorm1d)]
    assert [(norm.eps, norm.momentum) for norm in norms] == [(2e-5, 0.1)] * 2
    assert not hidden[0].requires_grad and all(layer.bias is None for layer in trunk if isinstance(layer, nn.Linear))
    assert float(trunk[0](torch.tensor(1.0))) == 255 / 128 - 1


@pytest.mark.skipif("KINFOLD_DATA" not in os.environ, reason="needs MNIST under KINFOLD_DATA")
def test_the_radius_is_the_authors() -> None:
    """The first values of the released file, whose images are sorted by class: the first three noughts."""
    with np.load(Path(os.environ["KINFOLD_DATA"]) / "mnist.npz") as z:
        x, noughts = flat(as_images(z["images"])), np.flatnonzero(z["labels"] == 0)[:3]
    near = np.sort(np.stack([((x - x[i]) ** 2).sum(1) for i in noughts]), axis=1)[:, 1:]  # without itself
    radius, _ = neighbour_radius(near)
    np.testing.assert_allclose(BYTE_SCALE * radius.numpy(), [9.3803, 10.8613, 9.3762], atol=1e-4)


def test_the_radius_is_the_eleventh_other() -> None:
    x = np.arange(30, dtype=np.float32)[:, None] ** 2
    radius, mended = neighbour_radius(neighbours(x, 11).distance)
    assert mended == 0
    np.testing.assert_allclose(radius[0], 121)
    few, _ = neighbour_radius(neighbours(x[:4], 11).distance)
    np.testing.assert_allclose(few[0], 9)


# -- loss and gradient against the restatement -------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 6), k=st.integers(2, 4), seed=st.integers(0, 99))
def test_the_loss_equals_the_loops(n: int, k: int, seed: int) -> None:
    found = []
    for ours in (True, False):
        x, z = logits(n, k, seed), logits(n, k, seed + 1)
        p, q = x.softmax(1), z.softmax(1)
        if ours:
            away = kl_to_prior(p.mean(0), as_prior(None, k).double())
            value = self_augmented(p, q) + 0.1 * information(p, away, weight=4.0)
            value = value - 0.1 * 4.0 * math.log(k)  # the constant between KL to equal shares and -H(Y)
        else:
            value = released_loss(p, q, 0.1, 4.0)
        value.backward()
        found.append((value.detach(), x.grad, z.grad))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)


def test_a_step_equals_the_released_one_pass_by_pass() -> None:
    """One clean pass in place of two, and a probe for the direction only: the same loss and the same gradients."""
    x, _ = digits(60)
    images = as_images(x)
    model = IMSAT(4, preset="paper", width=12, random_state=0)
    model._raw_shape = images.shape
    with HERE.dice(torch.Generator().manual_seed(0)):
        net = model._network(images.shape).double()
    net.head.linear.weight.data *= 1e3  # far from undecided
    state = ImsatState(net, None, torch.Generator().manual_seed(3), np.zeros(60, dtype=np.int64))
    state.radius = torch.rand(60, generator=torch.Generator().manual_seed(4))
    state.terms, state.weight_marginal = torch.zeros(3, 1), 4.0
    index, batch = np.arange(30), flat(images)[:30].reshape(30, 1, 8, 8)
    batch = torch.from_numpy(batch).double()
    net.train()
    value = model._loss(net, index, batch, state=state, images=images, run=HERE)
    value.backward()
    ours = [w.grad.clone() for w in net.parameters()]
    for w in net.parameters():
        w.grad = None

    start = torch.randn((30, 1, 8, 8), generator=torch.Generator().manual_seed(3)).double()
    d = (start / start.flatten(1).norm(dim=1)[:, None, None, None]).requires_grad_()
    with probing(net):
        clean = net.logits(batch).softmax(1).detach()  # a pass of its own
        moved = net.logits(batch + 10 * 128 / 255 * d).softmax(1)
        (clean * (torch.log(clean + 1e-8) - torch.log(moved + 1e-8))).sum(1).mean().backward()
        for w in net.parameters():
            w.grad = None
        worst = d.grad / d.grad.flatten(1).norm(dim=1)[:, None, None, None]
        changed = net.logits(batch + state.radius[:30, None, None, None] * worst).softmax(1)
    theirs = released_loss(net.logits(batch).softmax(1), changed, 0.1, 4.0)
    theirs.backward()
    torch.testing.assert_close(value - 0.4 * math.log(4), theirs, rtol=1e-5, atol=1e-6)
    for mine, w in zip(ours, net.parameters(), strict=True):
        torch.testing.assert_close(mine, w.grad, rtol=1e-3, atol=1e-6)


def test_a_step_remembers_the_clean_pass_only() -> None:
    net = WithHead(wide_perceptron((4,), (6,)), Heads(6, 3))
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    with probing(net):
        p = probabilities(net, x)
        d = adversarial_directions(
            lambda x: probabilities(net, x), x, torch.ones_like(x), lambda q: self_augmented(p, q).sum()
        )
        probabilities(net, pushed(x, d, 1.0))
    norm = net.trunk[1]
    torch.testing.assert_close(norm.running_mean, torch.zeros(6))
    assert int(norm.num_batches_tracked) == 0


# -- properties and invariances ----------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), k=st.integers(2, 5))
def test_names_of_clusters_do_not_matter(seed: int, k: int) -> None:
    p, q = logits(8, k, seed).softmax(1).detach(), logits(8, k, seed + 1).softmax(1).detach()
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    prior = as_prior(np.arange(1, k + 1) / (k * (k + 1) / 2), k)
    for mine, theirs in (
        (self_augmented(p, q), self_augmented(p[:, order], q[:, order])),
        (kl_to_prior(p.mean(0), prior), kl_to_prior(p[:, order].mean(0), prior)),
    ):
        torch.testing.assert_close(mine, theirs)


def test_batches_of_the_paper_are_drawn_anew() -> None:
    batches = list(drawn(20, 8, 50, torch.Generator().manual_seed(0)))
    assert all(len(set(batch.tolist())) == 8 for batch in batches)
    assert len(np.unique(np.concatenate(batches[:3]))) < 20  # a pass would show all by the third
    model = IMSAT(2, preset="paper", batch_size=40, n_epochs=3)
    state = ImsatState(nn.Identity(), torch.optim.Adam([torch.zeros(1)]), torch.Generator(), np.zeros(130))
    assert [len(batch) for batch in model._batches(state, 130)] == [40, 40, 40]


def test_a_small_set_gets_enough_steps_and_no_short_batch() -> None:
    model = IMSAT(2, batch_size=40, least_steps=7, n_epochs=3)
    state = ImsatState(nn.Identity(), torch.optim.Adam([torch.zeros(1)]), torch.Generator(), np.zeros(130))
    assert [len(batch) for batch in model._batches(state, 130)] == [40] * 7


def test_the_rate_falls_at_the_end() -> None:
    model = IMSAT(2, anneal=0.5, learning_rate=1.0, batch_size=40, least_steps=4, n_epochs=2)
    state = ImsatState(nn.Identity(), torch.optim.Adam([torch.zeros(1)]), torch.Generator(), np.zeros(40))
    rates = []
    for _ in range(2):
        for _ in model._batches(state, 40):
            rates.append(state.optimizer.param_groups[0]["lr"])
            state.step += 1
    half = [(1 + math.cos(math.pi * done)) / 2 for done in (0, 0.25, 0.5, 0.75)]
    np.testing.assert_allclose(rates, [1, 1, 1, 1, *half], atol=1e-12)


# -- the neighbour graph of the learnt features ------------------------------------------------------------------------


def test_clusters_of_the_graph_are_told_by_cross_entropy() -> None:
    z, labels = logits(7, 3, 0), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    expected = nn.functional.cross_entropy(z, labels, label_smoothing=0.1)
    torch.testing.assert_close(disagreement(z.softmax(1)[:, None], labels[:, None])[0], expected)


def test_every_head_hears_its_own_names(fitted: tuple[IMSAT, np.ndarray[Any, Any]]) -> None:
    """A head whose outputs are permuted is asked for permuted labels, so it is told nothing else than the others."""
    model, _ = fitted
    state, heads, x = model.state_, model.state_.net.head, as_images(digits(500)[0])
    first, names = state.guide, state.names
    with torch.no_grad():
        weight = heads.linear.weight.view(heads.n_heads, 10, -1)
        bias = heads.linear.bias.view(heads.n_heads, 10)
        kept = weight[1].clone(), bias[1].clone()
        weight[1], bias[1] = weight[0].roll(3, 0), bias[0].roll(3, 0)
        model._consult(state, x, HERE)
        weight[1], bias[1] = kept
    assert len(state.guide) == 500
    torch.testing.assert_close(state.names[1], (state.names[0] + 3) % 10)
    state.guide, state.names = first, names


def test_clusters_of_unwanted_sizes_do_not_lead(fitted: tuple[IMSAT, np.ndarray[Any, Any]], monkeypatch: Any) -> None:
    model, _ = fitted
    state, x = model.state_, as_images(digits(500)[0])
    kept = state.guide, state.names
    monkeypatch.setattr(imsat, "first_clusters", lambda features, k: np.zeros(len(features), dtype=np.int64))
    model._consult(state, x, HERE)
    assert len(state.guide) == 0
    state.guide, state.names = kept


def test_the_graph_is_consulted_evenly() -> None:
    assert IMSAT(10, n_graphs=4)._graph_epochs(10_000) == {4, 8, 12, 16}
    assert IMSAT(10, n_epochs=2, n_graphs=4)._graph_epochs(10_000) == {1}
    assert IMSAT(1)._graph_epochs(300) == set() == IMSAT(10, preset="paper")._graph_epochs(300)


@pytest.mark.parametrize(
    ("n", "steps", "rounds"), [(300, 40, 20), (10_000, 40, 20), (70_000, 280, 10), (10**6, 4000, 8)]
)
def test_many_images_are_passed_less_often(n: int, steps: int, rounds: int) -> None:
    assert IMSAT(10)._plan(n) == (steps, rounds)
    assert IMSAT(10, n_epochs=3)._plan(n) == (steps, 3)
    assert IMSAT(10, preset="paper")._plan(n)[1] == 50


# -- whole runs --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> tuple[IMSAT, np.ndarray[Any, Any]]:
    x, y = digits(500)
    return IMSAT(10, n_epochs=4, width=16, random_state=0).fit(x, runtime=HERE), y


def test_a_small_run_reaches_its_band(fitted: tuple[IMSAT, np.ndarray[Any, Any]]) -> None:
    model, y = fitted
    assert accuracy(y, model.labels_) > 0.7
    last = model.result_.history[-1]
    assert {"h_y", "h_y_x", "sat", "kl_prior", "mu", "head"} <= set(last)
    assert last["h_y"] > 2.1


def test_the_graph_answers_in_the_end(fitted: tuple[IMSAT, np.ndarray[Any, Any]]) -> None:
    """Its clusters under the names that the head gives them; new images go where their nearest ones are."""
    model, y = fitted
    found = first_clusters(model.embedding_, 10)
    pairs = set(zip(found.tolist(), model.labels_.tolist(), strict=True))
    assert len(pairs) == 10
    said = model.state_.net.head(torch.from_numpy(model.embedding_)).argmax(1).numpy()
    assert np.mean(said == model.labels_) > 0.8
    assert list(model.result_.variants) == ["head"]
    np.testing.assert_array_equal(model.result_.variants["head"], said)
    x, more = digits(900)
    new = model.predict(x[500:], runtime=HERE)
    assert np.mean(model.predict(x[:500], runtime=HERE) == model.labels_) > 0.97
    assert accuracy(more[500:], new) > accuracy(y, model.labels_) - 0.1


def test_clusters_of_the_head_stay_where_the_graph_has_unwanted_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = digits(100)
    monkeypatch.setattr(imsat, "first_clusters", lambda features, k: np.zeros(len(features), dtype=np.int64))
    model = IMSAT(10, n_epochs=1, least_steps=3, width=8, random_state=0).fit(x, runtime=HERE)
    said = model.state_.net.head(torch.from_numpy(model.embedding_)).argmax(1).numpy()
    np.testing.assert_array_equal(model.labels_, said)
    assert model.predict_proba(x, runtime=HERE).shape == (100, 10)


def test_the_chosen_head_answers() -> None:
    x, _ = digits(500)
    model = IMSAT(10, n_epochs=2, n_heads=3, width=16, final="head", random_state=0).fit(x, runtime=HERE)
    heads = model.state_.net.head
    assert int(heads.chosen) == model.result_.history[-1]["head"]
    assert model.result_.variants == {}
    features = torch.from_numpy(model.embedding_)
    torch.testing.assert_close(model._assign(model.state_)(features), heads(features).softmax(1))
    np.testing.assert_array_equal(model.predict(x, runtime=HERE), model.labels_)


def test_the_papers_preset_learns() -> None:
    x, y = digits(600)
    model = IMSAT(10, preset="paper", width=120, batch_size=100, n_epochs=40, random_state=0).fit(x, runtime=HERE)
    assert accuracy(y, model.labels_) > 0.6
    assert model.embedding_.shape == (600, 120)


@pytest.mark.parametrize("change", [
    {"regularizer": "random"},
    {"reach": 0.0, "n_positives": 0},
    {"view_strength": 0.0},
    {"n_epochs": 3, "n_graphs": 2, "view_strength": 0.0},
    {"marginal_rate": 0.1, "batch_size": 20},
    {"slack": 0.1, "prior": (0.3, 0.3, 0.4)},
    {"backbone": "perceptron"},
    {"preset": "paper", "backbone": "convnet", "width": 8},
    {"n_clusters": 1},
])  # fmt: skip
def test_every_choice_runs(change: dict[str, Any]) -> None:
    x, _ = digits(60)
    chosen: dict[str, Any] = {"n_clusters": 3, "n_epochs": 1, "least_steps": 3, "width": 8, "random_state": 0} | change
    model = IMSAT(**chosen).fit(x, runtime=HERE)
    assert model.predict_proba(x).shape == (60, chosen["n_clusters"])
    assert np.isfinite(model.embedding_).all()


def test_vectors_are_clustered() -> None:
    x, y = digits(400)
    model = IMSAT(10, n_epochs=5, least_steps=15, random_state=0).fit(
        x.reshape(len(x), -1).astype(np.float32) / 240, runtime=HERE
    )
    assert accuracy(y, model.labels_) > 0.5


def test_a_dead_run_is_started_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any weight on information all outputs become alike; three restarts, then it ends as it is."""
    monkeypatch.setattr(imsat, "PATIENCE", 4)
    x, _ = digits(60)
    model = IMSAT(
        3, n_epochs=3, least_steps=4, width=8, weight_information=0.0, warm_steps=0, learning_rate=0.02, random_state=0
    )
    model.fit(x, runtime=HERE)
    restarted = [sentence for sentence in model.result_.run["health"] if "restarted after" in sentence]
    assert len(restarted) == model.state_.restarts == 3
    assert "3 clusters" in restarted[0]
    assert model.state_.round == 3 + 3 * 1


def test_the_penalty_is_raised_until_the_constraint_holds() -> None:
    x, y = digits(300)
    kept = np.flatnonzero((y < 2) | (np.arange(300) % 5 == 0))  # two classes outnumber the rest
    model = IMSAT(4, n_epochs=5, least_steps=8, width=8, slack=0.001, weight_marginal=0.01, random_state=0)
    model.fit(x[kept], runtime=HERE)
    raised = [row["mu"] for row in model.result_.history]
    assert raised == sorted(raised)
    assert raised[-1] > raised[0]


def test_stated_shares_are_reached() -> None:
    x, y = digits(900)
    kept = np.flatnonzero((y == 0) | ((y == 1) & (np.arange(900) % 4 == 0)))
    true = np.bincount(y[kept]) / len(kept)
    model = IMSAT(2, n_epochs=4, width=8, prior=tuple(true.tolist()), random_state=0).fit(x[kept], runtime=HERE)
    found = np.bincount(model.labels_, minlength=2) / len(kept)
    np.testing.assert_allclose(np.sort(found), np.sort(true), atol=0.05)
    assert accuracy(y[kept], model.labels_) > 0.95


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wrong", "says"), [
    ({"n_clusters": None}, "IMSAT needs n_clusters"),
    ({"n_clusters": 0}, "n_clusters is 0"),
    ({"n_clusters": 500}, "ask for fewer"),
    ({"preset": "best"}, "preset is 'best'"),
    ({"backbone": "resnet9000"}, "resnet9000"),
    ({"regularizer": "none"}, "regularizer is 'none'"),
    ({"final": "kmeans"}, "final is 'kmeans'"),
    ({"prior": (0.5, 0.5, 0.5)}, "prior sums to 1.5"),
    ({"prior": (0.5, 0.5)}, "one share for each of 3 clusters"),
    ({"prior": (1.0, 0.0, 0.0)}, "prior has a share of 0"),
    ({"batch_size": 29}, "batch_size is 29 for 3 clusters; expected at least 30"),
    ({"view_strength": 2.0}, "view_strength is 2.0"),
    ({"view_strength": "strong"}, "view_strength is 'strong'"),
    ({"slack": -0.1}, "slack is -0.1; expected 0 to 1"),
    ({"n_heads": 0}, "n_heads is 0; expected 1 or more"),
    ({"n_epochs": 0}, "n_epochs is 0"),
    ({"reach": -1.0}, "reach is -1.0"),
    ({"marginal_rate": 0.0}, "marginal_rate is 0.0"),
])  # fmt: skip
def test_wrong_choices_are_refused(wrong: dict[str, Any], says: str) -> None:
    x, _ = digits(60)
    with pytest.raises(InputError, match=says):
        IMSAT(**{"n_clusters": 3, **wrong}).fit(x, runtime=HERE)


def test_images_of_one_kind_are_clustered_without_complaint() -> None:
    x, y = digits(900)
    model = IMSAT(2, n_epochs=1, least_steps=3, width=8, random_state=0).fit(x[y == 3], runtime=HERE)
    assert model.n_clusters_ == 2


def test_constant_images_are_refused() -> None:
    with pytest.raises(InputError, match="all 60 images are identical"):
        IMSAT(2).fit(np.full((60, 8, 8), 7, dtype=np.uint8), runtime=HERE)


def test_duplicates_for_neighbours_give_no_nan() -> None:
    x, _ = digits(60)
    x[20:] = x[0]  # forty copies
    model = IMSAT(3, n_epochs=1, least_steps=3, width=8, random_state=0).fit(x, runtime=HERE)
    assert float(model.state_.radius.min()) > 0
    assert torch.isfinite(model.state_.radius).all()
    nothing, mended = neighbour_radius(np.zeros((5, 3)))
    assert mended == 5 and float(nothing.sum()) == 0


def test_one_cluster_is_no_failure() -> None:
    x, _ = digits(60)
    model = IMSAT(1, n_epochs=1, least_steps=2, width=8, random_state=0).fit(x, runtime=HERE)
    assert "one cluster is what the run aimed at" in model.result_.run["health"][0]
