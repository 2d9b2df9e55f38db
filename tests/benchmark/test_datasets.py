from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinfold.benchmark import datasets
from kinfold.errors import InputError


def write_umist(folder: Path, n: int = 575) -> np.ndarray:
    """Images whose first pixel is their class, sorted by class."""
    labels = np.sort(np.arange(n) % 20)
    images = np.random.default_rng(0).integers(0, 255, size=(n, 8, 8), dtype=np.uint8)
    images[:, 0, 0] = labels
    np.savez(folder / "umist.npz", images=images, labels=labels)
    return labels


def test_rows_are_shuffled_with_their_labels_and_always_alike(tmp_path: Path) -> None:
    sorted_labels = write_umist(tmp_path)
    images = datasets.load("umist", tmp_path)
    again = datasets.load("umist", tmp_path)
    assert images.labels is not None
    np.testing.assert_array_equal(images.pixels[:, 0, 0, 0], images.labels)
    np.testing.assert_array_equal(images.labels, again.labels)
    assert (images.labels != sorted_labels).mean() > 0.5
    np.testing.assert_array_equal(np.sort(images.labels), sorted_labels)


def test_another_version_of_a_set_is_refused(tmp_path: Path) -> None:
    write_umist(tmp_path, n=300)
    with pytest.raises(InputError, match=r"gives 300 images of 20 classes for 'umist'; expected 575 of 20"):
        datasets.load("umist", tmp_path)


def test_an_absent_set_says_what_to_put_where(tmp_path: Path) -> None:
    assert datasets.find("usps", tmp_path) is None
    with pytest.raises(InputError, match=r"holds no usps_11000.npz .* --data"):
        datasets.load("usps", tmp_path)
    with pytest.raises(InputError, match=r"no benchmark set 'ups'; expected one of umist"):
        datasets.load("ups", tmp_path)


def test_a_set_without_labels_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "frgc.npz", images=np.zeros((20, 8, 8), dtype=np.uint8))
    with pytest.raises(InputError, match=r"frgc.npz has no labels"):
        datasets.load("frgc", tmp_path)


def test_a_set_of_ones_own_may_be_a_folder_of_class_folders(tmp_path: Path) -> None:
    for name, grey in (("blackbird", 10), ("thrush", 200)):
        (tmp_path / "cub" / name).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(np.full((8, 8), grey + i, dtype=np.uint8)).save(tmp_path / "cub" / name / f"{i}.png")
    images = datasets.load("cub", tmp_path)
    assert len(images) == 6
    assert images.labels is not None
    np.testing.assert_array_equal(images.pixels[:, 0, 0, 0] > 100, images.labels == 1)
