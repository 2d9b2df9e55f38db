"""ClusterFit: what can teach, what is learnt from it, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from kinfold.algorithms.cluster_fit import ClusterFit, teacher_of
from kinfold.data.images import Images, as_images
from kinfold.errors import InputError
from kinfold.metrics import nmi
from kinfold.results import Clustering
from kinfold.runtime import Runtime


def digits(n: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    data = load_digits()
    return (data.images[:n] * 15).astype(np.uint8), data.target[:n]


def groups(model: ClusterFit, x: np.ndarray[Any, Any]) -> list[int]:
    return model._groups(as_images(x), torch.Generator().manual_seed(0)).tolist()


# -- values worked out by hand -----------------------------------------------------------------------------------------


def test_groups_by_hand() -> None:
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    assert groups(ClusterFit(teacher=np.array([7, 7, 3, 3, 9, 7])), x) == [1, 1, 0, 0, 2, 1]
    far = np.array([[0.0], [0.1], [5.0], [5.1], [9.0], [9.1]])
    found = groups(ClusterFit(teacher=far, n_groups=3), x)
    assert found[0] == found[1] != found[2] == found[3] != found[4] == found[5]


def test_ten_groups_a_cluster_and_five_images_a_group() -> None:
    x, _ = digits(300)
    assert len(set(groups(ClusterFit(3), x))) == 30
    assert len(set(groups(ClusterFit(10), x))) == 60


# -- loss against the restatement, a property --------------------------------------------------------------------------


def test_the_loss_is_the_groups_cross_entropy() -> None:
    """Loss and gradient of a batch, against the definition with a plain loop."""
    x, _ = digits(40)
    images, run = as_images(x), Runtime(device="cpu", precision="float32")
    model = ClusterFit(2, teacher=np.arange(40) % 3, width=8, random_state=0)
    model._raw_shape = images.shape
    state = model._start(images, run)
    assert state.head is not None
    assert state.groups is not None
    index = np.array([4, 0, 17])
    batch = images.tensor(index).float() / 255
    state.net.eval()
    ours = model._told(state.net, index, batch, state=state, run=run)
    logits = state.head(10 * state.net(batch))
    shares = torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)
    theirs = -sum(torch.log(shares[i, int(state.groups[index[i]])]) for i in range(3)) / 3
    torch.testing.assert_close(ours, theirs)
    weight = state.head.weight
    mine, other = (torch.autograd.grad(value, weight, retain_graph=True)[0] for value in (ours, theirs))
    torch.testing.assert_close(mine, other)


@settings(max_examples=20, deadline=None)
@given(labels=st.lists(st.integers(0, 5), min_size=4, max_size=12), shift=st.integers(1, 9))
def test_names_of_groups_do_not_matter(labels: list[int], shift: int) -> None:
    x = np.random.default_rng(0).normal(size=(len(labels), 3)).astype(np.float32)
    one, two = (groups(ClusterFit(teacher=np.array(labels) * scale + shift), x) for scale in (1, 3))
    assert one == two
    assert max(one) + 1 == len(set(labels))


# -- whole runs --------------------------------------------------------------------------------------------------------


def test_a_small_run_reaches_its_band(tmp_path: Path) -> None:
    """Recorded: NMI 0.75 on 600 digits, taught by their pixels, of which k-means gives 0.73."""
    x, y = digits(600)
    model = ClusterFit(10, n_epochs=15, batch_size=50, width=16, random_state=0).fit(x)
    assert nmi(y, model.labels_) > 0.65
    assert model.result_.run["groups"] == 100
    folder = model.result_.save(tmp_path / "run")
    again = ClusterFit(10, teacher=str(folder), n_epochs=1, width=16, random_state=0).fit(x)
    assert again.result_.run["parameters"]["teacher"] == str(folder)
    assert again.n_clusters_ == 10


def test_pixels_teach_when_nobody_else_does() -> None:
    x, _ = digits(20)
    np.testing.assert_allclose(np.linalg.norm(teacher_of(None, as_images(x)), axis=1), 1, rtol=1e-5)
    table = np.eye(4, dtype=np.float32)
    np.testing.assert_array_equal(teacher_of(None, Images(table)), table)


# -- bad inputs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wrong", "says"), [
    ({"n_clusters": None}, "ClusterFit needs n_clusters"),
    ({"n_epochs": 0}, "n_epochs is 0"),
    ({"n_groups": 99}, "n_groups is 99, but there are 20 images"),
    ({"teacher": np.zeros((3, 2))}, r"teacher has shape \(3, 2\)"),
    ({"teacher": np.zeros(20)}, "float64"),
    ({"teacher": np.full((20, 2), np.nan)}, "teacher holds NaN"),
    ({"teacher": np.arange(20), "n_groups": 3}, "n_groups goes with a teacher's features"),
    ({"teacher": Clustering.of([0, 1], embedding=np.eye(2))}, "a run of 2 other images"),
    ({"teacher": "no/such/folder"}, "no/such/folder"),
])  # fmt: skip
def test_wrong_choices_are_refused(wrong: dict[str, Any], says: str) -> None:
    x = np.random.default_rng(0).integers(0, 255, (20, 8, 8), dtype=np.uint8)
    with pytest.raises(InputError, match=says):
        ClusterFit(**{"n_clusters": 2, **wrong}).fit(x)
