"""IIC: values by hand, the plain doubled form, the order of passes, repairs, and what is refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from tests.references import joint_information
from torch import nn

import kinfold
from kinfold import IIC, InputError
from kinfold.algorithms import iic
from kinfold.algorithms.iic import pair
from kinfold.metrics import nmi
from kinfold.nn.backbones import net6c
from kinfold.nn.two_heads import Answer, TwoHeads, first_weights, linear_answer
from kinfold.ops.joint import coarsened, paired_table, table_information
from kinfold.runtime import Runtime

HERE = Runtime(device="cpu", precision="float32")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def digits(n: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    found = load_digits()
    order = np.random.default_rng(0).permutation(len(found.target))[:n]
    return (found.images[order] * 15.9).astype(np.uint8), found.target[order]


def small_net(*, over: int = 6, normalize: bool = False) -> TwoHeads:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = TwoHeads(
            nn.Identity(), nn.Identity(), net6c(1, width=3, kernel=3), (1, 8, 8),
            n_clusters=3, n_over=over, n_heads=2, normalize=normalize,
        )  # fmt: skip
        first_weights(net, gain=1.0)
    return net


# -- the loss ----------------------------------------------------------------------------------------------------------


def test_a_table_of_two_images_by_hand() -> None:
    """Image 0 is sure of cluster 0 in its plain view and halves of both in two others; image 1 is sure of cluster 1."""
    answers = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])[:, None]
    # Pairs: (0,0), (1,1), (0,1), (1,1); symmetric: .25 at (0,0), .125 off the diagonal, .5 at (1,1).
    expected = torch.tensor([[0.25, 0.125], [0.125, 0.5]])
    torch.testing.assert_close(paired_table(answers, 2)[0], expected)


@pytest.mark.parametrize("normalize", [False, True])
def test_loss_and_gradient_are_those_of_the_doubled_form(normalize: bool) -> None:
    """The released code forwards a copy of the plain view for each other view; we forward it once."""
    n, repeats = 5, 3
    x = torch.rand(n, 1, 8, 8, generator=seeded())
    others = torch.rand(repeats * n, 1, 8, 8, generator=seeded(1))
    ours, plain = small_net(normalize=normalize), small_net(normalize=normalize)
    model = IIC(n_clusters=3, marginal_weight=1.2, n_repeats=repeats)
    model._raw_shape = (1, 8, 8)
    heard: dict[str, list[torch.Tensor]] = {"main": [], "over": []}
    index = np.tile(np.arange(n), 1 + repeats)
    value = model._loss(ours, index, torch.cat([x, others]), run=HERE, heard=heard)
    first, second = plain.logits(x.repeat(repeats, 1, 1, 1), ("main", "over")), plain.logits(others, ("main", "over"))
    expected = sum(joint_information.loss(first[name].softmax(2), second[name].softmax(2), 1.2) for name in heard)
    torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
    value.backward()
    expected.backward()
    for (name, one), two in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, atol=2e-5, rtol=1e-3, msg=name)
    assert [len(found) for found in heard.values()] == [1, 1]


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.integers(1, 3), st.integers(0, 1000))
def test_the_order_of_images_and_of_views_changes_nothing(n: int, repeats: int, seed: int) -> None:
    answers = torch.randn(n * (1 + repeats), 2, 4, generator=seeded(seed)).softmax(2)
    order = torch.randperm(n, generator=seeded(seed))
    views = answers.reshape(1 + repeats, n, 2, 4)[:, order]
    shuffled = torch.cat([views[:1], views[1:].flip(0)]).reshape(answers.shape)
    torch.testing.assert_close(paired_table(shuffled, n), paired_table(answers, n))


def test_renaming_clusters_leaves_the_loss() -> None:
    x = torch.rand(12, 1, 8, 8, generator=seeded())
    net, renamed = small_net(), small_net()
    order = torch.tensor([2, 0, 1])
    for head in range(2):
        rows = net.main.rows(head)
        renamed.main.set(head, net.main.weight[rows][order], net.main.bias[rows][order])
    model = IIC(n_clusters=3, n_repeats=2)
    model._raw_shape = (1, 8, 8)
    one, two = (model._loss(each, np.arange(12), x, run=HERE, heard={"main": []}) for each in (net, renamed))
    torch.testing.assert_close(one, two)


def test_views_of_one_image_stand_in_one_column() -> None:
    x = torch.arange(3.0).repeat(3)[:, None]
    found = pair(x, seeded(), plain=lambda v, g: v, other=lambda v, g: v + 10, n_repeats=2)
    torch.testing.assert_close(found[:, 0], torch.tensor([0.0, 1, 2, 10, 11, 12, 10, 11, 12]))


def test_neighbours_are_only_asked_where_distances_tell_something() -> None:
    assert fitted().state_.positives.shape == (60, 5)
    assert fitted(n_positives=0).state_.positives.size == 0
    assert fitted(preset="paper", passes="B", backbone="net6c").state_.positives.size == 0
    colour = np.repeat(digits(60)[0][:, None], 3, axis=1)
    assert IIC(4, n_epochs=1, n_heads=2, width=4).fit(colour, runtime=HERE).state_.positives.size == 0


def test_thirty_steps_find_information() -> None:
    """A slipped sign would leave the information at nought."""
    x, _ = digits(300)
    model = IIC(n_clusters=10, n_epochs=10, n_heads=2, batch_size=100, width=8, random_state=0).fit(x, runtime=HERE)
    assert model.result_.history[-1]["information"] > 0.1


def test_neighbours_choose_the_sub_head_that_answers() -> None:
    """Four kinds of vector, two and two of them neighbours of each other; one sub-head goes by that."""
    kinds = np.arange(80) % 4
    x = np.eye(4, dtype=np.float32)[kinds]
    net = TwoHeads(nn.Identity(), nn.Identity(), nn.Flatten(), (4,), n_clusters=2, n_over=0, n_heads=2, normalize=False)
    sure = 20.0 * torch.tensor([[[1.0, 0, 1, 0], [0, 1, 0, 1]], [[1.0, 1, 0, 0], [0, 0, 1, 1]]])
    for head in range(2):
        net.main.set(head, sure[head], torch.zeros(2))
    model = IIC(n_clusters=2, view_strength=0.0)
    model._raw_shape = (4,)
    state = iic.IICState(net, None, seeded(), np.zeros(80, dtype=np.int64), strength=0.0)
    images, logits = kinfold.as_images(x), net(torch.from_numpy(x))
    torch.testing.assert_close(model._weigh(state, images, logits, HERE), torch.full((2,), np.log(2.0)).float())
    members = np.stack([np.flatnonzero(kinds == kind) for kind in range(4)])
    state.positives = np.stack([members[kinds, 0], members[kinds ^ 1, 0]], axis=1)
    wrong, right = model._weigh(state, images, logits, HERE)
    assert wrong < 0.1
    assert right > 0.69


# -- heads -------------------------------------------------------------------------------------------------------------


def test_the_answer_is_the_chosen_sub_heads() -> None:
    logits = torch.randn(4, 6, generator=seeded())
    torch.testing.assert_close(Answer(1, 2)(logits), logits[:, 2:4].softmax(1))


def test_a_head_made_from_answers_gives_them() -> None:
    features = torch.randn(200, 20, generator=seeded())
    truth = nn.functional.one_hot((features[:, :3]).argmax(1)).float()
    weight, bias = linear_answer(features, truth)
    assert ((features @ weight.T + bias).argmax(1) == truth.argmax(1)).float().mean() > 0.9


def fitted(**settings: Any) -> IIC:
    x, _ = digits(60)
    small = {"n_clusters": 4, "n_epochs": 1, "n_heads": 2, "width": 4, "batch_size": 30, "random_state": 0}
    return IIC(**{**small, **settings}).fit(x, runtime=HERE)


def start(**settings: Any) -> dict[str, torch.Tensor]:
    """Weights before the first step of the same fit: a rate so small that nothing moves."""
    return fitted(**settings, learning_rate=1e-12).result_.weights


@pytest.mark.parametrize(
    ("passes", "released", "main", "over"),
    [("BBA", (), True, True), ("B", (), True, False), ("BBA", ("no-overclustering",), True, False)],
)
def test_passes_teach_the_heads_they_name(passes: str, released: tuple[str, ...], main: bool, over: bool) -> None:
    settings: dict[str, Any] = {"preset": "paper", "passes": passes, "as_released": released, "backbone": "net6c"}
    before, after = start(**settings), fitted(**settings).result_.weights
    moved = {name: not torch.allclose(before[name], after[name], atol=1e-7) for name in before}
    assert moved["main.weight"] is main
    assert moved["over.weight"] is over


def test_the_released_order_is_the_stored_one() -> None:
    model = IIC(preset="paper", as_released=("fixed-order",), batch_size=4)
    model._raw_shape = (1, 28, 28)
    state = iic.IICState(nn.Identity(), None, seeded(), np.zeros(10, dtype=np.int64))

    def order() -> list[int]:
        return [int(i) for batch in model._batches(state, 10) for i in batch[: len(batch) // 6]]  # 5 second views each

    assert order() == list(range(10))
    model.as_released = ()
    assert order() != list(range(10))


def test_a_loaded_run_knows_its_sub_head(tmp_path: Path) -> None:
    x, _ = digits(60)
    model = fitted(n_heads=3)
    net = model.state_.net
    net.chosen.fill_(2)
    model.result_.weights["chosen"] = torch.tensor(2)
    model.result_.save(tmp_path / "run")
    again = kinfold.load(tmp_path / "run")
    expected = torch.from_numpy(model.embedding_)[:, 8:12].softmax(1)
    np.testing.assert_allclose(again.predict_proba(x, runtime=HERE), expected, atol=1e-5)


def test_statistics_are_those_of_the_evaluated_views() -> None:
    """Without tracking, batch norm in evaluation normalises the whole set, whatever training saw."""
    x, _ = digits(60)
    model = fitted(batchnorm_track=False)
    assert np.abs(model.state_.net.trunk[1].running_mean.numpy()).max() > 0
    features = model.state_.net.eval().features(torch.from_numpy(x)[:, None].float() / 255)
    # The running variance divides by one less than the batch does.
    torch.testing.assert_close(features.mean(0), torch.zeros(features.shape[1]), atol=0.03, rtol=0)


# -- whole runs --------------------------------------------------------------------------------------------------------


def test_digits_reach_their_band() -> None:
    x, y = digits(400)
    model = IIC(n_clusters=10, n_epochs=20, n_heads=3, batch_size=100, learning_rate=5e-3, width=8, random_state=0)
    model.fit(x, runtime=HERE)
    assert nmi(y, model.labels_) > 0.6
    assert model.embedding_.shape == (400, 3 * 10 + 3 * 50)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((30, 28, 28), {"preset": "paper"}),
        ((12, 32, 32, 3), {"preset": "paper", "batch_size": 6}),
        ((6, 72, 96, 3), {"preset": "paper", "batch_size": 6, "n_repeats": 1}),
        ((12, 20, 24, 3), {}),
        ((12, 5, 7), {"n_overclusters": 0}),
        ((12, 12, 9, 3), {"sobel": False, "backbone": "net6c", "passes": "ABB"}),
        ((12, 12, 12), {"backbone": "perceptron", "views": "crops"}),
        ((12, 12, 12), {"backbone": "convnet"}),
        ((12, 12, 12, 3), {"backbone": "convnet", "views": "crops"}),
        ((20, 6), {}),
        ((20, 6), {"preset": "paper"}),
    ],
)
def test_any_images_and_vectors_go_in(shape: tuple[int, ...], settings: dict[str, Any]) -> None:
    x = np.random.default_rng(0).integers(0, 255, size=shape)
    x = x.astype(np.float32) if len(shape) == 2 else x.astype(np.uint8)
    model = IIC(n_clusters=2, n_epochs=1, n_heads=2, width=2, random_state=0).set_params(**settings)
    model.fit(x, runtime=HERE)
    assert model.labels_.shape == (shape[0],) and np.isfinite(model.embedding_).all()
    assert model.predict(x[:4], runtime=HERE).shape == (4,)


def test_a_dead_start_is_repeated_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iic, "PATIENCE", 3)
    monkeypatch.setattr(iic, "GAIN", 1e-3)
    model = fitted(n_epochs=2, learning_rate=1e-12)
    assert model.state_.restarts == iic.MOST_RESTARTS
    words = [sentence for sentence in model.result_.run["health"] if "restarted" in sentence]
    assert len(words) == iic.MOST_RESTARTS and "after 4 steps" in words[0]
    assert any("the network was dead" in sentence for sentence in words)


def test_a_small_batch_is_advised_against() -> None:
    words = " ".join(fitted(n_clusters=4, batch_size=30).result_.run["health"])
    assert "a batch holds 30 different images for 4 clusters; with fewer than 10 a cluster its table is noise" in words
    assert "its table is noise" not in " ".join(fitted(n_clusters=3).result_.run["health"])


def test_one_cluster_is_given_at_once() -> None:
    model = fitted(n_clusters=1)
    assert model.labels_.tolist() == [0] * 60 and model.state_.round == 1
    assert any("in one cluster, views can tell nothing" in sentence for sentence in model.result_.run["health"])


def test_images_of_one_class_are_clustered_all_the_same() -> None:
    x, y = digits(200)
    model = IIC(n_clusters=2, n_epochs=1, width=2, random_state=0).fit(x[y == 3], y[y == 3], runtime=HERE)
    assert model.result_.history[-1]["nmi"] == 0


@pytest.mark.parametrize(("wrong", "says"), [
    ({"n_clusters": None}, "IIC needs n_clusters"),
    ({"passes": "AA"}, "passes is 'AA'"),
    ({"views": "blurred"}, "views is 'blurred'"),
    ({"backbone": "resnet9000"}, "resnet9000"),
    ({"as_released": ("clamp",), "preset": "paper"}, "as_released names"),
    ({"as_released": ("fixed-order",)}, "goes with preset='paper'"),
    ({"n_positives": -1}, "n_positives is -1; expected 0 or more"),
    ({"n_heads": 0}, "n_heads is 0; expected 1 or more"),
    ({"batch_size": 1}, "batch_size is 1; expected 2 or more"),
    ({"n_overclusters": 3}, "n_overclusters is 3; expected more than the 3 clusters"),
    ({"view_strength": 2.0}, "view_strength is 2.0"),
])  # fmt: skip
def test_wrong_choices_are_refused(wrong: dict[str, Any], says: str) -> None:
    x, _ = digits(60)
    with pytest.raises(InputError, match=says):
        IIC(**{"n_clusters": 3, **wrong}).fit(x)


def test_vectors_are_refused_where_images_are_needed() -> None:
    with pytest.raises(InputError, match="vectors of 4 numbers came"):
        IIC(n_clusters=2, backbone="net6c").fit(np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32))


def test_the_information_of_a_full_pass_chooses() -> None:
    """A sub-head that answers at random is not the one that speaks."""
    x, _ = digits(200)
    model = IIC(n_clusters=10, n_epochs=20, n_heads=2, batch_size=100, width=8, random_state=0)
    model.fit(x, runtime=HERE)
    net, images = model.state_.net, kinfold.as_images(x)
    best = int(net.chosen)
    net.main.set(best, torch.zeros_like(net.main.weight[net.main.rows(best)]), torch.zeros(10))
    found = model._weigh(model.state_, images, torch.from_numpy(model.embedding_) * 0 + net_logits(net, x), HERE)
    assert int(found.argmax()) == 1 - best
    assert float(found[best]) == pytest.approx(0, abs=1e-6)
    assert float(table_information(torch.eye(10)[None] / 10)) == pytest.approx(np.log(10))


def net_logits(net: TwoHeads, x: np.ndarray[Any, Any]) -> torch.Tensor:
    with torch.no_grad():
        return net.eval()(torch.from_numpy(x)[:, None].float() / 255)


def test_sub_heads_are_made_from_joined_overclusters() -> None:
    """All but the best answer afterwards as the overclustering does with its clusters joined."""
    x, _ = digits(200)
    model = IIC(n_clusters=5, n_epochs=15, n_heads=3, batch_size=100, learning_rate=5e-3, width=8, random_state=0)
    model.fit(x, runtime=HERE)
    state, images = model.state_, kinfold.as_images(x)
    before = state.net.main.weight.detach().clone()
    with torch.no_grad():
        answers = state.net.over(state.net.eval().features(torch.from_numpy(x)[:, None].float() / 255)).softmax(2)
    tables = iic.joint_table(answers, answers)
    model._join(state, images, tables, 1, HERE)
    rows = [state.net.main.rows(head) for head in range(3)]
    torch.testing.assert_close(state.net.main.weight[rows[1]], before[rows[1]])
    found = net_logits(state.net, x)[:, :15].reshape(200, 3, 5).argmax(2)
    for head in (0, 2):
        joined = coarsened(tables[head], 5)[answers[:, head].argmax(1)]
        assert (found[:, head] == joined).float().mean() > 0.85
    assert state.net.main.weight not in state.optimizer.state
