from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kinfold.data import as_images
from kinfold.data.folder import find, listed, natural_key, read_list, walk
from kinfold.data.images import Skipped
from kinfold.data.stream import Files
from kinfold.errors import InputError


def paint(path: Path, colour: int | tuple[int, int, int] = 100, size: tuple[int, int] = (12, 10)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(path)
    return path


def names(folder: Path) -> list[str]:
    return [found.name for found in find(folder)[0]]


def test_nested_and_flat_in_natural_order(tmp_path: Path) -> None:
    for name in ("img10.png", "img2.png", "b/1.png", "a/b/c/3.png", "a/b/20.png", "A9.png", "B/0.png"):
        paint(tmp_path / name)
    assert names(tmp_path) == ["a/b/20.png", "a/b/c/3.png", "A9.png", "B/0.png", "b/1.png", "img2.png", "img10.png"]
    images = as_images(tmp_path)
    assert images.names == names(tmp_path)
    assert images.paths == [tmp_path / name for name in images.names]
    assert images.source == tmp_path.name


@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(max_size=6), max_size=8))
def test_the_natural_order_is_total(texts: list[str]) -> None:
    ordered = sorted(set(texts), key=natural_key)
    backwards = ordered[::-1]
    assert sorted(backwards, key=natural_key) == ordered


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 10**6), unique=True))
def test_numbers_are_ordered_as_numbers(numbers: list[int]) -> None:
    assert sorted((f"a{i}" for i in numbers), key=natural_key) == [f"a{i}" for i in sorted(numbers)]


def test_hidden_files_and_leftovers_are_passed_over_in_silence(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    paint(tmp_path / ".hidden" / "b.png")
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._a.png", "__MACOSX/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    images = as_images(tmp_path)
    assert images.names == ["a.png"]
    assert images.skipped == []


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    paint(folder / "sub" / "a.png")
    paint(other / "b.png")
    (folder / "again").symlink_to(folder / "sub")
    (folder / "loop").symlink_to(folder)
    (folder / "sub" / "up").symlink_to(tmp_path)
    (folder / "there").symlink_to(other)
    (folder / "self.png").symlink_to(folder / "self.png")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "alias.png").symlink_to(folder / "sub" / "a.png")
    images = as_images(folder)
    assert images.names == ["alias.png", "sub/a.png", "there/b.png"]
    assert {one.path: one.reason for one in images.skipped} == {
        "again": "a link to a folder that is read already, or holds this one",
        "loop": "a link to a folder that is read already, or holds this one",
        "sub/up": "a link to a folder that is read already, or holds this one",
        "self.png": "a link that leads to itself",
        "gone.png": "a broken link",
    }


def test_names_that_are_not_text_are_listed(tmp_path: Path) -> None:
    paint(tmp_path / "ä ö 日本.png")
    try:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.png"))).write_bytes(
            (tmp_path / "ä ö 日本.png").read_bytes()
        )
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    images = as_images(tmp_path)
    assert images.names == ["ä ö 日本.png"]
    assert [(one.path, one.reason) for one in images.skipped] == [
        ("bad\\xff.png", "its name is not valid UTF-8; rename it")
    ]
    by_path = as_images([tmp_path / "ä ö 日本.png", os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.png")])
    assert by_path.skipped == images.skipped


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    paint(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert as_images(tmp_path).skipped[0].reason == "not a regular file"


def test_a_folder_without_images_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no files; expected images"):
        as_images(tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match=r"holds no readable image among 1 file \(the first: not an image\)"):
        as_images(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        as_images(tmp_path / "nowhere")


def test_a_file_of_paths(tmp_path: Path) -> None:
    for i in (3, 1, 2):
        paint(tmp_path / "pictures" / f"{i}.png", i)
    lines = ["pictures/3.png", "", str(tmp_path / "pictures" / "1.png"), "pictures/gone.png", "pictures/2.png"]
    (tmp_path / "list.txt").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    images = as_images(tmp_path / "list.txt")
    assert images.names == ["3.png", "1.png", "2.png"]
    assert images.source == "list.txt"
    assert [(one.path, one.reason) for one in images.skipped] == [("gone.png", "no such file")]
    assert images.note == ["list.txt: 1 file not there (relative paths begin at the folder of list.txt)"]
    assert images.pixels[:, 0, 0, 0].tolist() == [3, 1, 2]
    (tmp_path / "list.csv").write_text('label,image\n7,"pictures/2.png"\n8,pictures/1.png\n')
    assert as_images(tmp_path / "list.csv").names == ["2.png", "1.png"]
    (tmp_path / "plain.csv").write_text("pictures/2.png,7\n\npictures/1.png,8\n")
    assert read_list(tmp_path / "plain.csv") == ["pictures/2.png", "pictures/1.png"]
    (tmp_path / "none.txt").write_text("\n\n")
    with pytest.raises(InputError, match=r"none.txt lists no path"):
        as_images(tmp_path / "none.txt")


def test_a_list_of_paths_keeps_its_order_and_labels(tmp_path: Path) -> None:
    paths = [paint(tmp_path / name, i) for i, name in enumerate(("b/x.png", "a/x.png", "c/d/x.png"))]
    (tmp_path / "broken.png").write_bytes(b"no")
    images = as_images([paths[0], tmp_path / "broken.png", str(paths[1]), paths[2]], labels=[5, 6, 7, 8])
    assert images.names == ["b/x.png", "a/x.png", "c/d/x.png"]
    np.testing.assert_array_equal(images.labels, [5, 7, 8])
    assert images.source == "list of 4 paths"
    assert [found.name for found in listed([paths[0]])] == ["x.png"]
    single = as_images(str(paths[2]))
    assert (len(single), single.names) == (1, ["x.png"])


def test_names_never_lead_out_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(tmp_path / "a" / "x.png")
    paint(tmp_path / "b" / "y.png")
    monkeypatch.chdir(tmp_path / "a")
    assert as_images(["x.png", "../b/y.png"]).names == ["a/x.png", "b/y.png"]
    assert as_images(".").source == "a"


def test_labels_from_folders_only_when_asked(tmp_path: Path) -> None:
    for name in ("cat/1.png", "cat/deep/2.png", "dog/1.png"):
        paint(tmp_path / name)
    assert as_images(tmp_path).labels is None
    images = as_images(tmp_path, labels="from-folders")
    np.testing.assert_array_equal(images.labels, [0, 0, 1], strict=True)
    assert images.label_names == ["cat", "dog"]
    with pytest.raises(InputError, match="needs class folders; all images lie directly in dog"):
        as_images(tmp_path / "dog", labels="from-folders")
    with pytest.raises(InputError, match="expected 'from-folders'"):
        as_images(tmp_path, labels="folders")
    with pytest.raises(InputError, match=r"labels has shape \(2,\); expected \(3,\)"):
        as_images(tmp_path, labels=[0, 1])


def pictures(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8), len(name), dtype=np.uint8)).save(folder / name)


def test_what_macs_leave_is_passed_over(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    (tmp_path / "Icon\r").touch()
    assert [one.name for one in find(tmp_path)[0]] == ["a.png"]
    assert list(walk(tmp_path)) == ["a.png"]


def test_a_link_to_itself_takes_nothing_along(tmp_path: Path) -> None:
    pictures(tmp_path, "sub/a.png", "sub/c.png")
    (tmp_path / "sub" / "b.png").symlink_to("b.png")
    assert list(walk(tmp_path)) == ["sub/a.png", "sub/b.png", "sub/c.png"]


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path, "a.png", "no/b.png")
    scan = os.scandir

    def refused(path: Path) -> Any:
        if path.name == "no":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert list(walk(tmp_path)) == ["a.png", Skipped("no", "folder: permission denied")]


def test_paths_in_a_list_stay_what_they_are(tmp_path: Path) -> None:
    names = [" lead.png", "trail.png ", "a\u2028b.png", "x\x0cy.png", "plain.png", "~a.png"]
    pictures(tmp_path, *(name for name in names if name.endswith(".png")), "new\nline.png")
    (tmp_path / "trail.png ").write_bytes((tmp_path / "plain.png").read_bytes())
    (tmp_path / "list.txt").write_text("\r\n".join([*names, "  plain.png  "]), encoding="utf-8", newline="")
    assert read_list(tmp_path / "list.txt") == [*names, "plain.png"]
    assert as_images(tmp_path / "list.txt").skipped == []
    (tmp_path / "list.csv").write_text('path,x\n"new\nline.png",1\nplain.png,2\n')
    assert read_list(tmp_path / "list.csv") == ["new\nline.png", "plain.png"]
    (tmp_path / "wide.txt").write_text("plain.png\n", encoding="utf-16")
    assert read_list(tmp_path / "wide.txt") == ["plain.png"]
    (tmp_path / "binary.txt").write_bytes(b"a\0b")
    with pytest.raises(InputError, match=r"binary\.txt is no text; expected UTF-8 with one path a line"):
        as_images(tmp_path / "binary.txt")


def test_a_list_of_which_nothing_is_there_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path, "a.png")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "list.txt").write_text("a.png\n")
    (tmp_path / "lists" / "list.csv").write_text('"' + "x" * 200_000)
    monkeypatch.chdir(tmp_path)
    words = r"list.txt lists 1 file, and none is there \(the first: 'lists/a.png'\); relative paths begin at the folder"
    for read in (as_images, lambda path: Files(path, tmp_path / "listing", per_part=9)):
        with pytest.raises(InputError, match=words):
            read(Path("lists/list.txt"))
        with pytest.raises(InputError, match=r"^list.csv is no table of paths \(field larger"):
            read(Path("lists/list.csv"))


def test_a_wave_means_home_in_a_list_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    pictures(tmp_path, "home/a.png", "~a.png")
    (tmp_path / "list.txt").write_text("~a.png\n~no-such-user.png\n~/a.png\n")
    images = as_images(tmp_path / "list.txt")
    assert images.names == ["~a.png", "home/a.png"]
    (block,) = Files(tmp_path / "list.txt", tmp_path / "listing", per_part=9).blocks(0, (1, 8, 8), 9)
    assert block.names == ["~a.png", "~/a.png"]
    np.testing.assert_array_equal(block.pixels, images.pixels)
    assert [one.reason for one in (*images.skipped, *block.skipped)] == ["no such file"] * 2


def test_a_wave_may_begin_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path, "~tmp/a.png", "~tmp/b.png")
    assert len(as_images("~tmp")) == 2
    with pytest.raises(InputError, match="~nobody-here: no such file or folder"):
        as_images("~nobody-here")
    with pytest.raises(InputError, match="images came as an empty name"):
        as_images("")
