"""Embedding: what a stopped run leaves, what it does with it, and how much memory it takes."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from tests.tarshards import digit_shards, encoded, write_tar
from torch import nn

from kinfold import JULE, algorithms
from kinfold.cli import main
from kinfold.data import as_images
from kinfold.data.features import FeatureShards
from kinfold.embedding import write_features
from kinfold.errors import InputError, KinfoldError
from kinfold.runtime import Progress, Runtime

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shards of ten digits."""
    folder = tmp_path_factory.mktemp("shards")
    digit_shards(folder, 4, 10)
    return folder


def embed(source: Any, out: Path, **options: Any) -> FeatureShards:
    return write_features(source, out, nn.Flatten(), image_size=8, batch_size=4, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_features_are_those_of_the_network(shards: Path, tmp_path: Path) -> None:
    found = embed(shards, tmp_path / "f")
    pixels = as_images(shards, shape=(3, 8, 8)).pixels.reshape(40, -1)
    np.testing.assert_allclose(found[:], pixels / 255, atol=5e-4)  # half a step of half precision
    assert [label for _, label in found.table()] == [str(i % 3) for i in range(40)]
    assert as_images(tmp_path / "f").labels is not None
    assert {path.name for path in (tmp_path / "f").iterdir()} == {
        "manifest.json",
        *(f"part-{i:06d}.{ending}" for i in range(4) for ending in ("npy", "csv", "json")),
    }


def test_only_what_is_missing_or_damaged_is_written_again(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "f"
    embed(shards, out)
    before = contents(out)
    (out / "part-000001.npy").write_bytes(before["part-000001.npy"][:-9])
    for ending in ("npy", "csv", "json"):
        (out / f"part-000003.{ending}").unlink()
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    said: list[str] = []

    class Hear(Progress):
        def say(self, sentence: str) -> None:
            said.append(sentence)

    embed(shards, out, resume=True, runtime=Runtime(progress=Hear()))
    assert contents(out) == before
    assert len(said) == 1
    assert "part-000001.npy does not match its checksum" in said[0]
    kept = [name for name in times if name.startswith(("part-000000", "part-000002"))]
    assert all((out / name).stat().st_mtime_ns == times[name] for name in kept)


def test_killed_in_the_middle_it_goes_on(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (400, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    out = tmp_path / "f"
    code = (
        "import sys, time, torch; from torch import nn; from kinfold.embedding import write_features\n"
        "class Slow(nn.Flatten):\n"
        "    def forward(self, x):\n"
        "        time.sleep(0.02)\n"
        "        return super().forward(x)\n"
        "Slow.__name__ = 'Flatten'\n"
        "write_features(sys.argv[1], sys.argv[2], Slow(), part_size=20, batch_size=4)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.npy"), str(out)], cwd=ROOT)
    deadline = time.monotonic() + 120
    while not (out / "part-000004.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with pytest.raises(InputError, match="does not hold all its parts yet"):
        FeatureShards(out)
    with pytest.raises(InputError, match="holds features that are not finished; add --resume"):
        write_features(tmp_path / "a.npy", out, nn.Flatten(), part_size=20, batch_size=4)
    early = (out / "part-000000.npy").stat().st_mtime_ns
    found = write_features(tmp_path / "a.npy", out, nn.Flatten(), part_size=20, batch_size=4, resume=True)
    assert (out / "part-000000.npy").stat().st_mtime_ns == early
    np.testing.assert_allclose(found[:], pixels.reshape(400, -1) / 255, atol=5e-4)
    assert not [path for path in out.iterdir() if path.name.endswith(".tmp")]


def test_a_full_disk_keeps_the_finished_parts(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, original, calls = tmp_path / "f", os.fsync, iter(range(1000))

    def full(handle: int) -> None:
        if next(calls) >= 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(KinfoldError, match=r"has no room left for part 2 of 4; the parts before it are kept: make"):
            embed(shards, out)
    left = {path.name for path in out.iterdir()}
    assert {"part-000000.npy", "part-000000.csv", "part-000000.json"} <= left
    assert not [name for name in left if name.endswith(".tmp")]
    assert len(embed(shards, out, resume=True)) == 40


def test_a_shard_that_vanishes_or_breaks_stops_with_one_sentence(tmp_path: Path) -> None:
    pixels = digit_shards(tmp_path / "s", 3, 5)
    pattern, out = f"{tmp_path}/s/digits-{{0..2}}.tar", tmp_path / "f"
    middle = tmp_path / "s" / "digits-1.tar"
    content = middle.read_bytes()

    class Remove(Progress):
        def advance(self, n: int = 1) -> None:
            middle.unlink(missing_ok=True)

    with pytest.raises(InputError, match=r"digits-1\.tar is not there any more; put it back and go on"):
        embed(pattern, out, runtime=Runtime(progress=Remove()))
    for cut in (3000, 4096):  # in the middle of a member, and between two
        middle.write_bytes(content[:cut])
        with pytest.raises(InputError, match=r"digits-1\.tar could not be read to its end"):
            embed(pattern, out, resume=True)
    assert (out / "part-000000.json").exists()
    assert not (out / "part-000001.npy").exists()
    middle.write_bytes(content)
    np.testing.assert_allclose(embed(pattern, out, resume=True)[:][:, :64], pixels.reshape(15, -1) / 255, atol=5e-4)


def hearing() -> tuple[Runtime, list[str]]:
    """A runtime, and what it says."""
    said: list[str] = []

    class Hear(Progress):
        def say(self, sentence: str) -> None:
            said.append(sentence)

    return Runtime(progress=Hear()), said


def test_other_shards_than_before_are_refused_and_those_that_came_back_go_on(tmp_path: Path) -> None:
    pixels = digit_shards(tmp_path / "s", 4, 5)
    shards, out = tmp_path / "s", tmp_path / "f"
    second, last = shards / "digits-1.tar", shards / "digits-3.tar"
    whole = last.read_bytes()
    last.write_bytes(whole[:3000])
    with pytest.raises(InputError, match=r"digits-3\.tar could not be read to its end"):
        embed(shards, out)
    second.rename(tmp_path / "elsewhere.tar")
    with pytest.raises(
        InputError, match=r"begun with 4 parts, and .*/s has 3 now \(digits-1\.tar is gone\); bring back what"
    ):
        embed(shards, out, resume=True)
    (tmp_path / "elsewhere.tar").rename(second)
    write_tar(shards / "digits-4.tar", {"x.png": encoded(pixels[0])})
    with pytest.raises(InputError, match=r"has 5 now \(digits-4\.tar has come\)"):
        embed(shards, out, resume=True)
    (shards / "digits-4.tar").rename(shards / "digits-0a.tar")
    last.rename(shards / "digits-3a.tar")
    with pytest.raises(InputError, match=r"has 5 now \(digits-3\.tar is gone, and 2 more\)"):
        embed(shards, out, resume=True)
    (shards / "digits-0a.tar").unlink()
    (shards / "digits-3a.tar").unlink()
    last.write_bytes(whole)
    np.testing.assert_allclose(embed(shards, out, resume=True)[:][:, :64], pixels.reshape(20, -1) / 255, atol=5e-4)
    assert [part["source"] for part in json.loads((out / "manifest.json").read_text())["parts"]] == [
        f"digits-{i}.tar" for i in range(4)
    ]
    second.unlink()
    with pytest.raises(InputError, match=r"digits-1\.tar is gone"):  # of a finished folder too
        embed(shards, out, resume=True)
    assert len(FeatureShards(out)) == 20


def test_parts_of_a_changed_source_are_written_again(tmp_path: Path) -> None:
    pixels = digit_shards(tmp_path / "s", 3, 5)
    embed(tmp_path / "s", tmp_path / "f")
    write_tar(tmp_path / "s" / "digits-1.tar", {f"{i}.png": encoded(255 - pixels[i]) for i in range(5, 10)})
    run, said = hearing()
    found = embed(tmp_path / "s", tmp_path / "f", resume=True, runtime=run)
    assert said == ["What part-000001 was read from (digits-1.tar) has changed. Writing it again."]
    np.testing.assert_allclose(found[:][5:10, :64], 1 - pixels[5:10].reshape(5, -1) / 255, atol=5e-4)

    np.save(tmp_path / "a.npy", pixels)
    embed(tmp_path / "a.npy", tmp_path / "g", part_size=5)
    (tmp_path / "g" / "part-000002.npy").unlink()
    np.save(tmp_path / "a.npy", 255 - pixels)
    os.utime(tmp_path / "a.npy", ns=(1, 1))
    run, said = hearing()
    found = embed(tmp_path / "a.npy", tmp_path / "g", part_size=5, resume=True, runtime=run)
    assert len(said) == 3
    np.testing.assert_allclose(found[:][:, :64], 1 - pixels.reshape(15, -1) / 255, atol=5e-4)
    np.save(tmp_path / "a.npy", pixels[:7])
    with pytest.raises(InputError, match=r"begun with 3 parts, and .*a\.npy has 2 now \(rows from 10 is gone\)"):
        embed(tmp_path / "a.npy", tmp_path / "g", part_size=5, resume=True)


def test_a_call_that_failed_before_its_first_part_blocks_nothing(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "f"
    with pytest.raises(InputError, match=r"nosuch\.npy: no such file"):
        embed(tmp_path / "nosuch.npy", out)
    assert not out.exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no files"):
        embed(tmp_path / "empty", out)
    (tmp_path / "empty" / "1.png").write_bytes(encoded(np.zeros((8, 8), dtype=np.uint8)))
    with pytest.raises(InputError, match="give image_size"):
        write_features(tmp_path / "empty", out, nn.Flatten())
    assert {path.name for path in out.iterdir()} == {"manifest.json", "files.jsonl"}
    (out / ".part-000000.npy.tmp").write_bytes(b"half")  # of a call that was killed
    assert len(embed(shards, out)) == 40
    assert {path.suffix for path in out.iterdir()} == {".json", ".npy", ".csv"}
    for name in ("files.jsonl", ".files.jsonl.tmp"):  # killed while it listed
        (tmp_path / name.strip(".")).mkdir()
        (tmp_path / name.strip(".") / name).write_text('"other.png"\n')
        assert embed(tmp_path / "empty", tmp_path / name.strip("."), resume=True).shape == (1, 192)


def test_a_listing_of_the_users_own_is_left_alone(shards: Path, tmp_path: Path) -> None:
    own = tmp_path / "own" / "files.jsonl"
    own.parent.mkdir()
    own.write_text('{"my": "notes"}\n')
    with pytest.raises(InputError, match="own holds files that are no features; give an empty or a new folder"):
        embed(shards, own.parent)
    assert own.read_text() == '{"my": "notes"}\n'


def test_a_source_without_a_picture_is_refused(shards: Path, tmp_path: Path) -> None:
    out, source = tmp_path / "f", tmp_path / "s"
    source.mkdir()
    write_tar(source / "a.tar", {})
    write_tar(source / "b.tar", {"read.me": b"no picture"})
    with pytest.raises(InputError, match=r"/s holds no picture; expected JPEG, PNG"):
        embed(source, out)
    write_tar(source / "b.tar", {"1.png": b"no picture", "2.png": b"none"})
    with pytest.raises(
        InputError, match=r"none of the 2 images of .*/s could be used; the first is b\.tar/1\.png: .+\."
    ):
        embed(source, out)
    assert not list(out.iterdir())
    write_tar(source / "b.tar", {"1.png": encoded(np.zeros((8, 8), dtype=np.uint8))})
    found = embed(source, out)  # one shard of several may be empty
    assert [part["rows"] for part in found.about["parts"]] == [0, 1]


def test_folders_are_not_mixed_up(shards: Path, tmp_path: Path) -> None:
    out = tmp_path / "f"
    embed(shards, out)
    with pytest.raises(InputError, match="holds features already; add --resume"):
        embed(shards, out)
    with pytest.raises(InputError, match="was begun with model"):
        write_features(shards, out, nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), image_size=8, resume=True)
    with pytest.raises(InputError, match="was begun with part_size 10000, not 3"):
        embed(shards, out, part_size=3, resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()
    with pytest.raises(InputError, match="holds files that are no features"):
        embed(shards, tmp_path / "other")
    with pytest.raises(InputError, match="is neither a run folder nor a pretrained network"):
        write_features(shards, tmp_path / "g", "magic")


def test_memory_does_not_grow_with_the_shards(tmp_path: Path) -> None:
    """The same 14 MB of pictures under twelve names: decoded and embedded they would take 100 MB."""
    noise = np.random.default_rng(0).integers(0, 256, (300, 96, 160), dtype=np.uint8)
    first = write_tar(tmp_path / "s-00.tar", {f"{i}.bmp": encoded(one, "BMP") for i, one in enumerate(noise)})
    for i in range(1, 16):
        os.link(first, tmp_path / f"s-{i:02d}.tar")
    resident: list[int] = []

    class Watch(Progress):
        def advance(self, n: int = 1) -> None:
            lines = Path("/proc/self/status").read_text().splitlines()
            resident.append(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) // 1024)

    net = nn.Sequential(nn.AdaptiveAvgPool2d(96), nn.Flatten())
    source, run = f"{tmp_path}/s-{{00..15}}.tar", Runtime(progress=Watch())
    write_features(source, tmp_path / "f", net, image_size=96, batch_size=32, runtime=run)
    grown = max(resident[4:16]) - max(resident[:4])
    assert grown < 24, f"resident memory in MB after each shard: {resident}"


def test_arrays_come_on_the_scale_of_the_fitted_images(tmp_path: Path) -> None:
    digits = load_digits().images[:40].astype(np.uint8)
    model = JULE(4, n_periods=1, n_epochs=1, n_final=0, preset="fast", random_state=0).fit(digits.astype(np.float32))
    found = write_features(digits, tmp_path / "whole", model, part_size=16)
    np.testing.assert_allclose(found[np.arange(40)], model.embedding_, atol=1e-3)


def test_the_command_embeds_and_clusters(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(algorithms._HOME, "Tiny", "tests.tiny")
    monkeypatch.chdir(tmp_path)
    pattern = f"{shards}/digits-{{0..3}}.tar"
    tiny = ["--algorithm", "tiny", "-k", "2", "--param", "n_rounds=1"]
    assert main(["cluster", pattern, "--out", "runs/a", *tiny]) == 0
    assert "40 images of 1 x 8 x 8" in capsys.readouterr().out
    assert main(["report", "runs/a", "--out", "again.html"]) == 0
    assert main(["embed", pattern, "--out", "features", "--model", "runs/a"]) == 0
    said = capsys.readouterr().out
    assert "Written: features (40 features of 4 numbers in 4 parts)" in said
    assert "Next:    kinfold cluster features" in said
    assert main(["cluster", "features", "--out", "runs/b", *tiny]) == 0
    said = capsys.readouterr().out
    assert "40 vectors of 4 from features" in said
    assert "features of Tiny from" in said
    assert (Path("runs/b") / "report.html").exists()
    assert main(["predict", "runs/b", "features"]) == 0
    assert main(["embed", pattern, "--out", "features", "--model", "runs/a"]) == 1
    assert "holds features already; add --resume" in capsys.readouterr().err
    assert main(["embed", pattern, "--out", "g", "--labels", "mine"]) == 2
    table = json.loads(Path("features/manifest.json").read_text())
    assert table["n"] == 40
    assert torch.from_numpy(FeatureShards("features")[:3]).shape == (3, 4)
