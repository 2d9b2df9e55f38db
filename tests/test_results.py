"""A run is a folder: it comes back as it was, and a hostile one gives one sentence."""

from __future__ import annotations

import csv
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kinfold.data.images import Skipped
from kinfold.errors import InputError
from kinfold.files import write_tensors
from kinfold.ops.merge_tree import MergeTree
from kinfold.results import Clustering

N = 6
TREE = {
    "start": np.array([0, 0, 1, 2, 2, 3]),
    "merges": np.array([[0, 1], [2, 3], [4, 5]]),
    "affinity": np.array([0.5, 0.25, 0.0]),
}


def whole() -> Clustering:
    """A result with everything a result may have."""
    generator = np.random.default_rng(0)
    return Clustering(
        labels=np.array([0, 0, 0, 1, 1, 1]),
        confidence=generator.random(N, dtype=np.float32),
        outlier=generator.random(N, dtype=np.float32),
        embedding=generator.normal(size=(N, 3)).astype(np.float32),
        names=["a/1.png", 'b,"2".png', "line\nbreak.png", "ümlaut.png", os.fsdecode(b"caf\xe9.png"), " = 6.png"],
        duplicate_of=np.array([-1, 0, -1, -1, 3, -1]),
        skipped=[Skipped("x.txt", "not an image, but text"), Skipped("y\n.png", "empty file")],
        history=[{"round": 1, "loss": None, "health": ""}, {"round": 2, "loss": 0.1, "nmi": 1.0, "health": "a word"}],
        tree=dict(TREE),
        truth=np.array([2, 2, 2, 5, 5, 2]),
        run={"algorithm": "Tiny", "parameters": {"n_clusters": 2}, "health": ["All is well."]},
        weights={"w": torch.arange(4.0).view(2, 2).T, "count": torch.tensor(3)},
        variants={"sf": np.array([1, 1, 1, 0, 0, 0])},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return whole().save(tmp_path / "runs" / "a")


def test_everything_comes_back(folder: Path) -> None:
    one, two = whole(), Clustering.load(folder)
    for name in ("labels", "confidence", "outlier", "embedding", "duplicate_of", "truth"):
        np.testing.assert_array_equal(getattr(two, name), getattr(one, name))
        assert getattr(two, name).dtype == getattr(one, name).dtype
    assert (two.names, two.skipped) == (one.names, one.skipped)
    assert two.history == [{"nmi": None, **one.history[0]}, one.history[1]]
    np.testing.assert_array_equal(two.variants["sf"], one.variants["sf"])
    assert two.tree is not None
    for name, array in TREE.items():
        np.testing.assert_array_equal(two.tree[name], array)
    for name, weight in one.weights.items():
        torch.testing.assert_close(two.weights[name], weight, rtol=0, atol=0)
    assert two.run["parameters"] == {"n_clusters": 2}
    assert (len(two), two.n_clusters) == (N, 2)


def test_the_files_are_those_promised(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "run.json", "labels.csv", "embedding.npy", "model.safetensors", "tree.npz", "history.csv", "skipped.csv",
    }  # fmt: skip
    with (folder / "labels.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "cluster", "confidence", "outlier", "duplicate_of", "sf", "label"]
    assert rows[1]["image"] == 'b,"2".png'
    assert [row["duplicate_of"] for row in rows] == ["", "0", "", "", "3", ""]


def test_names_of_clusters_come_back_and_go(tmp_path: Path, folder: Path) -> None:
    one = whole()
    one.cluster_names = {None: {1: "red, vans"}, 3: {0: "cats"}}
    assert Clustering.load(one.save(folder)).cluster_names == one.cluster_names
    assert (folder / "names.csv").read_text() == 'cut,cluster,name\n,1,"red, vans"\n3,0,cats\n'
    whole().save(folder)
    assert not (folder / "names.csv").exists()
    (folder / "names.csv").symlink_to("/dev/zero")
    assert "not a plain file" in refused(folder)


def test_saving_twice_gives_the_same_bytes(tmp_path: Path, folder: Path) -> None:
    again = Clustering.load(folder).save(tmp_path / "b")
    for path in folder.iterdir():
        if path.name != "history.csv":  # its columns follow the first appearance
            assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_cut_and_scores(folder: Path) -> None:
    result = Clustering.load(folder)
    for k in (1, 2, 3, 4):
        np.testing.assert_array_equal(result.cut(k), MergeTree(**TREE).cut(k))
        assert len(np.unique(result.cut(k))) == k
    assert result.scores()["acc"] == pytest.approx(5 / 6)
    result.tree = result.truth = None
    assert result.scores() == {}
    with pytest.raises(InputError, match="no merge tree to cut"):
        result.cut(2)


def test_a_run_may_be_saved_over_a_run_and_leaves_nothing_of_it(folder: Path) -> None:
    result = whole()
    result.tree, result.truth, result.variants = None, None, {}
    result.save(folder)
    back = Clustering.load(folder)
    assert back.tree is None
    assert back.truth is None
    assert back.variants == {}


def test_foreign_folders_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"dear")
    with pytest.raises(InputError, match="files that are not a Kinfold run; give an empty or a new folder"):
        whole().save(tmp_path)
    (tmp_path / "run.json").write_text('{"format": "another program\'s run"}')
    with pytest.raises(InputError, match="not a Kinfold run"):
        whole().save(tmp_path)
    with pytest.raises(InputError, match="is a file; give a folder"):
        whole().save(tmp_path / "holiday.jpg")
    assert (tmp_path / "holiday.jpg").read_bytes() == b"dear"
    assert {path.name for path in tmp_path.iterdir()} == {"holiday.jpg", "run.json"}


def test_a_clash_of_columns_is_explained(tmp_path: Path) -> None:
    result = whole()
    result.variants = {"cluster": result.labels}
    with pytest.raises(InputError, match="a variant is called 'cluster'"):
        result.save(tmp_path / "a")


def test_a_small_result_needs_labels_and_features_only() -> None:
    result = Clustering.of([1, 0], embedding=np.zeros((2, 2)), truth=np.array([0, 1]))
    assert result.names == ["0", "1"]
    assert result.confidence.tolist() == [1.0, 1.0]
    assert result.scores()["nmi"] == pytest.approx(1.0)


# -- hostile folders ---------------------------------------------------------------------------------------------------


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        Clustering.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["run.json", "labels.csv", "embedding.npy", "model.safetensors", "history.csv", "skipped.csv"]
)
def test_missing_files(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"has no {name}" in refused(folder)


@pytest.mark.parametrize("name", ["run.json", "labels.csv", "embedding.npy", "model.safetensors", "tree.npz"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_files_that_are_cut_short(folder: Path, name: str, share: float) -> None:
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert str(folder) in refused(folder)


@pytest.mark.parametrize("name", ["run.json", "labels.csv", "embedding.npy", "model.safetensors", "tree.npz"])
def test_links_and_devices(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    assert "not a plain file" in refused(folder)


def edited(folder: Path, **values: Any) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_other_runs(folder: Path, tmp_path: Path) -> None:
    assert "is not a folder" in refused(tmp_path / "nothing")
    edited(folder, n=7)
    assert "has 6 rows; run.json says 7" in refused(folder)
    edited(folder, format_version=99)
    assert "run format 99; this version" in refused(folder)
    edited(folder, format="other")
    assert "was not written by Kinfold" in refused(folder)


def test_a_run_that_was_being_written(folder: Path) -> None:
    edited(folder, unfinished=True)
    assert "was being written when its process ended" in refused(folder)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((N, 3)), "expected float32 (6, d)"),
        (np.zeros((N + 1, 3), dtype=np.float32), "expected float32 (6, d)"),
        (np.zeros(N, dtype=np.float32), "expected float32 (6, d)"),
        (np.array([{"a": 1}] * N, dtype=object), "not a valid array file"),
    ],
)
def test_embeddings_of_another_form(folder: Path, array: np.ndarray, words: str) -> None:
    np.save(folder / "embedding.npy", array, allow_pickle=True)
    assert words in refused(folder)


def test_a_header_that_promises_terabytes(folder: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (N, 10**12)})
    (folder / "embedding.npy").write_bytes(header.getvalue() + b"\0" * 64)
    assert "not a valid array file" in refused(folder)
    whole().save(folder)
    with zipfile.ZipFile(folder / "tree.npz", "w") as archive:
        archive.writestr("start.npy", header.getvalue())
        archive.writestr("merges.npy", header.getvalue())
        archive.writestr("affinity.npy", header.getvalue())
    assert "not a valid array file" in refused(folder)


def test_a_zip_that_swells(folder: Path) -> None:
    with zipfile.ZipFile(folder / "tree.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("start.npy", b"\0" * 50_000_000)
    assert "not a merge tree" in refused(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"start": np.array([0, 0, 1, 2, 2])},
        {"start": TREE["start"].astype(np.int32)},
        {"start": TREE["start"] - 1},
        {"start": TREE["start"] + 10},
        {"merges": np.array([[0, 1], [0, 3], [4, 5]])},
        {"merges": np.array([[0, 9], [2, 3], [4, 5]])},
        {"merges": np.array([[-1, 1], [2, 3], [4, 5]])},
        {"merges": np.arange(6)},
        {"affinity": np.array([0.5])},
    ],
)
def test_trees_that_are_none(folder: Path, change: dict[str, np.ndarray]) -> None:
    np.savez(folder / "tree.npz", **{**TREE, **change})
    assert "not a merge tree" in refused(folder)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("image,cluster", "picture,cluster", "no column 'image'"),
        ("image,cluster", "image,image", "not a table as Kinfold writes it"),
        ("a/1.png,0", "a/1.png,zero", "not a whole number"),
        ("a/1.png,0", "a/1.png," + "9" * 30, "not a whole number"),
        ("a/1.png,0", "a/1.png", "not a table as Kinfold writes it"),
        ("a/1.png,0,0.", "a/1.png,0,7.", r"outside [0, 1]"),
        ("a/1.png,0,0.", "a/1.png,0,nan0.", "not a number"),
        ("a/1.png", '"a/1.png', "not a table as Kinfold writes it"),
    ],
)
def test_tables_of_another_form(folder: Path, old: str, new: str, words: str) -> None:
    path = folder / "labels.csv"
    content = path.read_bytes()
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode(), 1))
    assert words in refused(folder)


def test_confidence_that_is_no_number(folder: Path) -> None:
    result = whole()
    result.confidence = np.full(N, np.nan, dtype=np.float32)
    result.save(folder)
    assert "outside [0, 1]" in refused(folder)


def test_weights_are_plain_tensors(folder: Path) -> None:
    write_tensors(folder / "model.safetensors", {})
    assert Clustering.load(folder).weights == {}


def test_a_name_with_a_carriage_return_comes_back(tmp_path: Path) -> None:
    names = ["a\rb.png", "Icon\r", 'quoted "c".png', "new\nline.png"]
    result = Clustering.of([0, 1, 0, 1], embedding=np.eye(4, dtype=np.float32), names=names)
    assert Clustering.load(result.save(tmp_path / "r")).names == names


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"embedding": np.eye(2)}, "embedding has 2 rows; expected 3, one an image"),
        ({"embedding": np.zeros(3)}, r"embedding has shape \(3,\); expected \(3, d\)"),
        ({"names": ["a"]}, "names has 1 rows; expected 3"),
        ({"truth": np.zeros(4, dtype=np.int64)}, "truth has 4 rows; expected 3"),
    ],
)
def test_a_result_has_a_row_an_image(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Clustering.of([0, 0, 1], **{"embedding": np.eye(3), **wrong})


@pytest.mark.parametrize("cluster", ["99", "-1"])
def test_a_cluster_that_the_run_does_not_have(tmp_path: Path, cluster: str) -> None:
    run = Clustering.of([0, 1], embedding=np.eye(2), run={"n_clusters": 2}).save(tmp_path / "r")
    table = run / "labels.csv"
    table.write_text(table.read_text().replace("1,1,", f"1,{cluster},"))
    with pytest.raises(InputError, match=r"labels\.csv has clusters outside 0 to 2 - 1 of run\.json"):
        Clustering.load(run)
