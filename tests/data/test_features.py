"""Folders of features: read like an array, and never wrong without saying so."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fulldisk import fill_disk
from torch import nn

from kinfold.data import as_images
from kinfold.data.features import FeatureShards, PartWriter, is_features
from kinfold.embedding import write_features
from kinfold.errors import InputError, KinfoldError, NoRoomError

ROWS = np.random.default_rng(0).normal(size=(11, 3)).astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("features") / "f"
    write_features(ROWS, place, nn.Flatten(), part_size=4, batch_size=3)
    return place


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    place = tmp_path / "f"
    place.mkdir()
    for file in folder.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


def test_rows_are_those_that_were_written(folder: Path) -> None:
    shards = FeatureShards(folder)
    assert shards.shape == (11, 3)
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in shards.blocks(size=2)]), ROWS)
    assert [start for start, _ in shards.blocks(size=3)] == [0, 3, 4, 7, 8]
    shares = [dict(shards.blocks(rank, 2, size=3)) for rank in (0, 1)]
    assert [sorted(share) for share in shares] == [[0, 4, 8], [3, 7]]
    np.testing.assert_array_equal(shares[1][7], ROWS[7:8])
    np.testing.assert_array_equal(shards.take([3, 9]), ROWS[[3, 9]])
    assert isinstance(shards.part(0), np.memmap)
    assert np.load(folder / "part-000002.npy").dtype == np.float16
    assert list(shards.table())[10] == ("10", "")


@given(st.lists(st.integers(-11, 10), max_size=20))
@settings(deadline=None, max_examples=30)
def test_any_choice_of_rows_is_that_of_an_array(folder: Path, index: list[int]) -> None:
    shards = FeatureShards(folder, check=False)
    where = np.array(index, dtype=np.int64)
    np.testing.assert_array_equal(shards[where], ROWS[where])


def test_slices_masks_and_single_rows(folder: Path) -> None:
    shards = FeatureShards(folder)
    for index in (slice(2, 9, 3), slice(None), np.arange(11) % 2 == 0):
        np.testing.assert_array_equal(shards[index], ROWS[index])
    np.testing.assert_array_equal(shards[-1], ROWS[-1])
    with pytest.raises(IndexError, match="there are 11 rows"):
        shards[[11]]
    with pytest.raises(IndexError, match=r"a mask of shape \(3,\) came; there are 11 rows"):
        shards[np.ones(3, dtype=bool)]
    with pytest.raises(IndexError, match="positions of type float64 came; expected whole numbers"):
        shards[np.array([0.9, 1.7])]


def test_a_folder_of_features_is_a_source(folder: Path) -> None:
    images = as_images(folder)
    assert images.is_vectors
    np.testing.assert_array_equal(images.pixels, ROWS)
    assert images.note == ["features of Flatten from ndarray"]


@pytest.mark.parametrize("name", ["part-000001.npy", "part-000001.csv"])
def test_a_damaged_part_is_found_by_its_checksum(own: Path, name: str) -> None:
    content = bytearray((own / name).read_bytes())
    content[-2] ^= 1
    (own / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} does not match its checksum: it is damaged or cut short; write it"):
        as_images(own)
    FeatureShards(own).part(0)  # the others are as good as before


def test_a_part_that_vanished_is_one_sentence(own: Path) -> None:
    cure = "expected a complete folder of features: write it again with `kinfold embed ... --resume`"
    for ending in ("npy", "csv", "json"):
        content = (own / f"part-000002.{ending}").read_bytes()
        (own / f"part-000002.{ending}").unlink()
        with pytest.raises(InputError, match=rf"has no part-000002\.{ending}; {re.escape(cure)}\."):
            list(FeatureShards(own).blocks())
        (own / f"part-000002.{ending}").write_bytes(content)
    (own / "part-000002.json").write_bytes(content[:40])
    with pytest.raises(
        InputError, match=r"part-000002\.json is not valid JSON, perhaps cut short; write it again with"
    ):
        as_images(own)


def test_a_damaged_manifest_is_said_to_be_one(own: Path, tmp_path: Path) -> None:
    content = (own / "manifest.json").read_bytes()
    (own / "manifest.json").write_bytes(content[:60])
    says = r"manifest\.json is not valid JSON, perhaps cut short; restore it, or write the features again into another"
    with pytest.raises(InputError, match=says):
        as_images(own)
    with pytest.raises(InputError, match=says):
        write_features(ROWS, own, nn.Flatten(), part_size=4, resume=True)
    (own / "manifest.json").write_bytes(content)
    np.testing.assert_array_equal(as_images(own).pixels, ROWS)
    with pytest.raises(InputError, match=r"nosuch has no manifest\.json; expected a folder of features, written by"):
        FeatureShards(tmp_path / "nosuch")
    (tmp_path / "manifest.json").write_bytes(content[:60])  # beside no features it may be of anything
    assert not is_features(tmp_path)


def test_a_part_of_another_folder_is_refused(own: Path, tmp_path: Path) -> None:
    write_features(ROWS + 1, tmp_path / "other", nn.Flatten(), part_size=4)
    for ending in ("npy", "csv", "json"):
        (own / f"part-000000.{ending}").write_bytes((tmp_path / "other" / f"part-000000.{ending}").read_bytes())
    with pytest.raises(InputError, match="is not the part that the manifest names"):
        FeatureShards(own).verify()


def test_an_unfinished_folder_is_refused(own: Path) -> None:
    manifest = own / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"n": 11', '"unfinished": true'))
    with pytest.raises(InputError, match="does not hold all its parts yet; go on with"):
        as_images(own)
    manifest.write_text('{"format": "other"}')
    with pytest.raises(InputError, match="is of another format"):
        FeatureShards(own)


@pytest.mark.parametrize(("left", "file"), [(0, "npy"), (200, "npy"), (300, "npy"), (400, "json")])
def test_a_full_disk_closes_all_files_and_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, file: str
) -> None:
    with monkeypatch.context() as patched:
        files = fill_disk(patched, left)
        with (
            pytest.raises(NoRoomError, match=rf"part-000000\.{file} could not be written: the disk"),
            PartWriter(tmp_path, 0, 3) as writer,
        ):
            writer.add(ROWS, [str(i) for i in range(len(ROWS))], None)
    assert files
    assert all(file.closed for file in files)
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".json", ".tmp")]


def test_numbers_beyond_half_precision_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    for bad in (1e5, np.nan, np.inf):
        with (
            pytest.raises(KinfoldError, match=r"the features of b reach .*, and half precision ends at 65,504"),
            PartWriter(tmp_path, 0, 2) as writer,
        ):
            writer.add(np.array([[0, 1], [0, bad]], dtype=np.float32), ["a", "b"], None)
    assert not list(tmp_path.iterdir())
