"""Tables, class folders that cannot be led astray, and the ONNX graph that must agree with the estimator."""

from __future__ import annotations

import csv
import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.fulldisk import fill_disk
from tests.tiny import Tiny
from torch import Tensor, nn

from kinfold import export
from kinfold.data import Images, as_images
from kinfold.errors import InputError, KinfoldError, NoRoomError
from kinfold.locate import files_of, images_of, source_of
from kinfold.results import Clustering
from kinfold.runtime import Progress


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six small pictures, two of which share a file name."""
    folder = tmp_path / "photos"
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8, 8), dtype=np.uint8)
    for name, picture in zip(["a/1.png", "b/1.png", "a/2.png", "3.png", "4.png", "B/5.png"], pixels, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name)
    return folder


def columns_of(folder: Path, clusters: list[int]) -> export.Table:
    return {"image": list(files_of(folder)), "cluster": clusters}


def tree_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# Tables --------------------------------------------------------------------------------------------------------------


def result() -> Clustering:
    return Clustering.of(
        [1, 0, 1],
        embedding=np.eye(3),
        names=["a.png", 'b, "c".png', "d.png"],
        duplicate_of=np.array([-1, -1, 0]),
        tree={"start": np.array([0, 1, 0]), "merges": np.array([[0, 1]]), "affinity": np.array([0.5])},
    )


def test_csv_is_read_back_as_it_was(tmp_path: Path) -> None:
    path = export.write_csv(export.table(result()), tmp_path / "t.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["image", "cluster", "confidence", "outlier", "duplicate_of"]
    assert rows[2] == ['b, "c".png', "0", "1.0000", "0.0000", ""]
    assert rows[3][-1] == "a.png"


def test_another_cut_has_no_confidence() -> None:
    found = result()
    table = export.table(found, found.cut(1))
    assert list(table) == ["image", "cluster", "duplicate_of"]
    assert list(table["cluster"]) == [0, 0, 0]


def test_names_of_clusters_stand_beside_their_numbers() -> None:
    found = result()
    found.cluster_names = {None: {1: "vans"}, 1: {0: "all"}}
    assert export.table(found)["name"] == ["vans", "", "vans"]
    assert "name" not in export.table(found, found.cut(1))
    assert export.table(found, found.cut(1), cluster_names={0: "all"})["name"] == ["all"] * 3


def test_parquet_is_read_back_as_it_was(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the parquet extra is not installed")
    table = export.table(result())
    found = parquet.read_table(export.write_parquet(table, tmp_path / "t.parquet")).to_pydict()
    assert found == {name: list(values) for name, values in table.items()}


@pytest.mark.parametrize("write", [export.write_csv, export.write_parquet])
def test_a_table_is_never_overwritten(write: Any, tmp_path: Path) -> None:
    target = tmp_path / "t"
    target.write_text("mine")
    with pytest.raises(InputError, match="exists already and is not overwritten"):
        write(export.table(result()), target)
    assert target.read_text() == "mine"


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match="length 2; expected one for each of the 3 images"):
        export.table(result(), np.array([0, 1]))


# Class folders -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["copy", "hardlink", "symlink"])
def test_images_reach_the_folder_of_their_cluster(how: str, photos: Path, tmp_path: Path) -> None:
    before, dest = tree_of(photos), tmp_path / "sorted"
    columns = columns_of(photos, [0, 0, 0, 1, 0, 10])
    plan = export.plan_folders(columns, files_of(photos), dest)
    assert not dest.exists()
    assert export.write_folders(plan, how) == 6
    assert tree_of(photos) == before
    assert sorted(tree_of(dest).values()) == sorted(before.values())
    for move in plan.moves:
        assert move.target.read_bytes() == before[move.name]
        assert move.target.is_symlink() == (how == "symlink")
        assert move.target.samefile(move.source) == (how != "copy")
    assert {path.name for path in dest.iterdir()} == {"cluster-00", "cluster-01", "cluster-10"}


def test_a_folder_is_called_as_its_cluster(photos: Path, tmp_path: Path) -> None:
    names = ["red vans", "red vans", "../../up", "", "unsure", "cluster-3"]
    columns = {**columns_of(photos, [0, 1, 2, 3, 4, 5]), "name": names}
    plan = export.plan_folders(columns, files_of(photos), tmp_path / "sorted")
    folders = {move.target.parent.relative_to(tmp_path / "sorted").as_posix() for move in plan.moves}
    assert folders == {"red vans", "_.._.._up", "cluster-3", "unsure (4)", "cluster-3 (5)"}
    assert export.write_folders(plan) == 6
    assert len(list((tmp_path / "sorted" / "red vans").iterdir())) == 2


def test_names_that_clash_are_told_apart(photos: Path, tmp_path: Path) -> None:
    columns = {"image": ["a/1.png", "b/1.png", "a/2.png"], "cluster": [0, 0, 0]}
    plan = export.plan_folders(columns, files_of(photos), tmp_path / "d")
    assert [move.target.name for move in plan.moves] == ["a_1.png", "b_1.png", "2.png"]
    columns = {"image": ["a/1.png", "a_1.png"], "cluster": [0, 0]}
    plan = export.plan_folders(columns, dict.fromkeys(columns["image"], photos / "3.png"), tmp_path / "d")
    assert [move.target.name for move in plan.moves] == ["1.png", "a_1.png"]
    columns = {"image": ["a/x.png", "A/X.png", "b/A_x.png"], "cluster": [0, 0, 0]}
    plan = export.plan_folders(columns, dict.fromkeys(columns["image"], photos / "3.png"), tmp_path / "d")
    assert len({move.target.name.casefold() for move in plan.moves}) == 3


def test_what_stands_there_is_kept(photos: Path, tmp_path: Path) -> None:
    dest = tmp_path / "sorted"
    (dest / "cluster-0").mkdir(parents=True)
    (dest / "cluster-0" / "3.png").write_text("mine")
    columns = {"image": ["3.png", "4.png"], "cluster": [0, 0]}
    plan = export.plan_folders(columns, files_of(photos), dest)
    export.write_folders(plan)
    assert (dest / "cluster-0" / "3.png").read_text() == "mine"
    assert (dest / "cluster-0" / "3-2.png").read_bytes() == (photos / "3.png").read_bytes()
    again = export.plan_folders(columns, files_of(photos), dest)
    assert not again.moves
    assert [path.name for path in again.present] == ["3-2.png", "4.png"]


def test_what_appears_after_the_plan_is_kept(photos: Path, tmp_path: Path) -> None:
    plan = export.plan_folders({"image": ["3.png"], "cluster": [0]}, files_of(photos), tmp_path / "d")
    plan.moves[0].target.parent.mkdir(parents=True)
    plan.moves[0].target.write_text("mine")
    for how in ("copy", "hardlink", "symlink"):
        with pytest.raises(KinfoldError, match="appeared meanwhile and was not overwritten"):
            export.write_folders(plan, how)
    assert {path.name for path in plan.moves[0].target.parent.iterdir()} == {"3.png"}
    assert plan.moves[0].target.read_text() == "mine"


def test_a_link_in_the_destination_leads_nowhere(photos: Path, tmp_path: Path) -> None:
    outside, dest = tmp_path / "outside", tmp_path / "sorted"
    outside.mkdir()
    dest.mkdir()
    (dest / "cluster-0").symlink_to(outside)
    plan = export.plan_folders({"image": ["3.png"], "cluster": [0]}, files_of(photos), dest)
    assert not plan.moves
    assert "points outside its folder" in plan.refused[0][1]


def test_unsure_images_get_a_folder_of_their_own(photos: Path, tmp_path: Path) -> None:
    columns: export.Table = {"image": ["3.png", "4.png"], "cluster": [0, 0], "confidence": [0.4, 0.9]}
    plan = export.plan_folders(columns, files_of(photos), tmp_path / "d", min_confidence=0.5)
    assert [move.target.parent.name for move in plan.moves] == ["unsure", "cluster-0"]
    del columns["confidence"]
    with pytest.raises(InputError, match="needs the column 'confidence'"):
        export.plan_folders(columns, files_of(photos), tmp_path / "d", min_confidence=0.5)


def test_a_full_disk_leaves_whole_files_only_and_the_same_call_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied, original = [], shutil.copy2

    def copy(source: Path, target: Path) -> None:
        if copied:
            target.write_bytes(source.read_bytes()[:9])
            raise OSError(errno.ENOSPC, "No space left on device")
        copied.append(original(source, target))

    columns, dest = columns_of(photos, [0, 0, 0, 1, 0, 1]), tmp_path / "sorted"
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copy2", copy)
        with pytest.raises(NoRoomError, match="could not be written: the disk is full"):
            export.write_folders(export.plan_folders(columns, files_of(photos), dest))
    assert len(tree_of(dest)) == 1
    assert export.write_folders(export.plan_folders(columns, files_of(photos), dest)) == 5
    assert sorted(tree_of(dest).values()) == sorted(tree_of(photos).values())
    with monkeypatch.context() as patched:
        fill_disk(patched)
        with pytest.raises(NoRoomError, match=r"t\.csv could not be written: the disk is full"):
            export.write_csv(columns, tmp_path / "t.csv")
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "sorted"}


def test_only_three_ways_are_known() -> None:
    with pytest.raises(InputError, match="how is 'move'"):
        export.write_folders(export.Plan(Path("d")), "move")


HOSTILE = [
    "../secret.txt",
    "../../etc/passwd",
    "/etc/passwd",
    "a/../../secret.txt",
    "C:\\x",
    "\\\\host\\x",
    "",
    ".",
    "..",
]
NAMES = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=20),
    st.lists(st.sampled_from(["..", ".", "a", "photos", "secret.txt", "", "~"]), max_size=5).map("/".join),
)


@settings(deadline=None, max_examples=60)
@given(names=st.lists(NAMES, max_size=8), clusters=st.lists(st.integers(-(2**70), 2**70), min_size=8, max_size=8))
def test_a_hostile_table_reads_and_writes_nothing_outside(names: list[str], clusters: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "photos" / "a").mkdir(parents=True)
        Image.new("L", (4, 4)).save(root / "photos" / "a" / "1.png")
        (root / "secret.txt").write_text("secret")
        dest = root / "deep" / "sorted"
        before = tree_of(root)
        columns = {"image": [*names, "a/1.png"], "cluster": [*clusters[: len(names)], 0]}
        plan = export.plan_folders(columns, files_of(root / "photos"), dest)
        written = export.write_folders(plan)
        after = tree_of(root)
        assert {name: after.pop(name) for name in before} == before
        assert all(name.startswith("deep/sorted/") for name in after)
        assert written == len(after) == 1
        assert "secret" not in {content.decode("latin-1") for content in after.values()}


# Where the images are ------------------------------------------------------------------------------------------------


def test_files_are_listed_for_folders_and_lists_only(photos: Path, tmp_path: Path) -> None:
    assert sorted(files_of(photos)) == sorted(["a/1.png", "b/1.png", "a/2.png", "3.png", "4.png", "B/5.png"])
    paths = tmp_path / "list.txt"
    paths.write_text("photos/a/1.png\nphotos/b/1.png\n")
    assert files_of(paths)["a/1.png"].samefile(photos / "a" / "1.png")
    assert list(files_of(photos / "3.png")) == ["3.png"]
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 4, 4), dtype=np.uint8))
    with pytest.raises(InputError, match="holds no image files"):
        files_of(tmp_path / "x.npz")


def test_images_are_found_from_anywhere(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Clustering.of([0, 1], embedding=np.eye(2), names=["4.png", "a/1.png"], run={"source": "photos"})
    run = tmp_path / "runs" / "photos"  # a run may be called like its source
    run.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert Path(source_of(found, Path("runs/photos"))).samefile(photos)
    monkeypatch.chdir("/")
    assert Path(source_of(found, run)).samefile(photos)
    photos.rename(tmp_path / "moved")
    with pytest.raises(InputError, match="are not there; say where they are with --images"):
        source_of(found, run)
    assert Path(source_of(found, run, str(tmp_path / "moved"))) == tmp_path / "moved"


def test_the_runs_own_surroundings_come_before_the_working_folder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Clustering.of([0, 1], embedding=np.eye(2), names=["4.png", "a/1.png"], run={"source": "photos"})
    run = tmp_path / "runs" / "x"
    run.mkdir(parents=True)
    shutil.copytree(photos, tmp_path / "other" / "photos")
    monkeypatch.chdir(tmp_path / "other")
    assert Path(source_of(found, run)).samefile(photos)
    assert Path(source_of(found, run, "photos")).samefile("photos")
    shutil.rmtree(photos)
    assert Path(source_of(found, run)).samefile("photos")


def test_other_pixels_under_the_names_of_a_run_are_told(photos: Path) -> None:
    said: list[str] = []
    progress = Progress()
    progress.say = said.append  # type: ignore[method-assign]
    about: dict[str, Any] = {"shape": [1, 8, 8]}
    found = Clustering.of([0, 1], embedding=np.eye(2), names=["4.png", "a/1.png"], run=about)
    found.run["identity"] = {"images": images_of(found, str(photos), progress).fingerprint}
    images_of(found, str(photos), progress)
    assert not said
    Image.new("L", (8, 8), 200).save(photos / "a" / "1.png")
    images_of(found, str(photos), progress)
    assert len(said) == 1
    assert "not all of their pixels" in said[0]


def test_images_come_in_the_order_of_the_run(photos: Path) -> None:
    found = Clustering.of([0, 1], embedding=np.eye(2), names=["4.png", "a/1.png"], run={"shape": [1, 8, 8]})
    images = images_of(found, str(photos))
    assert images.names == ["4.png", "a/1.png"]
    (photos / "4.png").unlink()
    with pytest.raises(InputError, match=r"1 of the 2 images are not in .*\(the first: 4.png\)"):
        images_of(found, str(photos))


# ONNX ----------------------------------------------------------------------------------------------------------------


class Wrong(Tiny):
    """An algorithm whose graph is not what it predicts with."""

    def assignment_module(self) -> nn.Module:
        """Tiny's, with the clusters in another order."""
        return nn.Sequential(super().assignment_module(), Reverse())


class Reverse(nn.Module):
    """The last cluster first."""

    def forward(self, probabilities: Tensor) -> Tensor:
        return probabilities.flip(1)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_onnx_graph_gives_the_estimators_probabilities(dtype: type, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    pytest.importorskip("onnxscript", reason="the onnx extra is not installed")
    pixels = np.random.default_rng(0).integers(0, 255, (40, 1, 6, 6)).astype(dtype)
    images = as_images(pixels if dtype is np.uint8 else pixels / np.float32(255))
    model = Tiny(n_clusters=3, n_rounds=1, random_state=0).fit(images)
    model.result_.cluster_names = {None: {1: "vans"}}
    target = tmp_path / "model.onnx"
    assert export.write_onnx(model, target, images) < 1e-4
    session = onnxruntime.InferenceSession(os.fspath(target), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images.tensor(np.arange(7)).numpy()})
    np.testing.assert_allclose(found, model.predict_proba(images.select(np.arange(7))), atol=1e-4)
    assert session.get_modelmeta().custom_metadata_map["cluster_names"] == '{"1": "vans"}'
    with pytest.raises(InputError, match="exists already"):
        export.write_onnx(model, target, images)


def test_a_graph_that_disagrees_is_not_written(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    pytest.importorskip("onnxscript", reason="the onnx extra is not installed")
    images = as_images(np.random.default_rng(0).integers(0, 255, (20, 1, 6, 6), dtype=np.uint8))
    model = Wrong(n_clusters=3, n_rounds=1, random_state=0).fit(images)
    with pytest.raises(KinfoldError, match="differs from predict_proba"):
        export.write_onnx(model, tmp_path / "model.onnx", images)
    assert not any(tmp_path.iterdir())
    with pytest.raises(InputError, match="expected at least two"):
        export.write_onnx(model, tmp_path / "model.onnx", Images(images.pixels[:1]))


def test_a_file_of_the_users_own_is_never_the_copy_in_progress(photos: Path, tmp_path: Path) -> None:
    own, elsewhere = tmp_path / "d" / "cluster-0" / ".3.png.part", tmp_path / "elsewhere"
    own.parent.mkdir(parents=True)
    elsewhere.write_text("mine")
    own.symlink_to(elsewhere)
    plan = export.plan_folders({"image": ["3.png"], "cluster": [0]}, files_of(photos), tmp_path / "d")
    export.write_folders(plan)
    assert own.is_symlink()
    assert elsewhere.read_text() == "mine"
    assert {path.name for path in own.parent.iterdir()} == {".3.png.part", "3.png"}


def test_a_carriage_return_in_a_name_is_quoted() -> None:
    text = export.csv_text({"image": ["a\rb", "c"], "cluster": [0, 1]})
    assert text == 'image,cluster\n"a\rb",0\nc,1\n'
