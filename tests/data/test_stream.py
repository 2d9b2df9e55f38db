"""Sources in parts: every kind gives the same images, one block at a time, and a folder is listed once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image
from tests.tarshards import digit_shards

from kinfold.data import as_images
from kinfold.data.folder import find, walk
from kinfold.data.images import Skipped
from kinfold.data.stream import Arrays, Files, Parts, parts_of
from kinfold.errors import InputError


def pixels_of(parts: Parts, shape: tuple[int, ...] | None, size: int = 2) -> np.ndarray:
    blocks = [b for number in range(len(parts.names)) for b in parts.blocks(number, shape, size)]
    assert all(len(block) <= size for block in blocks)
    return np.concatenate([block.pixels for block in blocks])


def test_shards_folders_lists_and_arrays_agree(tmp_path: Path) -> None:
    pixels = digit_shards(tmp_path / "shards", 2, 5)
    folder = tmp_path / "folder"
    folder.mkdir()
    for i, one in enumerate(pixels):
        Image.fromarray(one).save(folder / f"{i}.png")
    (tmp_path / "list.txt").write_text("".join(f"folder/{i}.png\n" for i in range(10)))
    np.save(tmp_path / "a.npy", pixels)
    np.savez(tmp_path / "a.npz", images=pixels)
    sources = [tmp_path / "shards", folder, tmp_path / "list.txt", tmp_path / "a.npy", tmp_path / "a.npz", pixels]
    for i, source in enumerate(sources):
        parts = parts_of(source, tmp_path / f"listing-{i}", per_part=4)
        assert len(parts.names) == (2 if i == 0 else 3)
        np.testing.assert_array_equal(pixels_of(parts, (1, 8, 8)), pixels[:, None])


def test_a_folder_is_listed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(5):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4), i, dtype=np.uint8)).save(tmp_path / "in" / f"{i}.png")
    calls, original = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda place: calls.append(place) or original(place))
    for _ in range(2):
        parts = Files(tmp_path / "in", tmp_path / "listing", per_part=2)
        assert pixels_of(parts, (1, 4, 4))[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert len(calls) == 1


def test_walking_finds_what_listing_finds(tmp_path: Path) -> None:
    for name in (
        "b/img10.png",
        "b/img2.png",
        "a.png",
        "B2/x.png",
        "c d/e\nf.png",
        ".hidden/x.png",
        "Thumbs.db",
        "b/0.PNG",
    ):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "y.png").touch()
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "away").symlink_to(tmp_path / "out")
    walked = list(walk(tmp_path / "in"))
    names, skipped = (
        [one for one in walked if isinstance(one, str)],
        [one for one in walked if not isinstance(one, str)],
    )
    found, left_out = find(tmp_path / "in")
    assert sorted(names) == sorted(one.name for one in found)
    assert "away/y.png" in names
    assert skipped == left_out == [Skipped("loop", "a link to a folder that is read already, or holds this one")]
    assert names.index("b/img2.png") < names.index("b/img10.png")
    with pytest.raises(InputError, match="expected a folder of images"):
        list(walk(tmp_path / "nowhere"))


def test_what_cannot_be_read_is_told_and_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "cats"
    (folder / "black").mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(folder / "black" / "1.png")
    (folder / "black" / "2.png").write_text("no picture")
    (block,) = parts_of(folder, tmp_path / "listing", labels=True).blocks(0, (3, 4, 4), 8)
    assert block.names == ["black/1.png"]
    assert block.label_names == ["black"]
    assert [one.path for one in block.skipped] == ["black/2.png"]


def both_ways(folder: Path, listing: Path) -> list[tuple[list[str], list[tuple[str, str]]]]:
    """Names and what was left out, as a fit lists them and as the parts of a stream do."""
    whole = as_images(folder, shape=(1, 4, 4))
    files = Files(folder, listing, per_part=3)
    blocks = [block for i in range(len(files.names)) for block in files.blocks(i, (1, 4, 4), 2)]
    names, skipped = [n for block in blocks for n in block.names], [one for block in blocks for one in block.skipped]
    return [
        (sorted(one), sorted((each.path, each.reason) for each in other))
        for one, other in ((whole.names, whole.skipped), (names, skipped))
    ]


def test_a_link_to_itself_takes_no_neighbour_along(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for place in (folder, folder / "deep"):
        place.mkdir()
        Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(place / "a.png")
        (place / "self.png").symlink_to(place / "self.png")
    whole, parts = both_ways(folder, tmp_path / "listing")
    reason = "a link that leads to itself"
    assert whole == parts == (["a.png", "deep/a.png"], [("deep/self.png", reason), ("self.png", reason)])


def test_names_that_are_not_text_are_listed_by_parts_too(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(folder / "a.png")
    bad = os.fsdecode(os.fsencode(folder) + b"/bad\xff.png")
    try:
        Path(bad).write_bytes((folder / "a.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    whole, parts = both_ways(folder, tmp_path / "listing")
    assert whole == parts == (["a.png"], [("bad\\xff.png", "its name is not valid UTF-8; rename it")])
    (folder / "list.txt").write_bytes(b"a.png\nbad\xff.png\n")
    (block,) = Files(folder / "list.txt", tmp_path / "listing-2", per_part=3).blocks(0, (1, 4, 4), 4)
    assert (block.names, [(one.path, one.reason) for one in block.skipped]) == parts


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
def test_folders_that_may_not_be_read_are_listed_by_parts_too() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "in"
        Path(place).chmod(0o777)
        (folder / "shut").mkdir(parents=True)
        Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(folder / "a.png")
        (folder / "shut").chmod(0)
        before = os.geteuid()
        try:
            if before == 0:
                os.seteuid(65534)  # root may read everything
            whole, parts = both_ways(folder, Path(place) / "listing")
        finally:
            os.seteuid(before)
            (folder / "shut").chmod(0o755)
        assert whole == parts == (["a.png"], [("shut", "folder: permission denied")])


def test_bad_sources_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no files"):
        parts_of(tmp_path / "empty", tmp_path / "listing")
    with pytest.raises(InputError, match="no such file or folder"):
        parts_of(tmp_path / "nowhere", tmp_path / "listing")
    with pytest.raises(InputError, match="whose range only a look at all of it would tell"):
        Arrays(np.zeros((3, 4, 4), dtype=np.int64), per_part=2, what="a.npy")
    for fits in (np.zeros((3, 7), dtype=np.int64), np.zeros((3, 4, 4), dtype=">u2")):
        assert [len(block) for block in Arrays(fits, per_part=3, what="a.npy").blocks(0, None, 2)] == [2, 1]
    (tmp_path / "empty" / "1.png").touch()
    parts = parts_of(tmp_path / "empty", tmp_path / "listing-2")
    with pytest.raises(InputError, match="give image_size"):
        list(parts.blocks(0, None, 2))
    with pytest.raises(InputError, match=r"expected vectors of shape \(7,\)"):
        list(parts.blocks(0, (7,), 2))


def test_parts_say_what_they_are_read_from(tmp_path: Path) -> None:
    digit_shards(tmp_path / "shards", 1, 2)
    with fsspec.open("memory://origin/a.tar", "wb") as file:
        file.write(b"1234")
    np.save(tmp_path / "a.npy", np.zeros((4, 2, 2), dtype=np.uint8))
    (shard,) = (tmp_path / "shards").iterdir()
    of_shard, of_array = shard.stat(), (tmp_path / "a.npy").stat()
    listing = tmp_path / "listing"
    assert parts_of(tmp_path / "shards", listing).origin(0) == {
        "name": "digits-0.tar",
        "size": of_shard.st_size,
        "mtime_ns": of_shard.st_mtime_ns,
    }
    assert parts_of("memory://origin/a.tar", listing).origin(0) == {"name": "memory://origin/a.tar", "size": 4}
    assert parts_of("memory://origin/b.tar", listing).origin(0) == {"name": "memory://origin/b.tar"}
    assert parts_of(tmp_path / "a.npy", listing, per_part=2).origin(1) == {
        "name": "rows from 2",
        "size": of_array.st_size,
        "mtime_ns": of_array.st_mtime_ns,
    }
    assert parts_of(np.zeros((4, 2)), listing).origin(0) == {"name": "rows from 0"}


def test_arrays_stay_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(60, dtype=np.float64).reshape(10, 6))
    parts = parts_of(tmp_path / "a.npy", tmp_path / "listing", per_part=3)
    assert isinstance(parts, Arrays)
    assert isinstance(parts.rows, np.memmap)
    (block,) = parts.blocks(3, (6,), 9)
    np.testing.assert_array_equal(block.pixels, np.arange(54, 60, dtype=np.float32)[None])
    again = parts_of(as_images(np.ones((4, 5), dtype=np.float32)), tmp_path / "listing", per_part=3)
    assert pixels_of(again, None).shape == (4, 5)
