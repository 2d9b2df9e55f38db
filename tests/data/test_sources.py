from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.tarshards import digit_shards
from torch import nn

from kinfold.data import as_images
from kinfold.data.pictures import as_pictures
from kinfold.data.stream import parts_of
from kinfold.embedding import write_features
from kinfold.errors import InputError


@pytest.fixture
def array() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 6, 5), dtype=np.uint8)


def test_array_tensor_list_dataset_npy_and_npz_agree(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", images=array)
    folder = tmp_path / "folder"
    folder.mkdir()
    for i, image in enumerate(array):
        Image.fromarray(image).save(folder / f"{i}.png")
    tensor = torch.from_numpy(array)
    sources = [
        array,
        tensor,
        list(array),
        list(tensor),
        [Image.fromarray(image) for image in array],
        torch.utils.data.TensorDataset(tensor, torch.arange(7)),
        str(tmp_path / "a.npy"),
        tmp_path / "a.npz",
        folder,
    ]
    for source in sources:
        images = as_images(source)
        np.testing.assert_array_equal(images.pixels, array[:, None], strict=True)
    described = [as_images(source).source for source in sources]
    assert described == [
        "array (7, 6, 5)",
        "tensor (7, 6, 5)",
        "list of 7 images",
        "list of 7 images",
        "list of 7 images",
        "TensorDataset",
        "a.npy",
        "a.npz",
        "folder",
    ]


def test_labels_may_be_numbers_text_or_a_column(array: np.ndarray) -> None:
    np.testing.assert_array_equal(as_images(array, labels=range(7)).labels, np.arange(7), strict=True)
    np.testing.assert_array_equal(as_images(array, labels=torch.arange(7)).labels, np.arange(7))
    np.testing.assert_array_equal(as_images(array, labels=np.ones((7, 1))).labels, np.ones(7))
    images = as_images(array, labels=list("bbacabc"))
    np.testing.assert_array_equal(images.labels, [1, 1, 0, 2, 0, 1, 2])
    assert images.label_names == ["a", "b", "c"]
    assert as_images(array).labels is None


@pytest.mark.parametrize("labels", [np.zeros(6), np.zeros((7, 2)), np.full(7, 0.5), np.full(7, np.nan), 3])
def test_labels_that_do_not_fit_are_refused(array: np.ndarray, labels: object) -> None:
    with pytest.raises(InputError, match="labels"):
        as_images(array, labels=labels)


def test_labels_from_folders_need_folders(array: np.ndarray) -> None:
    with pytest.raises(InputError, match="needs files in folders"):
        as_images(array, labels="from-folders")


def test_tables(array: np.ndarray) -> None:
    table = [[1.0, 2.0], [3.0, 4.5]]
    np.testing.assert_array_equal(as_images(table).pixels, np.array(table, dtype=np.float32), strict=True)
    np.testing.assert_array_equal(as_images(np.array(table, dtype=object)).pixels, np.array(table, dtype=np.float32))
    assert as_images(table).names == ["0", "1"]


class Sparse:
    def toarray(self) -> np.ndarray:
        return np.eye(3)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (None, "came as a NoneType; expected a folder"),
        (7, "came as a int"),
        ([], "Reshape your data"),
        ([[1, 2], [3]], "no array of numbers"),
        ([{"a": 1}], "no array of numbers"),
        (Sparse(), "Sparse data was passed"),
        (torch.eye(3).to_sparse(), "sparse tensor"),
        ("nowhere.npz", "no such file or folder"),
        (".", "holds no|no readable image|class folders"),
    ],
)
def test_what_is_no_source_is_told_in_a_sentence(
    source: object, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=sentence) as caught:
        as_images(source)
    assert "\n" not in str(caught.value)


def test_an_empty_name_is_never_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    assert len(as_images(".")) == len(as_pictures(".")) == len(parts_of(".", tmp_path / "listing").names) == 1
    for read in (as_images, as_pictures, lambda source: parts_of(source, tmp_path / "listing")):
        with pytest.raises(InputError, match="came as an empty name"):
            read("")


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"a\.zip is nothing Kinfold reads; expected a folder"):
        as_images(tmp_path / "a.zip")


def test_the_home_folder_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    assert len(as_images("~")) == 1
    write_features(np.zeros((3, 8, 8), dtype=np.uint8), tmp_path / "features", nn.Flatten())
    assert as_images("~/features").shape == (64,)
    digit_shards(tmp_path / "shards", 1, 4)
    assert len(as_images("~/shards")) == 4
    assert len(as_images(["~/a.png"])) == 1
