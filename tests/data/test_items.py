from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset

from kinfold.data import as_images
from kinfold.errors import InputError


class Items(Dataset[Any]):
    """A Dataset of given items; an item that is an error is raised."""

    def __init__(self, items: list[Any], classes: list[str] | None = None) -> None:
        self.items = items
        if classes is not None:
            self.classes = classes
        self.reads = 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        self.reads += 1
        if isinstance(self.items[i], Exception):
            raise self.items[i]
        return self.items[i]


def noise(*size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def test_pictures_and_labels() -> None:
    pixels = noise(5, 9, 8, 3)
    data = Items([(Image.fromarray(one), i % 2) for i, one in enumerate(pixels)], classes=["no", "yes"])
    images = as_images(data)
    np.testing.assert_array_equal(images.pixels, pixels.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(images.labels, [0, 1, 0, 1, 0], strict=True)
    assert images.label_names == ["no", "yes"]
    assert data.reads == 5
    np.testing.assert_array_equal(as_images(Subset(data, [3, 1])).pixels, images.pixels[[3, 1]])


@pytest.mark.parametrize("label", [torch.tensor(3), np.int64(3), np.array([3]), True])
def test_labels_of_every_type(label: Any) -> None:
    assert as_images(Items([(noise(6, 6), label)] * 2)).labels.tolist() == [int(np.asarray(label).item())] * 2


@pytest.mark.parametrize("label", ["cat", None, [1, 2], {"boxes": 1}, 0.5])
def test_other_targets_are_no_labels(label: Any) -> None:
    assert as_images(Items([(noise(6, 6), label)] * 2)).labels is None


def test_tensors_and_arrays_in_every_layout() -> None:
    pixels = noise(4, 3, 9, 8)
    for items in (
        [torch.from_numpy(one) for one in pixels],
        [(torch.from_numpy(one),) for one in pixels],
        list(pixels.transpose(0, 2, 3, 1)),
        [one.transpose(1, 2, 0) for one in pixels],
    ):
        np.testing.assert_array_equal(as_images(Items(items)).pixels, pixels)
    floats = torch.rand(3, 1, 7, 7)
    np.testing.assert_array_equal(as_images(Items(list(floats))).pixels, floats.numpy(), strict=True)
    vectors = torch.rand(3, 7)
    images = as_images(Items(list(vectors)))
    assert images.is_vectors
    np.testing.assert_array_equal(images.pixels, vectors.numpy())
    assert as_images(Items([torch.rand(1, 200, 200)])).shape == (1, 200, 200)


def test_sizes_and_colours_follow_the_rule_of_files(tmp_path: Path) -> None:
    pictures = [
        Image.fromarray(noise(20, 20)),
        Image.fromarray(noise(20, 20, 3)),
        Image.fromarray(noise(30, 200, 3)),
        Image.fromarray(noise(10, 10, 4)),
    ]
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / f"{i}.png")
    by_file, by_item = as_images(tmp_path), as_images(Items(pictures))
    np.testing.assert_array_equal(by_item.pixels, by_file.pixels)
    np.testing.assert_array_equal(by_item.duplicate_of, by_file.duplicate_of)
    assert by_item.note == ["resized 4 images to 128 x 128 (scaled to cover, centre crop)"]
    for options in ({"image_size": 16}, {"image_size": (8, 12)}, {"shape": (3, 16, 16)}, {"shape": (1, 9, 9)}):
        by_file, by_item = as_images(tmp_path, **options), as_images(Items(pictures), **options)
        np.testing.assert_allclose(by_item.pixels.astype(int), by_file.pixels, atol=1)
    large = [Image.fromarray(noise(140, 150, 3, seed=i)) for i in range(2)]
    assert as_images(Items(large)).shape == (3, 128, 128)


def test_items_that_cannot_be_read_are_skipped() -> None:
    data = Items([OSError("image file is truncated"), noise(6, 6), ValueError("two\nlines"), noise(6, 6, seed=1)])
    images = as_images(data, labels=[10, 11, 12, 13])
    assert images.names == ["1", "3"]
    np.testing.assert_array_equal(images.labels, [11, 13])
    assert [(one.path, one.reason) for one in images.skipped] == [
        ("0", "OSError: image file is truncated"),
        ("2", "ValueError: two lines"),
    ]
    with pytest.raises(InputError, match=r"Items has no readable item among 1 \(the first: OSError: gone\)"):
        as_images(Items([OSError("gone")]))
    with pytest.raises(InputError, match="Items has no items"):
        as_images(Items([]))


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        (["text"], "item 0 of Items is a str; expected an image"),
        ([{"image": 1}], "item 0 of Items is a dict"),
        ([noise(6, 6), torch.rand(6, 6)], "item 1 of Items is float32, those before uint8"),
        ([torch.rand(4), torch.rand(5)], r"item 1 of Items has shape \(5,\); expected \(4,\)"),
        ([torch.rand(4), torch.rand(1, 5, 5)], "item 1 of Items has shape"),
        ([torch.rand(7, 5, 5)], "item 0 of Items has shape"),
        ([torch.full((4, 4), torch.nan)], "item 0 of Items contains NaN"),
    ],
)
def test_items_that_are_no_images_are_refused(items: list[Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        as_images(Items(items))


def test_integers_are_of_one_kind_in_all_items() -> None:
    deep = np.arange(64, dtype=np.int32).reshape(8, 8) * 60
    dark = np.minimum(deep, 200)
    images = as_images([dark, dark])
    assert images.pixels.max() == 200
    assert images.note == []
    images = as_images([deep, deep + 1])
    assert images.pixels.max() == 255
    assert images.note == [
        "stretched 2 images of integers beyond bytes to 0..255 (each from its 0.5 to its 99.5 percentile)"
    ]
    with pytest.raises(InputError, match=r"item 1 of .* integers that are bytes, those before it beyond bytes"):
        as_images([deep, dark])
    with pytest.raises(InputError, match=r"item 2 of .* integers beyond bytes, those before it that are bytes"):
        as_images([torch.from_numpy(dark), dark, deep])
    assert len(as_images([dark.astype(np.uint16), deep.astype(np.uint16)])) == 2


def test_vectors_must_match_the_model() -> None:
    with pytest.raises(InputError, match="has 4 features; expected 5"):
        as_images(Items([torch.rand(4)]), shape=(5,))


def test_a_stream_that_can_be_read_twice() -> None:
    class Stream(IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            yield Image.fromarray(noise(6, 6)), 1
            yield Image.fromarray(noise(6, 7, 3)), 0

    images = as_images(Stream())
    assert images.shape == (3, 128, 128)
    np.testing.assert_array_equal(images.labels, [1, 0])


def test_beyond_the_budget_items_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinfold.data.store.MEMORY_BUDGET", 100)
    pixels = noise(9, 8, 8)
    for cache in (None, tmp_path):
        images = as_images(Items(list(pixels)), cache=cache)
        assert isinstance(images.pixels, np.memmap)
        np.testing.assert_array_equal(images.pixels[:, 0], pixels)
    assert list(tmp_path.iterdir()) == []
