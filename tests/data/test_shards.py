"""Tar shards: what is read, what is refused, and what is said when one is damaged."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import pickle
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest
from tests.tarshards import digit_shards, encoded, write_tar

from kinfold.data import as_images
from kinfold.data.images import Skipped
from kinfold.data.shards import expand, is_shards, samples
from kinfold.errors import InputError, NoRoomError

PICTURE = encoded(np.zeros((8, 8), dtype=np.uint8))


class Trap:
    """Leaves a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("sprung"),)


def test_a_sample_has_its_picture_and_its_class(tmp_path: Path) -> None:
    members = {"a/1.png": PICTURE, "a/1.cls": b" 7\n", "a/1.json": b"{}", "b.JPG": PICTURE, "note": b"x"}
    path = write_tar(tmp_path / "x.tar", members)
    skipped: list[Skipped] = []
    found = list(samples(str(path), skipped))
    assert [(one.name, one.label) for one in found] == [("x.tar/a/1.png", "7"), ("x.tar/b.jpg", None)]
    assert found[0].data == PICTURE
    assert not skipped


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_shards_are_images_like_any_other(tmp_path: Path, mode: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 9, 7), dtype=np.uint8)
    members = {f"{i}.png": encoded(one) for i, one in enumerate(pixels)}
    images = as_images(write_tar(tmp_path / "x.tar", members, mode))
    np.testing.assert_array_equal(images.pixels, pixels[:, None])
    assert images.labels is None
    assert images.names == ["x.tar/0.png", "x.tar/1.png", "x.tar/2.png"]


def test_braces_folders_and_addresses_name_the_same_shards(tmp_path: Path) -> None:
    pixels = digit_shards(tmp_path / "shards", 3, 4)
    for shard in (tmp_path / "shards").iterdir():
        with fsspec.open(f"memory://bucket/{shard.name}", "wb") as file:
            file.write(shard.read_bytes())
    for source in (tmp_path / "shards", f"{tmp_path}/shards/digits-{{0..2}}.tar", "memory://bucket/digits-{0..2}.tar"):
        images = as_images(source)
        np.testing.assert_array_equal(images.pixels, pixels[:, None])
        np.testing.assert_array_equal(images.labels, np.arange(12) % 3)


def test_names_that_lead_out_are_skipped_and_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("../up.png", "/absolute.png", "a/../../b.png", "C:/c.png", "good.png"):
            info = tarfile.TarInfo(name)
            info.size = len(PICTURE)
            archive.addfile(info, io.BytesIO(PICTURE))
        for kind, name in (
            (tarfile.SYMTYPE, "link.png"),
            (tarfile.LNKTYPE, "hard.png"),
            (tarfile.FIFOTYPE, "fifo.png"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    images = as_images(path)
    assert images.names == ["x.tar/good.png"]
    assert len(images.skipped) == 4
    assert {one.reason for one in images.skipped} == {"its name leads out of the shard"}
    assert {one.name for one in tmp_path.iterdir()} == {"inside", "x.tar"}
    assert not list(inside.iterdir())


def test_nothing_is_unpickled_and_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    trap = pickle.dumps(Trap())
    members = {"1.png": PICTURE, "1.pyd": trap, "1.pickle": trap, "1.cls": trap, "2.png": trap, "2.pth": trap}
    images = as_images(write_tar(tmp_path / "x.tar", members))
    assert len(images) == 1
    assert not Path("sprung").exists()
    with pytest.raises(InputError, match="is no address that fsspec opens"):
        list(samples("pipe://touch sprung; cat x.tar", []))
    with pytest.raises(InputError, match=r"pipe:touch sprung; cat x\.tar is not there"):
        expand("pipe:touch sprung; cat x.tar")
    assert not Path("sprung").exists()


def test_a_damaged_shard_is_one_sentence(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{i}.png": PICTURE * 30 for i in range(9)})
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2 + 700], b"no tar at all" * 99, b""):
        path.write_bytes(content)
        with pytest.raises(
            InputError, match=r"the shard .*x\.tar could not be read to its end \(.+\); replace it"
        ) as said:
            list(samples(str(path), []))
        assert "\n" not in str(said.value)
    path.unlink()
    with pytest.raises(InputError, match=r"x\.tar is not there any more; put it back"):
        list(samples(str(path), []))
    with pytest.raises(InputError, match=r"1\.tar is not there, nor are 1 more; .* names 2 shards"):
        expand(f"{tmp_path}/{{1..2}}.tar")


def cut_at_a_member(whole: bytes) -> bytes:
    return whole[: 3 * (512 + 10240)]


def with_a_flipped_header(whole: bytes) -> bytes:
    content = bytearray(whole)
    content[3 * (512 + 10240) + 5] ^= 1
    return bytes(content)


def with_a_blank_header(whole: bytes) -> bytes:
    start = 3 * (512 + 10240)
    return whole[:start] + bytes(512) + whole[start + 512 :]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize(("damage", "says"), [
    (cut_at_a_member, "it ends without the end mark of a tar file"),
    (lambda whole: whole[: 3 * (512 + 10240) + 300], "a header is damaged: truncated header"),
    (with_a_flipped_header, "a header is damaged: bad checksum"),
    (with_a_blank_header, "more follows behind its end mark"),
])  # fmt: skip
def test_a_shard_that_loses_members_is_never_taken_for_a_whole_one(
    tmp_path: Path, damage: Callable[[bytes], bytes], says: str, mode: str
) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{i}.png": PICTURE.ljust(10240, b"\0") for i in range(6)})
    pack = {"w": bytes, "w:gz": gzip.compress, "w:bz2": bz2.compress, "w:xz": lzma.compress}[mode]
    path.write_bytes(pack(path.read_bytes()))
    assert len(list(samples(str(path), []))) == 6
    unpack = {"w": bytes, "w:gz": gzip.decompress, "w:bz2": bz2.decompress, "w:xz": lzma.decompress}[mode]
    path.write_bytes(pack(damage(unpack(path.read_bytes()))))
    with pytest.raises(InputError, match=rf"x\.tar could not be read to its end \({says}\); replace it and go on"):
        list(samples(str(path), []))
    with pytest.raises(InputError, match="could not be read to its end"):
        as_images(path)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_shards_are_checked_to_their_last_byte(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = write_tar(tmp_path / "x.tar", {f"{i}.png": PICTURE for i in range(6)})
    whole = path.read_bytes()
    path.write_bytes(pack(whole[:2000]) + pack(whole[2000:]))  # as parallel compressors write
    assert len(list(samples(str(path), []))) == 6
    for content in (pack(whole)[:-3], pack(whole)[:-12] + b"x" * 12):
        path.write_bytes(content)
        with pytest.raises(InputError, match="could not be read to its end"):
            list(samples(str(path), []))


def test_a_full_folder_for_temporary_files_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(NoRoomError, match="has no room for the pictures of the shards; make room there, or set TMPDIR"):
        as_images(write_tar(tmp_path / "x.tar", {"a.png": PICTURE}))


def test_an_address_that_cannot_be_opened_says_what_is_missing() -> None:
    fsspec.register_implementation("far", "no_such_package.Far", clobber=True, errtxt="Install farfs to access Far")
    for address in ("far://bucket/a.tar", "simplecache::far://bucket/a.tar"):
        with pytest.raises(InputError, match="needs a package that is not installed: Install farfs to access Far; pip"):
            as_images(address)
    with pytest.raises(
        InputError, match=r"is no address that fsspec opens \(Protocol not known: nosuch\); expected a p"
    ):
        as_images("nosuch://bucket/{0..1}.tar")
    with pytest.raises(InputError, match=r"the shard memory://bucket/gone\.tar is not there any more; put it back"):
        as_images("memory://bucket/gone.tar")


def test_a_brace_without_its_partner_is_one_sentence(tmp_path: Path) -> None:
    for pattern in ("a-{000..001.tar", "memory://bucket/{0..1}{.tar"):
        with pytest.raises(
            InputError, match=r"has a brace without its partner; expected a pattern such as digits-\{000"
        ):
            expand(pattern)
    odd = write_tar(tmp_path / "a-{0.tar", {"a.png": PICTURE})
    assert expand(odd) == [str(odd)]  # unless a file has that very name


def test_one_block_of_zeros_ends_a_shard_and_notes_about_it_are_no_samples(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", {"__notes__/1.png": PICTURE, "a.png": PICTURE})
    content = path.read_bytes().rstrip(b"\0")
    path.write_bytes(content + bytes(-len(content) % 512 + 512))
    assert [one.name for one in samples(str(path), [])] == ["x.tar/a.png"]
    path.write_bytes(bytes(1024))
    assert not list(samples(str(path), []))


def test_what_counts_as_shards(tmp_path: Path) -> None:
    for name in ("a10.tar", "a9.tar", "sizes.json", ".hidden"):
        (tmp_path / name).touch()
    assert is_shards(tmp_path)
    assert [Path(one).name for one in expand(tmp_path)] == ["a9.tar", "a10.tar"]
    (tmp_path / "1.png").touch()
    assert not is_shards(tmp_path)
    assert not is_shards(tmp_path / "nowhere")
