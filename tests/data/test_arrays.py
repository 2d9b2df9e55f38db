from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.tiny import Tiny

from kinfold.data import as_images
from kinfold.data.arrays import as_channels, as_pixels, fit_size
from kinfold.data.stream import Arrays
from kinfold.errors import InputError

SIDES = st.integers(4, 9)  # never 1 or 3, which could be channels


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 4),
    h=SIDES,
    w=SIDES,
    c=st.sampled_from([1, 3]),
    seed=st.integers(0, 9),
    dtype=st.sampled_from("ufb"),
)
def test_every_layout_of_the_same_images_gives_the_same_pixels(
    n: int, h: int, w: int, c: int, seed: int, dtype: str
) -> None:
    draw = np.random.default_rng(seed)
    first = {
        "u": draw.integers(0, 256, (n, c, h, w), dtype=np.uint8),
        "f": draw.random((n, c, h, w), dtype=np.float32),
        "b": draw.random((n, c, h, w)) < 0.5,
    }[dtype]
    expected = first.astype(np.uint8) * 255 if dtype == "b" else first
    before = first.copy()
    last = np.ascontiguousarray(np.moveaxis(first, 1, 3))
    layouts = [first, last, torch.from_numpy(first), torch.from_numpy(last), np.asfortranarray(last)]
    if c == 1:
        layouts += [first[:, 0], torch.from_numpy(first[:, 0])]
    for layout in layouts:
        images = as_images(layout)
        assert images.shape == (c, h, w)
        np.testing.assert_array_equal(images.pixels, expected, strict=True)
    np.testing.assert_array_equal(first, before)


@settings(deadline=None, max_examples=60)
@given(shape=st.lists(st.integers(1, 9), min_size=0, max_size=6).map(tuple))
def test_any_shape_is_read_or_refused_in_one_sentence(shape: tuple[int, ...]) -> None:
    try:
        images = as_images(np.zeros(shape, dtype=np.uint8))
    except InputError as error:
        assert str(shape) in str(error)
        assert "\n" not in str(error)
    else:
        assert len(images) == shape[0]
        assert np.prod(images.shape) == np.prod(shape[1:])


def test_an_ambiguous_shape_follows_the_stated_rule() -> None:
    array = np.arange(2 * 3 * 5 * 3, dtype=np.uint8).reshape(2, 3, 5, 3)
    by_numpy, by_torch = as_images(array), as_images(torch.from_numpy(array))
    np.testing.assert_array_equal(by_numpy.pixels, np.moveaxis(array, 3, 1))
    np.testing.assert_array_equal(by_torch.pixels, array)
    assert by_numpy.note == ["shape (2, 3, 5, 3) can be read in two ways; it was read as (n, h, w, c)"]
    assert by_torch.note == ["shape (2, 3, 5, 3) can be read in two ways; it was read as (n, c, h, w)"]
    np.testing.assert_array_equal(as_images(array, shape=(3, 5, 3)).pixels, array)


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((5, 8, 8, 7)), r"images has shape \(5, 8, 8, 7\); expected \(n, h, w\), \(n, h, w, 1\|3\)"),
        (np.zeros(5), "Reshape your data"),
        (np.zeros((2, 2, 2, 2, 2)), "expected"),
        (np.zeros((0, 4)), r"0 sample\(s\)"),
        (np.zeros((4, 0)), r"0 feature\(s\)"),
        (np.zeros((4, 0, 5)), "no pixels"),
        (np.zeros((40, 50, 3)), r"looks like one image; use images\[None\]"),
        (np.zeros((4, 5), dtype=complex), "Complex data not supported"),
        (np.array([["a", "b"]]), "expected numbers"),
        (np.array([[1, np.nan]]), "NaN"),
        (np.full((3, 4, 4), np.inf), "infinity"),
        (np.full((3, 4, 4), 1e300), "too large for dtype"),
        (np.array([object()]), "no array of numbers"),
    ],
)
def test_what_cannot_be_images_is_refused(array: np.ndarray, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        as_images(array)


@pytest.mark.parametrize("shape", [(5, 4), (5, 8, 8), (5, 8, 8, 3)])
def test_masked_values_are_refused(shape: tuple[int, ...]) -> None:
    array = np.ma.MaskedArray(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape), mask=False)
    np.testing.assert_array_equal(as_images(array).pixels, as_images(array.data).pixels)
    array[2, 1] = np.ma.masked
    for read in (
        as_images,
        lambda rows: as_images(list(rows)),
        lambda rows: Arrays(rows, per_part=2, what="array"),
        Tiny(2).fit,
    ):
        with pytest.raises(InputError, match="has masked values; expected none: fill them"):
            read(array)


def test_the_first_bad_row_is_named() -> None:
    array = np.zeros((5, 4, 4))
    array[3, 1, 1] = np.nan
    with pytest.raises(InputError, match="row 3"):
        as_images(array)


def test_integers_in_bytes_are_kept_and_others_stretched() -> None:
    small = np.arange(48, dtype=np.int64).reshape(3, 4, 4)
    np.testing.assert_array_equal(as_images(small).pixels[:, 0], small.astype(np.uint8))
    deep = np.linspace(-500, 70_000, 3 * 400).astype(np.int32).reshape(3, 20, 20)
    images = as_images(deep)
    assert images.pixels.dtype == np.uint8
    assert images.note == ["stretched 3 images of int32 to 0..255 (each from its 0.5 to its 99.5 percentile)"]
    for image in images.pixels:
        assert (image.min(), image.max()) == (0, 255)
    alone = as_images(deep[1:2])
    np.testing.assert_array_equal(alone.pixels[0], images.pixels[1])


@pytest.mark.parametrize("kind", ["<u2", ">u2"])
def test_sixteen_bits_are_stretched_even_when_dark(kind: str) -> None:
    dark = np.zeros((1, 4, 4), dtype=kind)
    dark[0, 0, 0] = 100
    assert as_images(dark).pixels.max() == 255


def test_floats_keep_their_values_and_features_become_float32() -> None:
    values = np.random.default_rng(0).normal(size=(4, 5, 5)) * 1000
    np.testing.assert_array_equal(as_images(values).pixels[:, 0], values.astype(np.float32), strict=True)
    table = as_images(np.arange(6).reshape(2, 3))
    assert table.is_vectors
    assert table.pixels.dtype == np.float32
    half = as_images(torch.ones((2, 4, 4), dtype=torch.bfloat16))
    assert half.pixels.dtype == np.float32


def test_a_shape_converts_channels_and_size() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (3, 20, 30), dtype=np.uint8)
    images = as_images(grey, shape=(3, 10, 10))
    assert images.pixels.shape == (3, 3, 10, 10)
    assert images.note == ["resized 3 images from 20 x 30 to 10 x 10 (height x width; scaled to cover, centre crop)"]
    np.testing.assert_array_equal(images.pixels[:, 0], images.pixels[:, 2])
    colour = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    by_pillow = [np.asarray(Image.fromarray(one.transpose(1, 2, 0)).convert("L")) for one in colour]
    np.testing.assert_array_equal(as_images(colour, shape=(1, 8, 8)).pixels[:, 0], by_pillow)
    floats = as_images(colour / 255.0, shape=(1, 8, 8)).pixels[:, 0]
    np.testing.assert_allclose(floats * 255, by_pillow, atol=1)


def test_a_shape_that_cannot_be_reached_is_refused() -> None:
    with pytest.raises(InputError, match="has 4 features; expected 5, as the model was fitted on"):
        as_images(np.zeros((3, 4)), shape=(5,))
    with pytest.raises(InputError, match="a feature matrix; expected images"):
        as_images(np.zeros((3, 64)), shape=(1, 8, 8))
    with pytest.raises(InputError, match=r"expected \(n, 5\)"):
        as_images(np.zeros((3, 8, 8)), shape=(5,))
    with pytest.raises(InputError, match=r"use images\[None\]"):
        as_images(np.zeros((3, 6, 6)), shape=(3, 6, 6))
    with pytest.raises(InputError, match="1 channels; expected 2"):
        as_channels(np.zeros((1, 4, 4)), 2)


def test_image_size_applies_to_arrays_only_when_asked() -> None:
    array = np.random.default_rng(0).random((2, 200, 300), dtype=np.float32)
    assert as_images(array).shape == (1, 200, 300)
    assert as_images(array, image_size=32).shape == (1, 32, 32)
    assert as_images(array, image_size=(16, 24)).shape == (1, 16, 24)
    for bad in (0, (1, 2, 3), (4, -1), 1.5, "big"):
        with pytest.raises(InputError, match="image_size"):
            as_images(array, image_size=bad)
    with pytest.raises(InputError, match="image_size applies to images only"):
        as_images(np.zeros((3, 4)), image_size=8)


def test_scaling_to_cover_keeps_the_centre() -> None:
    image = np.zeros((1, 20, 60), dtype=np.float32)
    image[:, :, 20:40] = 1
    for one in (image, np.moveaxis(image, 1, 2)):
        small = fit_size(one, (10, 10))
        np.testing.assert_allclose(small, 1, atol=0.1)  # the filter reaches over the edge of the crop
        assert small.max() <= 1


def test_a_large_file_is_converted_through_a_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("kinfold.data.store.MEMORY_BUDGET", 1000)
    values = np.random.default_rng(0).normal(size=(20, 8, 8))
    np.save(tmp_path / "a.npy", values)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    pixels, _ = as_pixels(mapped)
    assert isinstance(pixels.base, np.memmap) or isinstance(pixels, np.memmap)
    np.testing.assert_array_equal(pixels[:, 0], values.astype(np.float32))
    assert not isinstance(as_pixels(values)[0].base, np.memmap)
