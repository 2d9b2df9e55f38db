"""IIC for segmentation: its loss against loops, its maps in place, and small real runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from tests.references import pixel_information
from tests.torchrun import run_twice

from kinfold.algorithms import iic_segmentation
from kinfold.algorithms.iic_segmentation import IICSegmentation, crops, segmentation_loss, shifted_tables
from kinfold.errors import InputError
from kinfold.metrics import accuracy
from kinfold.report import write_segmentation_report
from kinfold.runtime import Runtime

SMALL: dict[str, Any] = {
    "n_steps": 4, "width": 2, "crop_size": 16, "batch_size": 4, "n_heads": 2, "radius": 1, "random_state": 0,
}  # fmt: skip


def maps(b: int, k: int, h: int, w: int, seed: int) -> torch.Tensor:
    x = torch.randn(b, 1, k, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x.softmax(2).requires_grad_()


def textures(n: int = 3, side: int = 64, seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pictures of three textures of equal brightness, in bands of random order: columns, bars, squares at random."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    pictures, truth = [], []
    for i in range(n):
        kinds = rng.permutation(3)[3 * (x if i % 2 else y) // side]
        squares = rng.choice([-1, 1], (side // 2, side // 2)).repeat(2, 0).repeat(2, 1)
        grey = np.choose(kinds, [np.sin(1.2 * x + rng.uniform(0, 6)), np.sin(1.2 * y + rng.uniform(0, 6)), squares])
        pictures.append((128 + 60 * grey + rng.normal(0, 15, grey.shape)).clip(0, 255).astype(np.uint8))
        truth.append(kinds)
    return np.stack(pictures), np.stack(truth)


# -- a value worked out by hand ----------------------------------------------------------------------------------------


def test_a_row_of_two_classes_by_hand() -> None:
    p = torch.zeros(1, 1, 2, 1, 4)
    p[0, 0, 0, 0, :2] = p[0, 0, 1, 0, 2:] = 1.0  # a a b b
    tables = shifted_tables(p, p, 1)
    expected = [[[1, 0], [1, 1]], [[2, 0], [0, 2]], [[1, 1], [0, 1]]]  # a pixel to the left; in place; to the right
    torch.testing.assert_close(tables[0], torch.tensor(expected).float())
    # In place a bit is known; a pixel aside (1/3 1/6; 1/6 1/3) leaves log 2 + (2/3) log(2/3) + (1/3) log(1/3).
    aside = np.log(2) + 2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3)
    torch.testing.assert_close(segmentation_loss(tables), torch.tensor([-(np.log(2) + 2 * aside) / 3]).float())


# -- loss and gradient against the restatement -------------------------------------------------------------------------


@pytest.mark.parametrize(("radius", "weight"), [(0, 1.0), (1, 1.0), (2, 1.5)])
def test_loss_and_gradient_equal_the_loops(radius: int, weight: float) -> None:
    first, second = maps(2, 3, 5, 4, 0), maps(2, 3, 5, 4, 1)
    ours = segmentation_loss(shifted_tables(first, second, radius), marginal_weight=weight).sum()
    gradients = torch.autograd.grad(ours, (first, second))
    theirs = pixel_information.loss(first[:, 0], second[:, 0], radius, weight)
    torch.testing.assert_close(ours, theirs)
    for mine, other in zip(gradients, torch.autograd.grad(theirs, (first, second)), strict=True):
        torch.testing.assert_close(mine, other)


def test_float32_is_enough() -> None:
    first, second = maps(2, 3, 32, 32, 0), maps(2, 3, 32, 32, 1)
    exact = segmentation_loss(shifted_tables(first, second, 10))
    torch.testing.assert_close(
        segmentation_loss(shifted_tables(first.float(), second.float(), 10)).double(), exact, rtol=1e-3, atol=1e-6
    )


# -- properties and invariances ----------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(k=st.integers(2, 4), h=st.integers(1, 6), w=st.integers(1, 6), radius=st.integers(0, 3), seed=st.integers(0, 9))
def test_the_loss_lies_between_minus_log_k_and_zero(k: int, h: int, w: int, radius: int, seed: int) -> None:
    first, second = maps(2, k, h, w, seed), maps(2, k, h, w, seed + 1)
    loss = float(segmentation_loss(shifted_tables(first, second, radius)).detach())
    assert -np.log(k) - 1e-6 <= loss <= 1e-6


def test_names_of_classes_and_sub_heads_do_not_matter() -> None:
    first, second = maps(2, 3, 5, 4, 0), maps(2, 3, 5, 4, 1)
    plain = segmentation_loss(shifted_tables(first, second, 2))
    renamed = segmentation_loss(shifted_tables(first[:, :, [2, 0, 1]], second[:, :, [2, 0, 1]], 2))
    torch.testing.assert_close(renamed, plain)
    both = segmentation_loss(shifted_tables(first.expand(-1, 2, -1, -1, -1), second.expand(-1, 2, -1, -1, -1), 2))
    torch.testing.assert_close(both, plain.expand(2))


def test_tables_of_shares_add_up() -> None:
    first, second = maps(4, 3, 5, 4, 0), maps(4, 3, 5, 4, 1)
    parts = [shifted_tables(first[i::2], second[i::2], 2) for i in (0, 1)]
    torch.testing.assert_close(parts[0] + parts[1], shifted_tables(first, second, 2))


def test_crops_come_from_where_they_say() -> None:
    pictures = [torch.arange(20 * 30).reshape(1, 20, 30).float(), torch.zeros(1, 40, 20)]
    found = crops(pictures, 50, 64, torch.Generator().manual_seed(0))
    assert found.shape == (50, 1, 20, 20)
    from_first = [each for each in found if each.any()]
    assert 5 < len(from_first) < 45
    for each in from_first:
        torch.testing.assert_close(each[0, 1:] - each[0, :-1], torch.full((19, 20), 30.0))


# -- whole runs --------------------------------------------------------------------------------------------------------


def test_textures_reach_their_band() -> None:
    """Recorded: 0.958 on the fitted pictures, 0.955 on new ones."""
    pictures, truth = textures()
    model = IICSegmentation(3, n_steps=150, width=8, crop_size=32, n_heads=2, radius=3, random_state=0).fit(pictures)
    assert accuracy(truth.ravel(), model.labels_.ravel()) > 0.85
    new, truth = textures(2, seed=5)
    assert accuracy(truth.ravel(), model.predict(new).ravel()) > 0.8
    assert -2 * np.log(3) < model.loss_ < -np.log(3)
    assert model.history_[-1]["loss"] < model.history_[0]["loss"]


def test_a_mosaic_of_photographs_reaches_its_band() -> None:
    """Recorded: 0.987 on half brick, half grass."""
    from skimage import data

    brick, grass = (each()[::2, ::2] for each in (data.brick, data.grass))
    truth = np.zeros((96, 128), dtype=np.int64)
    truth[:, 64:] = 1
    mosaic = np.where(truth == 0, brick[:96, :128], grass[:96, :128])
    model = IICSegmentation(2, n_steps=100, width=8, crop_size=32, n_heads=2, radius=3, random_state=0).fit(mosaic)
    assert accuracy(truth.ravel(), model.labels_.ravel()) > 0.85


def test_a_photograph_is_cut_into_regions(tmp_path: Path) -> None:
    """The astronaut of scikit-image: classes are regions, they do not follow the mirror, and the report shows them."""
    from skimage import data

    photograph = data.astronaut()[::4, ::4]
    model = IICSegmentation(3, n_steps=60, width=8, crop_size=32, n_heads=2, radius=3, random_state=0).fit(photograph)
    classes = model.labels_[0]
    assert np.bincount(classes.ravel(), minlength=3).min() > 0.05 * classes.size
    assert (classes[1:] == classes[:-1]).mean() > 0.9
    mirrored = model.predict(photograph[:, ::-1].copy())[0][:, ::-1]
    assert (mirrored == classes).mean() > 0.8
    page = write_segmentation_report(photograph, model.labels_, tmp_path / "astronaut.html")
    assert page.read_text().count("data:image/png;base64,") == 3


def test_pictures_of_any_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sizes = [(16, 40, 3), (33, 21, 3), (24, 24)]
    pictures = [rng.integers(0, 255, size, dtype=np.uint8) for size in sizes]
    model = IICSegmentation(2, **SMALL).fit(pictures)
    assert [each.shape for each in model.labels_] == [size[:2] for size in sizes]
    assert model.predict(pictures[0]).shape == (1, 16, 40)
    probability = model.predict_proba([pictures[1]])
    assert probability.shape == (1, 2, 33, 21)
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(probability.argmax(1), model.predict([pictures[1]]))


def test_a_large_picture_is_looked_at_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.random.default_rng(0).random((201, 37))
    model = IICSegmentation(2, **SMALL).fit(picture)
    whole = model.predict_proba(picture)
    monkeypatch.setattr(iic_segmentation, "BAND", 37 * 50)
    np.testing.assert_allclose(model.predict_proba(picture), whole, atol=1e-5)


def test_a_seed_repeats_and_input_is_untouched() -> None:
    pictures, _ = textures(2, 32)
    pictures.flags.writeable = False
    dice = torch.get_rng_state()
    one, two = (clone(IICSegmentation(2, **SMALL)).fit(pictures) for _ in range(2))
    np.testing.assert_array_equal(one.labels_, two.labels_)
    assert one.history_ == two.history_
    assert torch.equal(dice, torch.get_rng_state())


def test_stopped_and_resumed_equals_straight_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iic_segmentation, "STEPS_A_ROUND", 2)
    pictures, _ = textures(2, 32)
    straight = IICSegmentation(2, **SMALL).fit(pictures)
    stopped = IICSegmentation(2, **SMALL)
    kept = stopped._round

    def interrupted(state: Any, *others: Any) -> None:
        if state.round == 1:
            raise KeyboardInterrupt
        kept(state, *others)

    stopped._round = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(pictures, runtime=Runtime(device="cpu", folder=tmp_path))
    with pytest.raises(InputError, match="holds an unfinished run"):
        IICSegmentation(2, **SMALL).fit(pictures, runtime=Runtime(device="cpu", folder=tmp_path))
    with pytest.raises(InputError, match="was begun with n_clusters=2, not 3"):
        IICSegmentation(3, **SMALL).fit(pictures, runtime=Runtime(device="cpu", folder=tmp_path, resume=True))
    resumed = IICSegmentation(2, **SMALL).fit(pictures, runtime=Runtime(device="cpu", folder=tmp_path, resume=True))
    assert resumed.history_ == straight.history_
    for name, weight in straight.state_.net.state_dict().items():
        assert torch.equal(weight, resumed.state_.net.state_dict()[name]), name


def test_two_processes_are_as_one(tmp_path: Path) -> None:
    run_twice("tests.algorithms.test_iic_segmentation", tmp_path, timeout=240)
    two = np.load(tmp_path / "two.npz")
    one = IICSegmentation(2, **SMALL).fit(textures(2, 32)[0], runtime=Runtime(device="cpu", precision="float32"))
    np.testing.assert_allclose(two["loss"], [row["loss"] for row in one.history_], rtol=1e-4)
    assert (two["labels"] == one.labels_).mean() > 0.99


def test_both_presets_run() -> None:
    pictures, _ = textures(1, 32)
    model = IICSegmentation(3, preset="paper", **SMALL).fit(pictures)
    assert model.labels_.shape == (1, 32, 32)


def test_dead_starts_are_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iic_segmentation, "STEPS_A_ROUND", 1)
    model = IICSegmentation(2, **{**SMALL, "learning_rate": 0.0, "n_steps": 5}).fit(textures(1, 32)[0])
    assert 1 <= model.history_[-1]["restarts"] <= 2


@pytest.mark.parametrize(("pictures", "change", "says"), [
    (np.full((2, 20, 20), 7, dtype=np.uint8), {}, "every pixel of every picture is the same"),
    (np.zeros((2, 20, 8)), {}, "picture 0 has 20 x 8 pixels"),
    (np.full((20, 20), np.nan), {}, "NaN"),
    (np.zeros((2, 20, 20, 7)), {}, r"shape \(2, 20, 20, 7\)"),
    ([], {}, "no picture"),
    (np.eye(20), {"n_clusters": 0}, "n_clusters is 0"),
    (np.eye(20), {"preset": "best"}, "preset is 'best'"),
    (np.eye(20), {"crop_size": 4}, "crop_size is 4"),
    (np.eye(20), {"radius": -1}, "radius is -1"),
])  # fmt: skip
def test_bad_input_is_one_sentence(pictures: Any, change: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        IICSegmentation(**{"n_clusters": 2, **SMALL, **change}).fit(pictures)
    assert "\n" not in str(caught.value)


def test_one_class_is_all_there_is() -> None:
    assert not IICSegmentation(1, **SMALL).fit(textures(1, 32)[0]).labels_.any()


if __name__ == "__main__":
    fitted = IICSegmentation(2, **SMALL).fit(textures(2, 32)[0], runtime=Runtime(device="cpu", precision="float32"))
    if Runtime().is_main:
        losses = [row["loss"] for row in fitted.history_]
        np.savez(Path(sys.argv[1]) / "two.npz", loss=losses, labels=fitted.labels_)
