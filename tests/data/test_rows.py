from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinfold.data import as_images, rows
from kinfold.errors import InputError, KinfoldError

FLOWERS = Path(os.environ.get("KINFOLD_DATA", "")) / "flowers5"


def paint(path: Path, size: tuple[int, int] = (12, 10), seed: int = 0, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


class Log:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.phases: list[list] = []
        self.sentences: list[str] = []

    def phase(self, name: str, total: int | None) -> None:
        self.phases.append([name, total, 0, False])

    def advance(self, n: int = 1) -> None:
        self.phases[-1][2] += n

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def done(self) -> None:
        self.phases[-1][3] = True


def test_one_small_size_is_kept_and_others_are_resized(tmp_path: Path) -> None:
    for i in range(3):
        paint(tmp_path / f"{i}.png", seed=i)
    small = as_images(tmp_path)
    assert (small.shape, small.note) == ((3, 10, 12), [])
    paint(tmp_path / "large.png", (300, 200))
    log = Log()
    mixed = as_images(tmp_path, progress=log)
    assert mixed.shape == (3, 128, 128)
    assert mixed.note == log.sentences == ["resized 4 images to 128 x 128 (shorter side, centre crop)"]
    assert log.phases == [["reading headers", 4, 4, True], ["decoding images", 4, 4, True]]
    assert as_images(tmp_path, image_size=10).shape == (3, 10, 10)
    told = as_images(tmp_path, image_size=(10, 12))
    assert told.note == ["resized 1 image to 10 x 12 (height x width; scaled to cover, centre crop)"]
    np.testing.assert_array_equal(told.pixels[:3], small.pixels)


def test_one_large_size_is_resized(tmp_path: Path) -> None:
    for i in range(2):
        paint(tmp_path / f"{i}.png", (129, 100), seed=i)
    assert as_images(tmp_path).shape == (3, 128, 128)


def test_grey_only_if_all_are_grey(tmp_path: Path) -> None:
    paint(tmp_path / "1.png", mode="L")
    paint(tmp_path / "2.png", mode="1")
    assert as_images(tmp_path).shape == (1, 10, 12)
    paint(tmp_path / "3.png")
    mixed = as_images(tmp_path)
    assert mixed.shape == (3, 10, 12)
    assert mixed.note == ["read 2 grey images as RGB, since others have colour"]


def test_files_in_colour_that_show_none_are_grey(tmp_path: Path) -> None:
    for i, (mode, suffix) in enumerate([("RGB", "jpg"), ("RGBA", "png"), ("CMYK", "tif"), ("L", "png")]):
        paint(tmp_path / f"as-{i}.png", mode="L", seed=i)
        Image.open(tmp_path / f"as-{i}.png").convert(mode).save(tmp_path / f"{i}.{suffix}")
    plain = as_images([tmp_path / f"as-{i}.png" for i in range(1, 4)])
    images = as_images([tmp_path / name for name in ("0.jpg", "1.png", "2.tif", "3.png")], cache=tmp_path / "cache")
    assert images.shape == (1, 10, 12)
    assert images.note == ["read 3 images stored in colour as grey, since no image has any"]
    np.testing.assert_array_equal(images.pixels[1:], plain.pixels)
    np.testing.assert_array_equal(images.digests[1:], plain.digests)
    assert as_images([tmp_path / "0.jpg"], shape=(3, 10, 12)).shape == (3, 10, 12)
    paint(tmp_path / "green.png")
    assert as_images([tmp_path / "0.jpg", tmp_path / "green.png"]).shape == (3, 10, 12)


def test_grey_made_of_mapped_colour_is_kept_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinfold.data.store.MEMORY_BUDGET", 0)
    for i in range(3):
        paint(tmp_path / "images" / f"{i}.png", mode="L", seed=i)
        Image.open(tmp_path / "images" / f"{i}.png").convert("RGB").save(tmp_path / "images" / f"{i}.png")
    first = as_images(tmp_path / "images", cache=tmp_path / "cache")
    again = as_images(tmp_path / "images", cache=tmp_path / "cache")
    assert again.shape == first.shape == (1, 10, 12)
    assert again.note == first.note
    np.testing.assert_array_equal(again.pixels, first.pixels)
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_mixed_folder(tmp_path: Path) -> None:
    kinds = "RGB jpg, L jpg, CMYK jpg, RGBA png, P gif, LA png, RGB webp, 1 bmp, CMYK tif, RGBA webp, P png, RGB JPEG"
    for i, (mode, suffix) in enumerate(kind.split() for kind in kinds.split(", ")):
        paint(tmp_path / f"{i}.{suffix}", (30 + i, 40), mode=mode)
    Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30) * 50).save(tmp_path / "deep.tif")
    images = as_images(tmp_path)
    assert images.pixels.shape == (13, 3, 128, 128)
    assert images.pixels.dtype == np.uint8
    assert images.skipped == []
    assert images.note == [
        "resized 13 images to 128 x 128 (shorter side, centre crop)",
        "read 4 grey images as RGB, since others have colour",
        "stretched 1 image of more than 8 bits to 0..255 (each from its 0.5 to its 99.5 percentile)",
    ]


def test_every_kind_of_bad_file_is_listed_and_the_rest_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = paint(tmp_path / "good.png", (60, 60))
    content = good.read_bytes()
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    (tmp_path / "flipped.png").write_bytes(content[:200] + bytes(200) + content[400:])
    jpeg = paint(tmp_path / "x.jpg", (200, 200)).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (tmp_path / "head.jpg").write_bytes(jpeg[:30])
    (tmp_path / "x.jpg").unlink()
    (tmp_path / "text.jpg").write_text("no picture at all")
    (tmp_path / "notes.txt").write_text("no picture at all")
    (tmp_path / "page.html").write_text("<html>")
    paint(tmp_path / "giant.png", (500, 500))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100_000)
    images = as_images(tmp_path)
    assert images.names == ["good.png"]
    assert images.shape == (3, 60, 60)  # what cannot be read has no say in the shape
    reasons = {one.path: one.reason for one in images.skipped}
    assert reasons.pop("flipped.png").startswith("damaged")
    for name in ("cut.png", "cut.jpg"):
        assert reasons.pop(name).startswith("truncated")
    assert reasons.pop("head.jpg").startswith(("truncated", "damaged"))
    assert reasons == {
        "empty.png": "empty file",
        "text.jpg": "damaged, or not an image in spite of its name (.jpg)",
        "notes.txt": "not an image",
        "page.html": "not an image",
        "giant.png": "more than 100,000 pixels, Pillow's limit against decompression bombs",
    }


def test_a_real_decompression_bomb_is_skipped_unread(tmp_path: Path) -> None:
    paint(tmp_path / "good.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    images = as_images(tmp_path)
    assert images.names == ["good.png"]
    assert "decompression bombs" in images.skipped[0].reason


def test_a_damaged_file_does_not_decide_the_shape(tmp_path: Path) -> None:
    for i in range(3):
        paint(tmp_path / f"{i}.png", (20, 20), seed=i, mode="L")
    content = paint(tmp_path / "zz.png", (300, 300)).read_bytes()
    (tmp_path / "zz.png").write_bytes(content[:-4000])
    images = as_images(tmp_path)
    assert images.shape == (1, 20, 20)
    assert images.note == []
    assert [one.path for one in images.skipped] == ["zz.png"]


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX permissions")
def test_what_may_not_be_read_is_listed() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        for name in ("a.png", "closed.png", "shut/b.png"):
            paint(folder / name)
        (folder / "closed.png").chmod(0)
        (folder / "shut").chmod(0)
        before = os.geteuid()
        try:
            if before == 0:
                os.seteuid(65534)  # root may read everything
            images = as_images(folder)
            with pytest.raises(InputError, match="shut: permission denied"):
                as_images(folder / "shut")
        finally:
            os.seteuid(before)
            (folder / "shut").chmod(0o755)
        assert images.names == ["a.png"]
        assert [(one.path, one.reason) for one in images.skipped] == [
            ("closed.png", "permission denied"),
            ("shut", "folder: permission denied"),
        ]


def test_duplicates_are_those_with_the_same_pixels(tmp_path: Path) -> None:
    paint(tmp_path / "1.png", seed=1)
    paint(tmp_path / "2.png", seed=2)
    Image.open(tmp_path / "1.png").save(tmp_path / "3.bmp")
    shutil.copy(tmp_path / "2.png", tmp_path / "4.png")
    shutil.copy(tmp_path / "2.png", tmp_path / "5.png")
    np.testing.assert_array_equal(as_images(tmp_path).duplicate_of, [-1, -1, 0, 1, 1])


def test_parallel_equals_serial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(70):
        paint(tmp_path / f"{i}.jpg", (40 + i % 7, 50), seed=i)
    (tmp_path / "33.jpg").write_bytes(b"")
    monkeypatch.setattr(rows, "_threads", lambda: 1)
    serial = as_images(tmp_path)
    monkeypatch.setattr(rows, "_threads", lambda: 8)
    parallel = as_images(tmp_path)
    np.testing.assert_array_equal(parallel.pixels, serial.pixels)
    np.testing.assert_array_equal(parallel.digests, serial.digests)
    assert parallel.names == serial.names
    assert parallel.skipped == serial.skipped


def test_warnings_of_pillow_stay_inside(tmp_path: Path) -> None:
    paint(tmp_path / "1.png", mode="P")
    picture = Image.open(tmp_path / "1.png")
    picture.save(tmp_path / "2.png", transparency=bytes(range(0, 250, 10)))
    before = list(warnings.filters)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert len(as_images(tmp_path)) == 2
    assert seen == []
    assert warnings.filters == before


def test_a_shape_for_predict(tmp_path: Path) -> None:
    paint(tmp_path / "1.png", (300, 200))
    paint(tmp_path / "2.png", (50, 60), mode="L")
    assert as_images(tmp_path, shape=(3, 32, 24)).shape == (3, 32, 24)
    grey = as_images(tmp_path, shape=(1, 16, 16))
    assert grey.shape == (1, 16, 16)
    assert grey.note[-1] == "read 1 colour image as grey"
    for shape in ((10,), (2, 8, 8)):
        with pytest.raises(InputError, match="holds image files; expected"):
            as_images(tmp_path, shape=shape)


@pytest.fixture
def no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinfold.data.store.MEMORY_BUDGET", 1000)


def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def never(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(rows, "read_pixels", never)
    monkeypatch.setattr(rows, "read_header", never)
    return monkeypatch.undo


def test_beyond_the_budget_pixels_lie_in_a_file(tmp_path: Path, no_budget: None) -> None:
    for i in range(20):
        paint(tmp_path / "in" / f"{i}.png", seed=i)
    (tmp_path / "in" / "7.png").write_bytes(b"")
    images = as_images(tmp_path / "in")
    assert isinstance(images.pixels, np.memmap)
    assert images.pixels.shape == (19, 3, 10, 12)
    for i, path in enumerate(images.paths or []):
        np.testing.assert_array_equal(images.pixels[i], np.asarray(Image.open(path)).transpose(2, 0, 1))
    some = images.select(np.arange(len(images)) % 2 == 0)
    assert isinstance(some.pixels, np.memmap)
    np.testing.assert_array_equal(some.pixels, images.pixels[::2])
    np.testing.assert_array_equal(some.tensor().numpy(), images.tensor().numpy()[::2])


def test_the_cache_is_reused_until_something_changes(
    tmp_path: Path, no_budget: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(20):
        paint(tmp_path / "in" / f"{i}.png", seed=i % 15)
    (tmp_path / "in" / "7.png").write_bytes(b"")
    cache = tmp_path / "run" / "cache"
    first = as_images(tmp_path / "in", cache=cache)
    assert sorted(path.suffix for path in cache.iterdir()) == [".bin", ".digests", ".json"]
    with monkeypatch.context() as patch:
        forbid(patch)
        again = as_images(tmp_path / "in", cache=cache)
    assert isinstance(again.pixels, np.memmap)
    np.testing.assert_array_equal(again.pixels, first.pixels)
    np.testing.assert_array_equal(again.duplicate_of, first.duplicate_of)
    assert (again.names, again.paths, again.skipped) == (first.names, first.paths, first.skipped)
    assert (again.note, again.source) == (first.note, first.source)
    paint(tmp_path / "in" / "7.png", seed=99)
    changed = as_images(tmp_path / "in", cache=cache)
    assert len(changed) == 20
    other = as_images(tmp_path / "in", cache=cache, image_size=20)
    assert other.shape == (3, 20, 20)


def test_a_damaged_cache_is_made_again(tmp_path: Path, no_budget: None) -> None:
    for i in range(20):
        paint(tmp_path / "in" / f"{i}.png", seed=i)
    cache = tmp_path / "cache"
    first = as_images(tmp_path / "in", cache=cache).tensor().numpy()
    for suffix, content in ((".json", b"{"), (".digests", b"123"), (".bin", b""), (".json", json.dumps([]).encode())):
        next(cache.glob(f"*{suffix}")).write_bytes(content)
        np.testing.assert_array_equal(as_images(tmp_path / "in", cache=cache).pixels, first)


def test_an_interrupted_reading_leaves_no_file(
    tmp_path: Path, no_budget: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(20):
        paint(tmp_path / "in" / f"{i}.png", seed=i)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rows, "read_pixels", interrupt)
    with pytest.raises(KeyboardInterrupt):
        as_images(tmp_path / "in", cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_a_killed_run_left_is_swept(tmp_path: Path, no_budget: None) -> None:
    for i in range(20):
        paint(tmp_path / "in" / f"{i}.png", seed=i)
    code = (
        "import os, signal, sys\n"
        "from kinfold.data import as_images, rows, store\n"
        "store.MEMORY_BUDGET = 1000\n"
        "rows.read_pixels = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "as_images(sys.argv[1], cache=sys.argv[2])\n"
    )
    cache = tmp_path / "cache"
    ended = subprocess.run([sys.executable, "-c", code, tmp_path / "in", cache], check=False)
    assert ended.returncode == -9
    assert len(list(cache.glob("*.part"))) == 1
    as_images(tmp_path / "in", cache=cache)
    assert list(cache.glob("*.part")) == []


def test_a_full_disk_is_one_sentence(tmp_path: Path, no_budget: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(20):
        paint(tmp_path / "in" / f"{i}.png", seed=i)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kinfold.data.store._reserve", full)
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(KinfoldError, match=r"decoded pixels take .*No space left on device"):
            as_images(tmp_path / "in", cache=cache)
    assert list((tmp_path / "cache").iterdir()) == []
    with pytest.raises(InputError, match=r"cache is 1\.png, a file"):
        as_images(tmp_path / "in", cache=tmp_path / "in" / "1.png")


def test_large_photos_never_lie_in_memory_at_full_size(tmp_path: Path) -> None:
    """100 photos of 6 million pixels are 1.8 GB decoded; reading them may take a small part of that."""
    ramp = np.linspace(0, 255, 3000).astype(np.uint8)
    photo = np.stack([np.tile(ramp, (2000, 1)), np.tile(ramp[::-1], (2000, 1)), np.full((2000, 3000), 90, np.uint8)], 2)
    Image.fromarray(photo).save(tmp_path / "0.jpg", quality=80)
    Image.fromarray(photo[:1000]).save(tmp_path / "0.png", compress_level=1)
    for i in range(1, 100):
        os.link(tmp_path / "0.jpg", tmp_path / f"{i}.jpg")
    code = (
        "import resource, sys\n"
        "from kinfold.data import as_images\n"
        "from PIL import Image; Image.init()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "images = as_images(sys.argv[1])\n"
        "print(len(images), images.shape, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    told = subprocess.run([sys.executable, "-c", code, tmp_path], check=True, capture_output=True, text=True).stdout
    assert told.startswith("101 (3, 128, 128) ")
    assert int(told.split()[-1]) < 150, f"{told} MB"


@pytest.mark.skipif(not FLOWERS.is_dir(), reason="KINFOLD_DATA has no flowers5")
def test_a_real_folder_of_photographs() -> None:
    images = as_images(FLOWERS, labels="from-folders")
    assert images.pixels.shape == (4317, 3, 128, 128)
    assert int((images.duplicate_of >= 0).sum()) == 6
    assert images.label_names == ["daisy", "dandelion", "rose", "sunflower", "tulip"]
    assert images.labels is not None
    assert np.bincount(images.labels).tolist() == [764, 1052, 784, 733, 984]
    assert (images.skipped, images.note) == ([], [])
