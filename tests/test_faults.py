"""Processes that die, and machines that meet: started and killed as they are in life."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.tiny_run import digits

from kinfold import load
from kinfold.data import as_images
from kinfold.data.features import FeatureShards

# Six interpreters have to start, which a busy machine does slowly.
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
    pytest.mark.timeout(900),
]
ROOT = Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
# Small, with some rounds of half a second or so.
SMALL = ["-k", "10", "--no-report", "--param", "n_periods=3", "--param", "n_epochs=4", "--param", "n_final=2"]


def cluster(folder: Path, out: str, *more: str) -> list[str]:
    if not (folder / "digits.npy").exists():
        np.save(folder / "digits.npy", digits(300))
    return ["-m", "kinfold", "cluster", str(folder / "digits.npy"), "--out", str(folder / out), *SMALL, *more]


def worker(above: int, rank: int) -> int | None:
    """The process of this rank among those that a process has started, or None while it is not there."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "environ").read_bytes().split(b"\0")
            line = [int(place.name)]
            while line[-1] > 1 and line[-1] != above:
                line.append(int((Path("/proc") / str(line[-1]) / "stat").read_text().rpartition(")")[2].split()[1]))
        except (OSError, ValueError):
            continue
        if line[-1] == above and f"RANK={rank}".encode() in words:
            return int(place.name)
    return None


def history(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def rounds_saved(run: Path) -> int:
    found = sorted((run / "checkpoint").glob("step-*[0-9]"))
    return int(found[-1].name.removeprefix("step-")) if found else 0


def test_a_killed_worker_stops_the_run_and_nothing_is_lost(tmp_path: Path) -> None:
    run = tmp_path / "a"
    command = [sys.executable, *cluster(tmp_path, "a", "--processes", "2")]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 400
    while rounds_saved(run) < 1 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    victim = worker(process.pid, 1)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert error.count("\n") == 1, error
    assert "One of the 2 processes was killed (signal 9, by the system for want of memory perhaps)." in error
    assert f"the finished rounds are saved in {run}" in error
    assert "Go on with: kinfold cluster" in error
    assert "--resume" in error
    saved = rounds_saved(run)
    assert saved >= 1
    before = json.loads(next((run / "checkpoint").glob("step-*[0-9]/state.json")).read_text())
    again = [*TORCHRUN, "--standalone", "--nproc-per-node=2", *cluster(tmp_path, "a", "--resume")]
    done = subprocess.run(again, env=ENVIRONMENT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    assert f"going on after round {saved}." in done.stdout
    assert f"round {saved}:" not in done.stdout
    rows = history(run / "history.csv")
    assert [int(row["round"]) for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) > saved
    text = json.dumps(before)
    for row in rows[:saved]:  # the very numbers that were saved before the kill, seconds and all
        assert row["loss"] in text
        assert row["seconds"] in text
    assert json.loads((run / "run.json").read_text())["processes"] == 2


def on_two_machines(*arguments: str) -> list[str]:
    """What two torchruns print that find each other by their rendezvous, as on two machines that share a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meet = ["--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}"]
    machine = [*TORCHRUN, *meet, "--rdzv-id=kinfold", "--local-addr=127.0.0.1", "-m", "kinfold"]
    both = [
        subprocess.Popen(
            [*machine, *arguments], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=400) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    return [out for out, _ in said]


def test_two_machines_embed_as_one(tmp_path: Path) -> None:
    np.save(tmp_path / "digits.npy", digits(60))
    said = on_two_machines(
        "embed", str(tmp_path / "digits.npy"), "--out", str(tmp_path / "f"), "--part-size", "20", "--image-size", "32"
    )
    assert sum("Written: " in out for out in said) == 1
    shards = FeatureShards(tmp_path / "f")
    assert shards.shape == (60, 1280)
    assert [part["rows"] for part in shards.about["parts"]] == [20, 20, 20]
    assert len(as_images(tmp_path / "f")) == 60


def test_two_machines_cluster_as_one(tmp_path: Path) -> None:
    np.save(tmp_path / "digits.npy", digits(200))
    said = on_two_machines(
        "cluster", str(tmp_path / "digits.npy"), "--out", str(tmp_path / "run"), "--algorithm", "nat", *SMALL[:3],
        "--param", "n_epochs=2", "--param", "n_refine=1",
    )  # fmt: skip
    assert sum("Written: " in out for out in said) == 1
    found = load(tmp_path / "run")
    assert len(found.labels_) == 200
    assert json.loads((tmp_path / "run" / "run.json").read_text())["processes"] == 2
