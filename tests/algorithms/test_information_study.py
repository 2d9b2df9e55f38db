"""The experimental study: its objectives against loops, its transformations by hand, every row of its table."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from tests.references import study as plain
from torch import Tensor, nn

from kinfold.algorithms import information_study
from kinfold.algorithms.information_study import (
    TRANSFORMATIONS,
    Batch,
    InformationStudy,
    UnitRange,
    View,
    apart,
    imsat_loss,
)
from kinfold.benchmark.study import ROWS
from kinfold.checks import pictures
from kinfold.data.images import as_images
from kinfold.errors import InputError
from kinfold.metrics import accuracy
from kinfold.nn.two_heads import TwoHeads
from kinfold.runtime import Runtime

TINY: dict[str, Any] = {"n_epochs": 1, "width": 2, "batch_size": 20, "random_state": 0}


def sure(b: int, k: int, seed: int = 0) -> Tensor:
    x = torch.randn(b, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (2 * x).softmax(1).requires_grad_()


def batch(side: int = 24, n: int = 16, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 1, side, side, generator=generator)
    weights = torch.randn(side * side, 3, generator=generator) / (5 * side)

    def answers(images: Tensor) -> Tensor:
        return (images.flatten(1) @ weights).softmax(1)

    return Batch(torch.rand(n, 1, 28, 28, generator=generator), x, answers(x), answers, generator)


def see(found: Tensor | View) -> View:
    return found if isinstance(found, View) else View(found)


# -- values worked out by hand -----------------------------------------------------------------------------------------


def test_objectives_by_hand() -> None:
    p = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(imsat_loss(p), torch.tensor(-0.4 * np.log(2)).float(), atol=1e-6, rtol=0)
    flat = torch.full((2, 2), 0.5)
    torch.testing.assert_close(apart(p, flat, measure="kl"), torch.tensor(np.log(2)).float())
    torch.testing.assert_close(apart(p, flat, measure="mi"), torch.tensor(0.0))


def test_transformations_by_hand() -> None:
    known = batch()
    mixed = see(TRANSFORMATIONS["mixup"](known))
    share = (mixed.images - known.x.flip(0))[:, 0, 0, 0] / (known.x - known.x.flip(0))[:, 0, 0, 0]
    assert mixed.target is not None
    torch.testing.assert_close(mixed.target, share[:, None] * known.p + (1 - share[:, None]) * known.p.flip(0))
    for name, spread in (("gaussian", 0.1), ("gaussian-mild", 0.05)):
        noise = see(TRANSFORMATIONS[name](known)).images - known.x
        assert float(noise.std()) == pytest.approx(spread, rel=0.1)
    cut = (see(TRANSFORMATIONS["cutout"](known)).images == 0).flatten(1).sum(1).tolist()
    assert set(cut) <= {side * side for side in (6, 8, 10, 12)}
    assert see(TRANSFORMATIONS["geometric"](known)).images.shape == known.x.shape


@pytest.mark.parametrize("name", ["vat-kl", "vat-mi"])
def test_the_adversarial_change_has_its_length(name: str) -> None:
    known = batch(seed=3)
    found = see(TRANSFORMATIONS[name](known))
    change = (found.images - known.x).flatten(1)
    torch.testing.assert_close(change.norm(dim=1), torch.full((16,), 2.0))
    assert found.measure == name.removeprefix("vat-")
    assert not found.remembered


def test_the_adversarial_change_is_worse_than_chance() -> None:
    known = batch(seed=3)
    chance = torch.nn.functional.normalize(torch.randn(known.x.shape, generator=known.generator).flatten(1), dim=1) * 2
    worst = see(TRANSFORMATIONS["vat-kl"](known)).images
    apart_from = partial(apart, known.p, measure="kl")
    by_chance = known.answers(known.x + chance.view_as(known.x))
    assert float(apart_from(known.answers(worst))) > 2 * float(apart_from(by_chance))


# -- loss and gradient against the restatement -------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(b=st.integers(2, 6), k=st.integers(2, 4), seed=st.integers(0, 99))
def test_terms_equal_the_loops(b: int, k: int, seed: int) -> None:
    p, q = sure(b, k, seed), sure(b, k, seed + 1)
    pairs = [
        (imsat_loss(q), plain.imsat(q)),
        (apart(p, q, measure="mi"), -plain.information(p, q)),
        (apart(p, q, measure="kl"), plain.divergence(p, q)),
    ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs)
        torch.testing.assert_close(torch.autograd.grad(ours, q)[0], torch.autograd.grad(theirs, q)[0])


def test_the_whole_loss_equals_the_loops() -> None:
    """IMSAT's and IIC's information, a view inside, two terms beside, from both views."""
    seen: list[tuple[str, Batch, View]] = []

    def keep(name: str, change: Any, known: Batch) -> View:
        found = see(change(known))
        seen.append((name, known, found))
        return found

    inside = partial(keep, "inside", lambda known: known.x.flip(-1))
    shifted = partial(keep, "beside", lambda known: known.x.roll(1, -1))
    mixed = partial(keep, "beside", TRANSFORMATIONS["mixup"])
    model = InformationStudy(
        3, objective="imsat+iic", views=(inside,), side=(shifted, mixed), side_weight=0.3, side_on="both", n_repeats=1
    )
    images, run = as_images(np.random.default_rng(0).random((6, 28, 28))), Runtime(device="cpu", precision="float32")
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(24 * 24, 5), nn.Tanh())
    look = nn.Sequential(UnitRange(), nn.AdaptiveAvgPool2d(24))
    net = TwoHeads(nn.Identity(), look, trunk, (1, 28, 28), n_clusters=3, n_over=0, n_heads=1)
    index = np.arange(6)
    value = model._loss(net, index, torch.zeros(0), images=images, generator=torch.Generator(), run=run)

    def says(x: Tensor) -> Tensor:
        return net.logits(x)["main"][:, 0].softmax(1)

    first = says(seen[0][1].x)
    expected = plain.imsat(first)
    for name, known, found in seen:
        if name == "inside":
            expected = expected - plain.information(first, says(found.images))
        else:
            target = says(known.x).detach() if found.target is None else found.target
            expected = expected + 0.3 * plain.divergence(target, says(found.images))
    assert len(seen) == 5
    torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
    weights = list(net.parameters())
    for ours, theirs in zip(torch.autograd.grad(value, weights), torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


def test_weights_beside_are_the_study_s() -> None:
    assert InformationStudy(objective="imsat")._weight() == 1.0
    assert InformationStudy(objective="imsat+iic")._weight() == 1.0
    assert InformationStudy(objective="iic")._weight() == 0.001


# -- properties and invariances ----------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(b=st.integers(2, 6), k=st.integers(2, 4), seed=st.integers(0, 99))
def test_bounds_and_names(b: int, k: int, seed: int) -> None:
    p, q = sure(b, k, seed).detach(), sure(b, k, seed + 1).detach()
    assert float(apart(p, q, measure="kl")) >= -1e-12
    assert -np.log(k) - 1e-9 <= float(apart(p, q, measure="mi")) <= 1e-9
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    for measure in ("kl", "mi"):
        torch.testing.assert_close(
            apart(p[:, order], q[:, order], measure=measure),  # type: ignore[arg-type]
            apart(p, q, measure=measure),  # type: ignore[arg-type]
        )


def test_the_range_of_the_pixels_does_not_matter() -> None:
    x = pictures()
    found = [InformationStudy(3, **TINY).fit(each).labels_ for each in (x, x.astype(np.float32) / x.max() * 16 - 3)]
    assert found[0].shape == found[1].shape == (60,)
    layer = UnitRange()
    layer.measure(torch.tensor([-3.0, 13.0]))
    torch.testing.assert_close(layer(torch.tensor([-3.0, 5.0, 13.0])), torch.tensor([0.0, 0.5, 1.0]))


# -- whole runs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_study_runs(row: str) -> None:
    model = InformationStudy(3, preset="paper", **(TINY | {"n_repeats": 1} | ROWS[row].parameters)).fit(pictures(40))
    assert model.labels_.shape == (40,)
    assert np.isfinite(model.result_.history[-1]["loss"])


def test_small_digits_reach_their_band() -> None:
    """Recorded: 0.81 on noughts, ones and twos of 8 x 8 pixels, by IMSAT's information with VAT beside it."""
    digits = load_digits()
    some = digits.target < 3
    x = digits.images[some].repeat(2, 1).repeat(2, 2)
    model = InformationStudy(
        3, objective="imsat", views=(), side=("vat-kl",), n_epochs=16, batch_size=40, width=8, random_state=0
    ).fit(x)
    assert accuracy(digits.target[some], model.labels_) > 0.7
    assert model.result_.history[-1]["verdict"] == "well"


def test_a_new_transformation_is_one_function() -> None:
    def dark(known: Batch) -> Tensor:
        return known.x * torch.rand(len(known.x), 1, 1, 1, generator=known.generator)

    for change in ({"views": ("geometric", dark)}, {"side": (dark,)}, {"objective": "imsat", "side": ("mixup", dark)}):
        model = InformationStudy(3, **TINY, **change).fit(pictures(40))
        assert np.isfinite(model.embedding_).all()


def test_colours_and_vectors() -> None:
    x = np.random.default_rng(0).integers(0, 255, (40, 20, 20, 3), dtype=np.uint8)
    assert InformationStudy(3, side=("vat-kl", "cutout"), **TINY).fit(x).predict(x[:4]).shape == (4,)
    x = load_digits().data[:60]
    assert InformationStudy(3, side=("vat-mi", "mixup", "gaussian"), **TINY).fit(x).predict(x[:4]).shape == (4,)


def test_a_dead_run_is_found_counted_and_restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(information_study, "PATIENCE", 1)
    settings: dict[str, Any] = TINY | {"n_epochs": 2, "learning_rate": 0.0}
    model = InformationStudy(3, **settings, restarts=2).fit(pictures(40))
    assert model.result_.run["restarts"] == 2
    assert sum("restarted" in sentence for sentence in model.result_.run["health"]) == 2
    assert model.result_.history[-1]["verdict"] != "well"
    assert len(model.result_.history) == 2 + 2
    left = InformationStudy(3, preset="paper", **settings).fit(pictures(40))
    assert left.result_.run["restarts"] == 0


def test_small_batches_are_advised_against() -> None:
    model = InformationStudy(10, **TINY).fit(pictures(40))
    assert any("raise batch_size" in sentence for sentence in model.result_.run["health"])


def test_one_cluster_is_all_there_is() -> None:
    assert not InformationStudy(1, **TINY).fit(pictures(30)).labels_.any()


@pytest.mark.parametrize(("change", "says"), [
    ({"objective": "mine"}, "objective is 'mine'"),
    ({"views": ("rotation",)}, "there is no transformation 'rotation'"),
    ({"views": ()}, "views is empty"),
    ({"side_on": "none"}, "side_on is 'none'"),
    ({"backbone": "resnet9000"}, "backbone is 'resnet9000'"),
    ({"n_repeats": 0}, "n_repeats is 0"),
    ({"preset": "best"}, "preset is 'best'"),
])  # fmt: skip
def test_wrong_choices_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        InformationStudy(**{"n_clusters": 3, **TINY, **change}).fit(pictures(30))


@pytest.mark.parametrize(("change", "says"), [
    ({"side": ("cutout",)}, "cutout needs images"), ({"backbone": "net6c"}, "needs images, but vectors"),
])  # fmt: skip
def test_what_needs_images_says_so(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        InformationStudy(3, **TINY, **change).fit(load_digits().data[:40])
