from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from kinfold.data import Images, Skipped, as_images
from kinfold.errors import InputError, KinfoldError


@pytest.fixture
def images() -> Images:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 10), dtype=np.uint8)
    pixels[4] = pixels[1]
    return Images(
        pixels,
        names=[f"a/{i}.png" for i in range(6)],
        labels=np.arange(6, dtype=np.int64),
        label_names=list("abcdef"),
        skipped=[Skipped("a/x.png", "empty file")],
        source="a",
        note=["resized"],
    )


def test_images_are_returned_as_they_are(images: Images) -> None:
    assert as_images(images) is images
    assert as_images(images, shape=(3, 8, 10)) is images
    named = as_images(images, labels=list("xyxyxy"))
    np.testing.assert_array_equal(named.labels, [0, 1, 0, 1, 0, 1])
    assert named.label_names == ["x", "y"]
    assert named.pixels is images.pixels
    np.testing.assert_array_equal(images.labels, np.arange(6))


def test_images_in_another_shape(images: Images) -> None:
    other = as_images(images, shape=(1, 4, 4))
    assert other.shape == (1, 4, 4)
    assert (other.names, other.label_names, other.skipped) == (images.names, images.label_names, images.skipped)
    assert as_images(images, image_size=5).shape == (3, 5, 5)
    assert images.shape == (3, 8, 10)


def test_files_are_decoded_again_for_another_shape(tmp_path: Path) -> None:
    for i in range(3):
        Image.new("RGB", (300, 300), (i, 0, 0)).save(tmp_path / f"{i}.png")
    small = as_images(tmp_path, image_size=8, labels=[4, 5, 6])
    (tmp_path / "1.png").unlink()
    large = as_images(small, shape=(3, 200, 200))
    assert large.pixels.shape == (2, 3, 200, 200)
    np.testing.assert_array_equal(large.labels, [4, 6])
    assert [one.path for one in large.skipped] == ["1.png"]


def test_select_takes_everything_along(images: Images) -> None:
    for index in ([4, 1], np.array([4, 1]), torch.tensor([4, 1]), slice(4, 0, -3)):
        some = images.select(index)
        np.testing.assert_array_equal(some.pixels, images.pixels[[4, 1]])
        assert some.names == ["a/4.png", "a/1.png"]
        np.testing.assert_array_equal(some.labels, [4, 1])
        np.testing.assert_array_equal(some.duplicate_of, [-1, 0])
        assert some.source == "a"
    assert images.select(np.arange(6) > 3).names == ["a/4.png", "a/5.png"]
    assert len(images.select([])) == 0


def test_tensors_are_copies(images: Images) -> None:
    before = images.pixels.copy()
    for index in (None, slice(0, 3), [0, 2], np.arange(6) % 2 == 0, torch.tensor([1])):
        rows = images.tensor(index)
        assert rows.dtype == torch.uint8
        assert rows.is_contiguous()
        rows.zero_()
    np.testing.assert_array_equal(images.pixels, before)
    torch.testing.assert_close(images.tensor([5, 0]), torch.from_numpy(before[[5, 0]]))
    with pytest.raises(InputError, match="index has dtype float64"):
        images.tensor([0.5])


def test_pixels_cannot_be_written_and_inputs_are_untouched() -> None:
    array = np.random.default_rng(0).random((4, 5, 5), dtype=np.float32)
    before = array.copy()
    images = as_images(array)
    with pytest.raises(ValueError, match="read-only"):
        images.pixels[0] = 0
    assert array.flags.writeable
    images.thumbnail(0)
    images.duplicate_of  # noqa: B018 - computed on first use
    np.testing.assert_array_equal(array, before)


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 2)), elements=st.sampled_from([0.0, -0.0, 1.0]))
)
def test_duplicates_point_to_the_first_of_their_kind(table: np.ndarray) -> None:
    found = Images(table).duplicate_of
    rows = [tuple(row + 0.0) for row in table]
    expected = [rows.index(row) if rows.index(row) < i else -1 for i, row in enumerate(rows)]
    np.testing.assert_array_equal(found, expected)


def test_thumbnails(images: Images, tmp_path: Path) -> None:
    picture = images.thumbnail(0, 40)
    assert (picture.mode, picture.size) == ("RGB", (40, 32))
    Image.new("RGB", (300, 150), (250, 0, 0)).save(tmp_path / "a.jpg")
    files = as_images(tmp_path)
    assert files.thumbnail(0, 64).size == (64, 32)
    (tmp_path / "a.jpg").unlink()
    assert files.thumbnail(0, 64).size == (64, 64)  # from the decoded pixels
    vectors = Images(np.random.default_rng(0).normal(size=(2, 500)).astype(np.float32))
    assert vectors.thumbnail(1, 32).size == (32, 32)
    assert vectors.thumbnail(1, 32).getextrema() != ((255, 255),) * 3
    floats = Images(np.linspace(-3, 9, 16, dtype=np.float32).reshape(1, 1, 4, 4))
    assert floats.thumbnail(0, 4).getextrema()[0] == (0, 255)
    half = Images(np.full((1, 1, 4, 4), 0.5, dtype=np.float32))
    assert half.thumbnail(0, 4).getpixel((0, 0)) == (128, 128, 128)


def test_errors_are_both_ours_and_values() -> None:
    assert issubclass(InputError, KinfoldError)
    with pytest.raises(ValueError, match="expected"):
        as_images(3.5)


def test_repr_says_what_it_is(images: Images) -> None:
    assert repr(images) == "Images(6 images (3, 8, 10), uint8, from a)"
