"""A run that was killed goes on to the same bits."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import tiny_run
from tests.tiny import Tiny

from kinfold.errors import InputError
from kinfold.runtime import Interrupted, Runtime

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and forkserver are of POSIX systems")
FILES = ("labels.csv", "embedding.npy", "model.safetensors")


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Starts real processes quickly: a server has imported everything before."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.tiny_run", "torch._dynamo", "kinfold.data.sources"])
    return context


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, processes: ForkServerContext) -> dict[str, bytes]:
    """The files of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("straight") / "run"
    assert end(start(processes, folder, kill_at=10**6)) == 0
    return contents(folder)


def start(context: ForkServerContext, folder: Path, **options: Any) -> BaseProcess:
    process = context.Process(target=tiny_run.fit, args=(str(folder),), kwargs=options)
    process.start()
    return process


def end(process: BaseProcess) -> int | None:
    process.join(120)
    return process.exitcode


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_killed_at_random_moments(
    tmp_path: Path, processes: ForkServerContext, straight: dict[str, bytes], rng_seed: int = 0
) -> None:
    folder, kills = tmp_path / "run", 0
    dice = np.random.default_rng(rng_seed)
    code: int | None = -signal.SIGKILL
    while code == -signal.SIGKILL:
        process = start(processes, folder, resume=True, pause=0.1)
        if kills < 6:
            time.sleep(float(dice.uniform(0.05, 0.8)))
            process.kill()
            kills += 1
        code = end(process)
    assert code == 0
    assert contents(folder) == straight


def test_killed_at_every_write(tmp_path: Path, processes: ForkServerContext, straight: dict[str, bytes]) -> None:
    """Every file is synced before it gets its name, so dying at a sync is dying with half of the work written."""
    moment, folder = 0, tmp_path / "0"
    while True:
        moment += 1
        folder = tmp_path / str(moment)
        if end(start(processes, folder, kill_at=moment)) == 0:
            break
        assert end(start(processes, folder, resume=True)) == 0
        assert contents(folder) == straight, f"killed at write {moment}"
        left = [path.name for path in folder.rglob("*") if path.name.endswith(".tmp") or path.name == "checkpoint"]
        assert not left
    assert moment > 20
    assert contents(folder) == straight


def test_a_finished_run_is_not_done_again(tmp_path: Path) -> None:
    X = tiny_run.digits(60)
    run = Runtime(device="cpu", folder=tmp_path / "a", resume=True)
    first = Tiny(3, random_state=0).fit(X, runtime=run)
    again = Tiny(3, random_state=0)
    again._start = None  # type: ignore[method-assign, assignment]
    np.testing.assert_array_equal(again.fit(X, runtime=run).labels_, first.labels_)
    np.testing.assert_array_equal(again.predict(X), first.predict(X))


def test_a_checkpoint_half_deleted_is_no_matter(tmp_path: Path) -> None:
    folder, X = tmp_path / "a", tiny_run.digits(60)
    run = Runtime(device="cpu", folder=folder, resume=True)
    first = Tiny(3, random_state=0).fit(X, runtime=run)
    for left in ([], ["state.safetensors"], ["state.json"], ["state.safetensors", "state.json"]):
        step = folder / "checkpoint" / "step-00000003"
        step.mkdir(parents=True)
        for name in left:
            (step / name).write_text("cut")
        np.testing.assert_array_equal(Tiny(3, random_state=0).fit(X, runtime=run).labels_, first.labels_)
        assert not (folder / "checkpoint").exists()


def test_a_finished_run_that_keeps_its_checkpoint_is_finished(tmp_path: Path) -> None:
    X = tiny_run.digits(60)
    kept = Runtime(device="cpu", folder=tmp_path / "a", resume=True, keep_checkpoint=True)
    Tiny(3, random_state=0).fit(X, runtime=kept)
    before = contents(tmp_path / "a")
    again = Tiny(3, random_state=0)
    again._start = None  # type: ignore[method-assign, assignment]
    again.fit(X, runtime=kept)
    assert contents(tmp_path / "a") == before
    with pytest.raises(InputError, match="holds a finished run, which is not overwritten"):
        Tiny(3, random_state=0).fit(X, runtime=Runtime(device="cpu", folder=tmp_path / "a"))


def test_a_finished_run_is_not_overwritten(tmp_path: Path) -> None:
    run = Runtime(device="cpu", folder=tmp_path / "a")
    Tiny(3, random_state=0).fit(tiny_run.digits(60), runtime=run)
    before = contents(tmp_path / "a")
    for X in (tiny_run.digits(60), tiny_run.digits(40)):
        with pytest.raises(InputError, match="holds a finished run, which is not overwritten; give another folder"):
            Tiny(3, random_state=0).fit(X, runtime=run)
    assert contents(tmp_path / "a") == before


class Stopping(Tiny):
    """Stopped by the keyboard in its third round."""

    def _round(self, state: Any, images: Any, run: Runtime) -> Any:
        if state.round == 2:
            raise KeyboardInterrupt
        return super()._round(state, images, run)


Stopping.__name__ = "Tiny"  # so that a Tiny can go on with its run


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The folder of a run that was stopped by Ctrl-C."""
    folder = tmp_path / "stopped"
    with pytest.raises(Interrupted, match=r"finished rounds are saved in .*stopped: resume it"):
        Stopping(3, random_state=0).fit(tiny_run.digits(60), runtime=Runtime(device="cpu", folder=folder))
    return folder


def test_ctrl_c_saves_and_says_how_to_go_on(stopped: Path) -> None:
    X = tiny_run.digits(60)
    resumed = Tiny(3, random_state=0).fit(X, runtime=Runtime(device="cpu", folder=stopped, resume=True))
    straight = Tiny(3, random_state=0).fit(X, runtime=Runtime(device="cpu"))
    np.testing.assert_array_equal(resumed.labels_, straight.labels_)
    np.testing.assert_array_equal(resumed.embedding_, straight.embedding_)
    assert [row["round"] for row in resumed.result_.history] == [1, 2, 3]


def test_ctrl_c_without_a_folder_says_so() -> None:
    with pytest.raises(Interrupted, match="nothing was saved: give a runtime with a folder"):
        Stopping(3, random_state=0).fit(tiny_run.digits(60), runtime=Runtime(device="cpu"))


def test_an_unfinished_run_is_not_overwritten(stopped: Path) -> None:
    with pytest.raises(InputError, match="unfinished run; resume it, or delete"):
        Tiny(3, random_state=0).fit(tiny_run.digits(60), runtime=Runtime(device="cpu", folder=stopped))


def test_resuming_something_else_is_refused(stopped: Path) -> None:
    run, X = Runtime(device="cpu", folder=stopped, resume=True), tiny_run.digits(60)
    (stopped / "cache" / "computed.npy").touch()
    with pytest.raises(InputError, match="was begun with n_clusters=3, not 4"):
        Tiny(4, random_state=0).fit(X, runtime=run)
    with pytest.raises(InputError, match="was begun with preset='default', not 'wide'"):
        Tiny(3, preset="wide", random_state=0).fit(X, runtime=run)
    with pytest.raises(InputError, match="was begun with other images"):
        Tiny(3, random_state=0).fit(X[::-1].copy(), runtime=run)
    with pytest.raises(InputError, match="is a run of Tiny, not of Other"):
        type("Other", (Tiny,), {})(3, random_state=0).fit(X, runtime=run)
    assert (stopped / "cache" / "computed.npy").exists()


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
def test_a_damaged_checkpoint_gives_one_sentence(stopped: Path, name: str) -> None:
    (path,) = (stopped / "checkpoint").glob(f"step-*/{name}")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"state\.\w+ is not (a )?valid"):
        Tiny(3, random_state=0).fit(tiny_run.digits(60), runtime=Runtime(device="cpu", folder=stopped, resume=True))
