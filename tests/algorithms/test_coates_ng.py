"""Coates-Ng: the one convolution against the patches one by one, its dictionaries, and what its features do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import estimator_checks_generator
from tests.references import patches as plain

from kinfold.algorithms import coates_ng
from kinfold.algorithms.coates_ng import CoatesNg, PatchEncoder, normalise, pooled, sample_patches
from kinfold.benchmark.probe import linear_svm, score
from kinfold.data.images import Images, as_images
from kinfold.errors import InputError
from kinfold.ops.whitening import whitening
from kinfold.runtime import Runtime


def digits(n: int = 300) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))[:n]
    return (data.images[order] * 15).astype(np.uint8), data.target[order]


def learner(**choices: Any) -> CoatesNg:
    settings: dict[str, Any] = {"n_atoms": 30, "patch_size": 4, "n_patches": 4000, "n_iter": 10, "random_state": 0}
    return CoatesNg(**settings | choices)


# -- a value worked out by hand ----------------------------------------------------------------------------------------


def test_one_code_by_hand() -> None:
    """One patch of two pixels 1 and 3: mean 2, unbiased variance 2, so (-1, 1) / sqrt(2 + 2) = (-.5, .5)."""
    x = torch.tensor([1.0, 3.0]).reshape(1, 2, 1, 1)
    atoms = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    given: dict[str, Any] = {"stride": 1, "pool": 1, "threshold": 0.25, "contrast": 2.0}
    encoder = PatchEncoder(atoms, torch.zeros(2), torch.eye(2), (2, 1, 1), encoding="soft", **given)
    torch.testing.assert_close(encoder(x), torch.tensor([[0.0, 0.25, 0.0, 0.25, 0.0, 0.25]]))
    # Distances sqrt(2.5), sqrt(.5), sqrt(2.5); their mean less each.
    encoder = PatchEncoder(atoms, torch.zeros(2), torch.eye(2), (2, 1, 1), encoding="triangle", **given)
    z = torch.tensor([2.5, 0.5, 2.5]).sqrt()
    torch.testing.assert_close(encoder(x), (z.mean() - z).clamp(min=0)[None])


def test_parts_of_an_odd_map() -> None:
    """Split at 14 of 27, as published: the first part is the larger."""
    maps = torch.ones(1, 1, 27, 27)
    assert pooled(maps, 2).tolist() == [[14.0 * 14, 14.0 * 13, 13.0 * 14, 13.0 * 13]]


# -- equal to the plain form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["triangle", "soft", "hard"])
@pytest.mark.parametrize(("channels", "stride", "pool"), [(3, 1, 2), (1, 2, 3)])
def test_one_convolution_equals_the_patches(encoding: str, channels: int, stride: int, pool: int) -> None:
    rng = np.random.default_rng(0)
    side, k = 4, 6
    d = channels * side * side
    images = rng.uniform(0, 1, (3, channels, 11, 9))
    images[1] = 0.7 + 1e-4 * images[1]  # next to no contrast, far from zero
    atoms, mean, whiten = rng.normal(size=(k, d)), rng.normal(size=d), rng.normal(size=(d, d)) / d
    choices: dict[str, Any] = {"stride": stride, "pool": pool, "encoding": encoding, "threshold": 0.25}
    encoder = PatchEncoder(
        *(torch.from_numpy(part).float() for part in (atoms, mean, whiten)), (channels, side, side),
        contrast=1e-4, **choices,
    )  # fmt: skip
    ours = encoder(torch.from_numpy(images).float()).numpy()
    theirs = [plain.features(x, atoms, mean, whiten, side=side, contrast=1e-4, **choices) for x in images]
    np.testing.assert_allclose(ours, np.stack(theirs), rtol=1e-3, atol=1e-3)
    assert ours.shape[1] == encoder.n_features


def test_a_learnt_encoder_equals_the_patches() -> None:
    """With the mean, the whitening and the atoms of a fit, whose patches are taken as the plain form takes them."""
    x, _ = digits(60)
    model = learner(encoding="triangle").fit(x)
    patches = sample_patches(as_images(x), 4000, 4, torch.Generator().manual_seed(0), Runtime(device="cpu"))
    found = whitening(normalise(patches, 10 / 255**2).numpy(), None, form="zca", eps=0.1, unit_length=False)
    mean, whiten = torch.from_numpy(found.mean), torch.from_numpy(found.matrix)
    encoder = PatchEncoder(
        torch.from_numpy(model.atoms_), mean, whiten, (1, 4, 4), encoding="triangle", stride=1, pool=2, threshold=0.25,
        contrast=10 / 255**2,
    )  # fmt: skip
    ours = encoder(torch.from_numpy(x[:2, None] / np.float32(255))).numpy()
    for image, found in zip(x[:2], ours, strict=True):
        theirs = plain.features(
            image[None] / 255, model.atoms_.astype(float), mean.double().numpy(), whiten.double().numpy(), side=4,
            stride=1, pool=2, encoding="triangle", threshold=0.25, contrast=10 / 255**2,
        )  # fmt: skip
        np.testing.assert_allclose(found, theirs, rtol=1e-3, atol=1e-3)


def test_the_machine_ends_at_a_minimum() -> None:
    """Its loss has no slope left, worked out plainly by autograd in float64."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)).astype(np.float32), rng.integers(0, 3, 60)
    weights, bias = (torch.from_numpy(part).double().requires_grad_() for part in linear_svm(x, y, cost=2.0))
    sign = torch.from_numpy(np.where(np.arange(3) == y[:, None], 1.0, -1.0))
    slack = (1 - sign * (torch.from_numpy(x).double() @ weights + bias)).clamp(min=0)
    (((weights**2).sum() + (bias**2).sum()) / 2 + 2.0 * (slack**2).sum() / 60).backward()
    for part in (weights, bias):
        assert part.grad is not None
        assert float(part.grad.abs().max()) < 1e-3


# -- a property, an invariance -----------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 3), h=st.integers(4, 9), w=st.integers(4, 9), parts=st.integers(1, 5))
def test_parts_add_up_to_the_whole(n: int, h: int, w: int, parts: int) -> None:
    maps = torch.rand(n, 2, h, w, generator=torch.Generator().manual_seed(h * w))
    found = pooled(maps, parts)
    assert found.shape == (n, 2 * parts**2)
    torch.testing.assert_close(found.reshape(n, parts**2, 2).sum(1), maps.sum((2, 3)))


def test_brightness_does_not_matter() -> None:
    x, _ = digits(40)
    model = learner().fit(x)
    np.testing.assert_allclose(model.transform(x // 2), model.transform(x // 2 + 80), rtol=1e-3, atol=1e-3)


def test_patches_lie_inside_their_images() -> None:
    """Every image has one value of its own, so a patch that mixed two would show."""
    x = np.repeat(np.arange(50, dtype=np.uint8), 64).reshape(50, 8, 8)
    patches = sample_patches(as_images(x), 500, 3, torch.Generator().manual_seed(0), Runtime(device="cpu"))
    assert patches.shape == (500, 9)
    assert bool((patches == patches[:, :1]).all())
    assert len(patches.unique()) > 40


def test_left_and_right_do_not_count_with_a_mirror() -> None:
    """The code of an image and that of its mirror image are each one half; a table has no mirror image."""
    x, _ = digits(40)
    turned = np.ascontiguousarray(x[..., ::-1])
    plain, model = learner().fit(x), learner(mirror=True).fit(x)
    np.testing.assert_array_equal(plain.atoms_, model.atoms_)
    np.testing.assert_allclose(model.transform(x), (plain.transform(x) + plain.transform(turned)) / 2, atol=1e-5)
    np.testing.assert_allclose(model.transform(x), model.transform(turned), atol=1e-5)
    with pytest.raises(InputError, match="mirror is for images"):
        learner(mirror=True).fit(x.reshape(40, -1))


# -- whole runs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dictionary", "encoding", "band"), [
    ("kmeans", None, 0.93), ("gain-shape", None, 0.93), ("random", None, 0.92), ("kmeans", "hard", 0.88),
])  # fmt: skip
def test_features_separate_digits(dictionary: str, encoding: str | None, band: float) -> None:
    """A linear machine on 600 digits, tested on 600 others."""
    x, y = digits(1200)
    model = learner(dictionary=dictionary, encoding=encoding).fit(x[:600])
    assert score(model.transform(x[:600]), y[:600], model.transform(x[600:]), y[600:])[1] > band


def test_images_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither learning nor encoding ever holds more than a block, and blocks change nothing."""
    x, _ = digits(300)
    whole = learner().fit_transform(x)
    asked: list[int] = []
    read = Images.tensor

    def counted(self: Images, index: Any = None) -> torch.Tensor:
        asked.append(len(index))
        return read(self, index)

    monkeypatch.setattr(Images, "tensor", counted)
    monkeypatch.setattr(coates_ng, "BLOCK", 2**12)
    parts = learner().fit_transform(x)
    assert max(asked) <= 2**12 // 64
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-4)


def test_a_seed_repeats_and_a_pipeline_clusters() -> None:
    x, _ = digits(100)
    one, two = (learner().fit(x).transform(x) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert make_pipeline(learner(), KMeans(3, n_init=1, random_state=0)).fit_predict(x).max() == 2


@pytest.mark.parametrize("check", [c for _, c in estimator_checks_generator(CoatesNg(**CoatesNg._small()))],
                         ids=lambda check: getattr(check, "func", check).__name__)  # fmt: skip
def test_scikit_learn_is_content(check: Any) -> None:
    check(clone(CoatesNg(**CoatesNg._small(), random_state=0)))


# -- bad inputs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wrong", "says"), [
    ({"dictionary": "pca"}, "dictionary is 'pca'"),
    ({"encoding": "sigmoid"}, "encoding is 'sigmoid'"),
    ({"n_atoms": 0}, "n_atoms is 0"),
    ({"pool": 1.5}, "pool is 1.5"),
    ({"whitening": 0.0}, "whitening is 0.0"),
    ({"patch_size": 9}, "expected at most 8"),
    ({"n_atoms": 5000}, "there are only 4000 patches"),
])  # fmt: skip
def test_wrong_choices_are_refused(wrong: dict[str, Any], says: str) -> None:
    x, _ = digits(60)
    with pytest.raises(InputError, match=says):
        learner(**wrong).fit(x)


def test_a_table_is_refused_after_images() -> None:
    x, _ = digits(40)
    with pytest.raises(InputError, match="a table came"):
        learner().fit(x).transform(x.reshape(40, -1))
