"""Fewer features: near-copies left out, the rest drawn evenly, and a folder that is whole or not there."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fulldisk import fill_disk
from torch import nn

from kinfold import FeatureShards, InputError, as_images, curate, write_features
from kinfold.cli import main
from kinfold.ops.deduplicate import deduplicate

CENTRES = np.eye(3, dtype=np.float32)
SIZES = (300, 30, 12)


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three kinds of very unequal size, a hundred rows a part."""
    dice = np.random.default_rng(0)
    rows = np.repeat(np.pad(CENTRES, ((0, 0), (0, 13))), SIZES, axis=0) + dice.normal(0, 0.05, (sum(SIZES), 16))
    folder = tmp_path_factory.mktemp("curation") / "features"
    images = as_images(rows.astype(np.float32).reshape(-1, 1, 4, 4))
    images.names = [f"{i}.png" for i in range(len(rows))]
    write_features(images, folder, nn.Flatten(), part_size=100)
    return folder


def lines(folder: Path) -> list[list[str]]:
    with (folder / "dropped.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_copies_are_left_out_and_named(tmp_path: Path) -> None:
    images = as_images(np.eye(4, dtype=np.float32)[[0, 1, 0, 2, 1]].reshape(5, 1, 2, 2))
    images.names, images.labels = ["a", "b", "a again", "c", "b again"], np.array([7, 8, 7, 9, 8])
    found = curate(write_features(images, tmp_path / "all", nn.Flatten(), part_size=2), tmp_path / "few")
    assert (found.n_near_copies, found.n_not_drawn, found.features.shape) == (2, 0, (3, 4))
    kept = dict(found.features.table())
    dropped = {line[0]: line[1:] for line in lines(tmp_path / "few")[1:]}
    assert {name.split()[0]: label for name, label in kept.items()} == {"a": "7", "b": "8", "c": "9"}
    assert {name.split()[0]: other[0].split()[0] for name, other in dropped.items()} == {"a": "a", "b": "b"}
    assert all(other[1] == "1.0000" for other in dropped.values())


def test_rows_that_stay_are_those_of_the_operation(features: Path, tmp_path: Path) -> None:
    whole, found = FeatureShards(features), curate(features, tmp_path / "few", epsilon=0.02, seed=3)
    kept = deduplicate(whole, epsilon=0.02, seed=3).kept
    assert 0 < found.n_near_copies == int((~kept).sum())
    np.testing.assert_array_equal(found.features[:], whole[kept])
    found.features.verify()
    assert found.features.about["curated"] == [{"epsilon": 0.02, "items": None, "seed": 3}]


def test_rare_kinds_are_drawn_as_often_as_common_ones(features: Path, tmp_path: Path) -> None:
    found = curate(features, tmp_path / "few", epsilon=None, n_items=30)
    kinds = np.argmax(found.features[:][:, :3], axis=1)
    assert np.bincount(kinds).tolist() == [10, 10, 10]
    assert (found.n_near_copies, found.n_not_drawn) == (0, sum(SIZES) - 30)
    assert all(line[1:] == ["", ""] for line in lines(tmp_path / "few")[1:])


def test_a_draw_never_takes_a_near_copy(features: Path, tmp_path: Path) -> None:
    kept = deduplicate(FeatureShards(features), epsilon=0.02).kept
    found = curate(features, tmp_path / "few", epsilon=0.02, n_items=20)
    assert len(found.features) == 20
    assert {name for name, _ in found.features.table()} <= {f"{i}.png" for i in np.flatnonzero(kept)}
    assert found.n_near_copies + found.n_not_drawn + 20 == sum(SIZES)


@pytest.mark.parametrize(("options", "says"), [
    ({"epsilon": None}, "neither near-copies nor a number of images"),
    ({"epsilon": 3.0}, "epsilon is 3.0"),
    ({"epsilon": None, "n_items": 343}, "343 images are wanted; expected 1 to 342"),
    ({"epsilon": None, "n_items": 0}, "0 images are wanted"),
])  # fmt: skip
def test_what_cannot_be_chosen_is_one_sentence(
    features: Path, tmp_path: Path, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        curate(features, tmp_path / "few", **options)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_and_a_killed_call_leaves_nothing_behind(features: Path, tmp_path: Path) -> None:
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="nothing is overwritten"):
        curate(features, tmp_path / "few")
    assert [p.name for p in (tmp_path / "few").iterdir()] == ["mine.txt"]
    (tmp_path / ".other.tmp").mkdir()
    (tmp_path / ".other.tmp" / "part-000000.npy").write_bytes(b"half")
    curate(features, tmp_path / "other")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["few", "other"]


def test_the_command_names_its_own_options_and_what_it_expects(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["curate", str(features), "--out", str(tmp_path / "few"), "--keep-copies"]) == 2
    said = capsys.readouterr().err
    assert "--keep-copies leaves nothing to do; give --items N too" in said
    assert "n_items" not in said
    assert main(["curate", str(tmp_path / "nosuch"), "--out", str(tmp_path / "few")]) == 1
    said = capsys.readouterr().err
    assert "nosuch has no manifest.json; expected a folder of features, written by `kinfold embed ... --out" in said
    found = curate(features, tmp_path / "few")
    (tmp_path / "few" / "part-000001.csv").unlink()
    with pytest.raises(InputError, match="expected a complete folder of features: choose them again with `kinfold cur"):
        FeatureShards(found.features.folder).verify()


def test_a_full_disk_leaves_nothing_and_the_same_command_goes_through(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for left in (0, 5000):
        with monkeypatch.context() as patched:
            files = fill_disk(patched, left)
            assert main(["curate", str(features), "--out", str(tmp_path / "few")]) == 1
            said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"{tmp_path / 'few'} could not be written: the disk is full. Finished work is kept: make room" in said
        assert all(file.closed for file in files)
        assert list(tmp_path.iterdir()) == []
    assert main(["curate", str(features), "--out", str(tmp_path / "few")]) == 0


def test_a_damaged_part_stops_it_before_anything_is_written(features: Path, tmp_path: Path) -> None:
    rows = FeatureShards(features)[:].reshape(-1, 1, 4, 4)
    write_features(as_images(rows), tmp_path / "all", nn.Flatten(), part_size=100)
    data = bytearray((tmp_path / "all" / "part-000001.npy").read_bytes())
    data[-1] ^= 1
    (tmp_path / "all" / "part-000001.npy").write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"part-000001\.npy does not match its checksum"):
        curate(tmp_path / "all", tmp_path / "few")
    assert [p.name for p in tmp_path.iterdir()] == ["all"]


def test_the_command_curates_and_what_is_left_is_clustered(
    features: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = str(tmp_path / "few")
    assert main(["curate", str(features), "--out", few, "--keep-copies", "--items", "36"]) == 0
    said = capsys.readouterr().out
    assert "0 near-copies, 306 that were not drawn" in said
    assert f"kinfold cluster {few}" in said
    assert main(["cluster", few, "-k", "3", "--preset", "fast", "--out", str(tmp_path / "run"), "--no-report"]) == 0
    assert main(["embed", str(features), "--out", few, "--resume"]) == 1
    assert "kinfold curate has chosen" in capsys.readouterr().err
