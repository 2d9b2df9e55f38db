"""The command line: what it writes, what it says, and how it fails."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.tiny import Tiny

import kinfold
from kinfold import algorithms, launch
from kinfold.cli import main
from kinfold.cli.runs import name_of
from kinfold.data import rows, store
from kinfold.errors import KinfoldError
from kinfold.runtime import Interrupted
from kinfold.terminal import Bar, Lines, duration

COMMANDS = ["cluster", "predict", "report", "name", "export", "embed", "evaluate", "benchmark", "algorithms"]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 24 small pictures in two class folders, one file that is no picture; and the algorithm `tiny`."""
    monkeypatch.setitem(algorithms._HOME, "Tiny", "tests.tiny")
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for i in range(24):
        kind = "dark" if i % 2 else "light"
        pixels = draw.integers(0, 60, (8, 8), dtype=np.uint8) + np.uint8(0 if i % 2 else 180)
        target = tmp_path / "photos" / kind / f"{i:02d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(target)
    (tmp_path / "photos" / "broken.png").write_text("no picture")
    return tmp_path / "photos"


def cluster(*more: str) -> int:
    return main(["cluster", "photos/", "--algorithm", "tiny", "-k", "2", "--param", "n_rounds=2", *more])


@pytest.fixture
def run(photos: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A finished run of the photos."""
    assert cluster("--out", "runs/a", "--no-report") == 0
    capsys.readouterr()
    return photos.parent / "runs" / "a"


def failure(code: int, capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence of a failed command."""
    assert code == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.count("\n") == 1
    return error.strip()


# The whole way -------------------------------------------------------------------------------------------------------


def test_cluster_writes_a_run_and_says_what_to_type_next(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cluster("--out", "runs/a", "--labels", "from-folders") == 0
    said, error = capsys.readouterr()
    assert error == ""
    run = Path("runs/a")
    wanted = {
        "run.json",
        "labels.csv",
        "embedding.npy",
        "model.safetensors",
        "history.csv",
        "skipped.csv",
        "report.html",
    }
    assert {path.name for path in run.iterdir()} == wanted
    assert "24 images of 1 x 8 x 8" in said
    assert "skipped broken.png" in said
    assert "2 groups of 12 images" in said
    assert "acc 1.000" in said
    assert "kinfold predict runs/a more_photos/" in said
    assert "kinfold export runs/a --to folders" in said
    assert "\x1b" not in said  # no colours and no cursor moves in a file


def test_the_folder_of_the_run_has_a_default(photos: Path) -> None:
    assert cluster("--no-report") == 0
    assert (Path("runs") / "photos" / "labels.csv").exists()
    assert not (Path("runs") / "photos" / "report.html").exists()


def test_predict_writes_a_table_and_folders(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "runs/a", "photos/dark", "--to-folders", "sorted"]) == 0
    rows = list(csv.DictReader(io.StringIO((run / "predictions.csv").read_text())))
    assert list(rows[0]) == ["image", "cluster", "confidence", "outlier"]
    assert len(rows) == 12
    assert len({row["cluster"] for row in rows}) == 1
    assert len(list(Path("sorted").rglob("*.png"))) == 12
    assert "Written: runs/a/predictions.csv" in capsys.readouterr().out
    assert main(["predict", "runs/a", "photos/dark"]) == 2
    assert "is not overwritten; give another name with --out" in capsys.readouterr().err


def test_predict_to_standard_output_is_a_table_and_nothing_else(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "runs/a", "photos/light", "--out", "-"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 13
    assert rows[0] == ["image", "cluster", "confidence", "outlier"]


def test_report_is_written_again(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "runs/a", "--out", "page.html"]) == 0
    assert Path("page.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    Path("photos").rename("moved")
    assert main(["report", "runs/a", "--out", "names.html"]) == 0
    assert "the report shows names in place of pictures" in capsys.readouterr().out
    assert main(["report", "runs/a", "--images", "moved"]) == 0
    assert main(["report", "runs/a", "--images", "nowhere"]) == 1


def test_names_reach_folders_tables_and_new_images(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["name", "runs/a"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["group", "images", "name", "such", "as"]
    assert [line.split()[:2] for line in said[1:3]] == [["0", "12"], ["1", "12"]]
    assert main(["name", "runs/a", "0=red vans", "1= people "]) == 0
    said = capsys.readouterr().out
    assert "Written: runs/a/names.csv" in said and "kinfold export runs/a" in said
    assert (run / "names.csv").read_text() == "cut,cluster,name\n,0,red vans\n,1,people\n"
    assert main(["predict", "runs/a", "photos/dark", "--to-folders", "new"]) == 0
    rows = list(csv.DictReader(io.StringIO((run / "predictions.csv").read_text())))
    (called,) = {row["name"] for row in rows}
    assert called in ("red vans", "people")
    assert len(list(Path("new", called).iterdir())) == 12
    assert main(["export", "runs/a", "--to", "folders", "--dest", "sorted"]) == 0
    assert {path.name for path in Path("sorted").iterdir()} == {"red vans", "people"}
    assert main(["name", "runs/a", "0="]) == 0
    assert main(["export", "runs/a", "--to", "csv", "--dest", "t.csv"]) == 0
    assert {row["name"] for row in csv.DictReader(io.StringIO(Path("t.csv").read_text()))} == {"", "people"}
    assert main(["report", "runs/a"]) == 0
    assert '"given":{"":{"1":"people"}}' in (run / "report.html").read_text(encoding="utf-8")
    run.rename(run.with_name("a run"))
    capsys.readouterr()
    assert main(["name", "runs/a run", "0=vans"]) == 0
    assert "kinfold export 'runs/a run' --to folders" in capsys.readouterr().out


def test_a_table_of_names_is_taken_over(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("names.csv").write_text("cluster,name\n1,people\n")
    assert main(["name", "runs/a", "--from", "names.csv", "0=vans"]) == 0
    assert (run / "names.csv").read_text() == "cut,cluster,name\n,0,vans\n,1,people\n"
    Path("names.csv").write_text("cluster,name\n7,people\n")
    assert "the run has no group 7; expected one of 0 to 1" in failure(
        main(["name", "runs/a", "--from", "names.csv"]), capsys
    )
    assert "no merge tree" in failure(main(["name", "runs/a", "-k", "2", "0=a"]), capsys)
    assert main(["name", "runs/a", "vans"]) == 2
    assert "'vans' names no group; expected GROUP=NAME" in capsys.readouterr().err
    assert main(["name", "runs/a", "--from", "names.csv", "-k", "2"]) == 2
    assert "--from cannot go with -k" in capsys.readouterr().err
    assert "No such file" in failure(main(["name", "runs/a", "--from", "absent.csv"]), capsys)
    assert (run / "names.csv").read_text() == "cut,cluster,name\n,0,vans\n,1,people\n"


def test_export_folders_shows_its_plan_first(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "runs/a", "--to", "folders", "--dest", "sorted", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "24 files would be written to sorted; nothing was." in said
    assert "photos/dark/01.png -> sorted/cluster-" in said
    assert not Path("sorted").exists()
    assert main(["export", "runs/a", "--to", "folders", "--dest", "sorted", "--how", "hardlink"]) == 0
    assert len(list(Path("sorted").rglob("*.png"))) == 24
    assert main(["export", "runs/a", "--to", "folders", "--dest", "sorted"]) == 0
    assert "24 images were there already" in capsys.readouterr().out


def test_export_tables(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "runs/a", "--to", "csv", "--dest", "t.csv"]) == 0
    assert len(Path("t.csv").read_text().splitlines()) == 25
    assert "Written: t.csv (24 rows)" in capsys.readouterr().out
    assert "exists already" in failure(main(["export", "runs/a", "--to", "csv", "--dest", "t.csv"]), capsys)
    assert "no merge tree" in failure(main(["export", "runs/a", "--to", "csv", "--dest", "u.csv", "-k", "2"]), capsys)
    assert main(["export", "runs/a", "--to", "csv", "--dest", "u.csv", "--dry-run"]) == 2


def test_a_run_goes_on_where_it_was_stopped(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cluster("--out", "runs/whole", "--no-report") == 0
    original = Tiny._round

    def stopped(self: Tiny, state: Any, images: Any, run: Any) -> Any:
        if state.round == 1:
            raise KeyboardInterrupt
        return original(self, state, images, run)

    monkeypatch.setattr(Tiny, "_round", stopped)
    monkeypatch.setattr(store, "MEMORY_BUDGET", 0)  # so that pixels are kept in a file
    capsys.readouterr()
    assert cluster("--out", "runs/b", "--no-report") == 1
    said = capsys.readouterr().err
    again = "kinfold cluster photos/ --algorithm tiny -k 2 --param n_rounds=2 --out runs/b --no-report --resume"
    assert f"Go on with: {again}" in said
    assert "add --resume to go on" in failure(cluster("--out", "runs/b"), capsys)
    monkeypatch.setattr(Tiny, "_round", original)
    with monkeypatch.context() as patch:
        patch.setattr(rows, "allocate", None)  # nothing is decoded again
        assert main(again.split()[1:]) == 0
    assert not Path("runs/b/pixels").exists()
    said = capsys.readouterr().out
    assert "round 2:" in said
    assert "round 1:" not in said
    whole, resumed = kinfold.load("runs/whole"), kinfold.load("runs/b")
    np.testing.assert_array_equal(whole.labels_, resumed.labels_)
    np.testing.assert_array_equal(whole.embedding_, resumed.embedding_)
    assert main(again.split()[1:]) == 0
    assert "is finished already" in capsys.readouterr().out


# How it fails --------------------------------------------------------------------------------------------------------


def test_a_finished_run_is_not_overwritten(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert "holds a finished run, which is not overwritten" in failure(cluster("--out", "runs/a"), capsys)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_folder_of_something_else_is_left_alone(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "not a Kinfold run" in failure(cluster("--out", "photos"), capsys)
    assert len(list(photos.rglob("*"))) == 27


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["cluster", "nowhere/"], "nowhere"),
        (["predict", "nowhere", "photos"], "nowhere is not a folder"),
        (["report", "photos"], "run.json"),
        (["export", "nowhere", "--to", "csv", "--dest", "t.csv"], "nowhere is not a folder"),
        (["cluster", "photos/broken.png", "--algorithm", "tiny"], "broken.png"),
        (["cluster", "photos", "--algorithm", "tiny", "-k", "200"], "there are only 24"),
    ],
)
def test_a_failure_is_one_sentence(
    arguments: list[str], sentence: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if arguments[0] == "cluster":
        arguments = [*arguments, "--out", "runs/x", *([] if "--algorithm" in arguments else ["--algorithm", "tiny"])]
    assert sentence in failure(main(arguments), capsys)


def test_a_run_is_called_after_its_source(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for source, name in {"photos/": "photos", "photos.v2": "photos.v2", ".": "photos.v2", "..": photos.parent.name,
                         "torchvision:MNIST": "MNIST", "lists/cats.txt": "cats"}.items():  # fmt: skip
        if source == "photos.v2":
            Path(source).mkdir()
        if source == ".":
            monkeypatch.chdir("photos.v2")
        assert name_of(source) == name


def test_words_for_true_false_and_none_are_understood() -> None:
    from kinfold.cli.runs import parameters_of

    found = parameters_of("deepcluster", {}, ["sobel=false", "remember=True", "final=none", "variant=v1"])
    assert found == {"sobel": False, "remember": True, "final": None, "variant": "v1"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "nothing"),
        (["cluster"], "SOURCE"),
        (["cluster", "photos", "--colour", "red"], "--colour"),
        (["cluster", "photos", "-k", "one"], "'-k'"),
        (["cluster", "photos", "-k", "1"], "'-k'"),
        (["cluster", "photos", "--algorithm", "magic"], "'magic' is not known; there is"),
        (["cluster", "photos", "--algorithm", "tiny", "--param", "n_rounds"], "has no '='"),
        (["cluster", "photos", "--algorithm", "tiny", "--param", "speed=3"], "tiny has no parameter 'speed'; it has"),
        (["cluster", "photos", "--algorithm", "tiny", "--backbone", "x"], "tiny has no parameter 'backbone'"),
        (["cluster", "photos", "--algorithm", "tiny", "-k", "3", "--param", "n_clusters=2"], "given twice"),
        (["cluster", "photos", "--labels", "mine.csv"], "from-folders"),
        (["cluster", "photos", "--algorithm", "tiny", "--device", "abacus"], "device is 'abacus'"),
        (["cluster", "photos", "--algorithm", "tiny", "--precision", "half"], "precision is 'half'"),
        (["cluster", "photos", "--algorithm", "tiny", "--preset", "nope"], "preset is 'nope'; expected 'default'"),
        (["cluster", "photos", "--algorithm", "tiny", "--param", "n_rounds=0"], "n_rounds is 0; expected 1 or more"),
        (["cluster", "photos", "--algorithm", "tiny", "--seed", "-1"], "'--seed'"),
        (["cluster", "photos", "--algorithm", "tiny", "--seed", "4294967296"], "'--seed'"),
        (["export", "runs/a", "--to", "pdf", "--dest", "x"], "pdf"),
        (
            ["export", "runs/a", "--to", "folders", "--dest", "x", "-k", "3", "--min-confidence", "0.5"],
            "cannot go with -k",
        ),
    ],
)
def test_a_usage_error_ends_with_two(
    arguments: list[str], sentence: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert "--help'" in said
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (KinfoldError("a clear sentence."), "a clear sentence."),
        (OSError(28, "No space left on device", "runs/a/labels.csv"), "runs/a/labels.csv: No space left on device."),
        (MemoryError(), "The machine ran out of memory; use fewer or smaller images (--image-size)."),
        (ZeroDivisionError("by zero"), "Unexpected ZeroDivisionError: by zero (--verbose shows where)."),
    ],
)
def test_every_exception_becomes_a_sentence(
    error: Exception,
    sentence: str,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(Tiny, "_start", fail)
    assert failure(cluster("--out", "runs/x"), capsys) == sentence
    assert cluster("--out", "runs/y", "--verbose") == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_anywhere_says_how_to_go_on(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("kinfold.data.as_images", stop)
    assert "Stopped. Go on with: kinfold cluster" in failure(cluster("--out", "runs/my photos"), capsys)
    assert issubclass(Interrupted, KinfoldError)


# Several processes ---------------------------------------------------------------------------------------------------


def test_processes_are_started_once_with_the_same_arguments(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    monkeypatch.setattr(launch, "relaunch", lambda n, arguments, verbose: started.append((n, arguments)))
    arguments = ["cluster", "photos", "--algorithm", "tiny", "--out", "runs/p", "--processes", "2"]
    assert main(arguments) == 0
    assert started == [(2, arguments)]
    assert not Path("runs/p").exists()


def test_the_sentence_of_a_failed_process_comes_back(tmp_path: Path) -> None:
    with pytest.raises(KinfoldError, match="no such file or folder"):
        launch.relaunch(2, ["cluster", str(tmp_path / "nowhere"), "--out", str(tmp_path / "run")])


def test_only_the_first_process_to_fail_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not launch.tell_parent("nobody waits")
    monkeypatch.setenv(launch.SENTENCE, str(tmp_path / "sentence"))
    assert launch.tell_parent("the cause")
    assert launch.tell_parent("a consequence")
    assert (tmp_path / "sentence").read_text() == "the cause"


# What a newcomer sees first ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert "Usage: kinfold" in capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert all(command in said for command in COMMANDS)


@pytest.mark.parametrize("command", ["cluster", "embed"])
def test_help_lists_every_kind_of_source(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for kind in (
        "folder of images",
        "text file",
        ".npz",
        ".npy",
        ".h5",
        "tar shards",
        "s3://bucket/a.tar",
        "torchvision",
    ):
        assert kind in said
    assert "a folder of features from `kinfold embed`" in said


def test_help_answers_in_half_a_second() -> None:
    # Processor time, so that a busy machine does not fail it; on an idle one the clock says hardly more.
    code = "import os, sys; sys.stdout = open(os.devnull, 'w'); from kinfold.cli import main; main(['--help']); "
    code += "sys.stderr.write(str(sum(os.times()[:2])))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 < float(done.stderr) < 0.5


def test_help_loads_nothing_heavy() -> None:
    heavy = "('torch', 'numpy', 'sklearn', 'numba', 'faiss', 'PIL', 'scipy', 'jinja2')"
    code = (
        f"import sys; from kinfold.cli import main; main(['--help']); sys.exit(any(m in sys.modules for m in {heavy}))"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_version_and_algorithms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"kinfold {kinfold.__version__}\n"
    assert main(["algorithms"]) == 0
    said = capsys.readouterr().out
    assert all(name.lower() in said for name in (*algorithms.names(), *algorithms.learners()))


# What is drawn -------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_that_leaves_nothing_behind() -> None:
    screen = Terminal()
    bar = Bar(screen)
    bar.phase("reading", 3)
    bar.advance(2)
    bar.say("half [way]: photos/[1].png")
    bar.phase("training", None)
    bar.advance()
    bar.done()
    bar.done()
    assert "half [way]: photos/[1].png" in screen.getvalue()


def test_lines_are_few_and_tell_the_time_left() -> None:
    stream, now = io.StringIO(), iter([0.0, 1.0, 11.0, 12.0, 30.0])
    lines = Lines(stream, clock=lambda: next(now))
    lines.phase("training", 100)
    for _ in range(4):
        lines.advance(10)
    lines.done()
    assert stream.getvalue().splitlines() == [
        "training (100)",
        "training: 20 of 100, about 44 s left",
        "training: 40 of 100, about 45 s left",
    ]


def test_lines_tell_shares_of_a_long_step() -> None:
    stream, now = io.StringIO(), iter([0.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 99.0])
    lines = Lines(stream, clock=lambda: next(now))
    lines.partly(0.5)  # of nothing
    lines.phase("rounds", 4)
    for _ in range(2):
        lines.partly(0.25)
    lines.advance()
    lines.partly(2.0)
    lines.phase("rounds")
    lines.partly(0.125)
    lines.done()
    assert stream.getvalue().splitlines() == [
        "rounds (4)",
        "rounds: 0 of 4, 50% of the next, about 1 min 45 s left",
        "rounds: 1 of 4, about 1 min 45 s left",
        "rounds: 1 of 4, 100% of the next, about 55 s left",
        "rounds",
        "rounds: 0 so far, 12% of the next",
    ]


def test_a_bar_moves_within_a_step() -> None:
    bar = Bar(Terminal())
    bar.partly(0.5)  # of nothing
    bar.phase("rounds", 4)
    bar.partly(0.25)
    assert [task.completed for task in bar._bars.tasks] == [0.25]
    bar.advance()
    bar.partly(0.5)
    bar.partly(0.75)
    assert [task.completed for task in bar._bars.tasks] == [2.0]
    bar.advance()
    assert [task.completed for task in bar._bars.tasks] == [2]
    bar.done()


def test_lengths_of_time() -> None:
    assert [duration(s) for s in (0.04, 9.94, 59.4, 60, 3599, 3600)] == [
        "0.0 s",
        "9.9 s",
        "59 s",
        "1 min 0 s",
        "59 min 59 s",
        "1 h 0 min",
    ]


def test_a_report_replaces_reports_only(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = Path("mine.txt")
    own.write_text("mine")
    for target, words in ((own, "no report of Kinfold's"), (run / "skipped.csv", "no report of"), (run, "a folder")):
        assert main(["report", str(run), "--out", str(target)]) == 2
        assert words in capsys.readouterr().err
    assert own.read_text() == "mine"
    for _ in range(2):
        assert main(["report", str(run), "--out", "page.html"]) == 0
        assert main(["report", str(run)]) == 0


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--to", "onnx", "--dest", "a.onnx", "-k", "2"], "-k cannot go with --to onnx"),
        (["--to", "csv", "--dest", "a.csv", "--how", "symlink"], "belong to --to folders, not to csv"),
        (["--to", "csv", "--dest", "a.csv", "--min-confidence", "0.5"], "belong to --to folders, not to csv"),
        (["--to", "csv", "--dest", "a.csv", "--images", "photos"], "--images belongs to --to folders and --to onnx"),
        (["--to", "folders", "--dest", ""], "is this folder; name a new one"),
        (["--to", "folders", "--dest", "photos/broken.png", "--dry-run"], "is a file; name a new one"),
    ],
)
def test_an_export_that_cannot_be_meant(
    more: list[str], sentence: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path().rglob("*"))
    assert main(["export", str(run), *more]) == 2
    assert sentence in capsys.readouterr().err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize("to", ["csv", "parquet", "onnx"])
def test_an_export_into_no_folder_is_told_before_the_work(
    to: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = failure(main(["export", str(run), "--to", to, "--dest", "nodir/a"]), capsys)
    assert "nodir is no folder; make it first, or choose another name." in said
    assert "reading" not in said


def test_an_export_without_any_image_fails(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other").mkdir()
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save("other/else.png")
    for more in ([], ["--dry-run"]):
        code = main(["export", str(run), "--to", "folders", "--dest", "sorted", "--images", "other", *more])
        assert "none of the run's images is there to be sorted; say where they are" in failure(code, capsys)
        assert not Path("sorted").exists()


def test_a_prediction_is_checked_before_the_work(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(run), "photos", "--to-folders", "photos/broken.png"]) == 2
    assert "is a file; name a folder" in capsys.readouterr().err
    assert main(["predict", str(run), "photos", "--out", "nodir/x.csv"]) == 2
    assert "nodir is no folder; make it first" in capsys.readouterr().err
    assert main(["predict", str(run), "photos", "--to-folders", "sorted"]) == 0


def test_the_next_step_can_be_taken(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("table.npy", np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32))
    for source, to in (("photos", "folders"), ("table.npy", "csv")):
        assert main(["cluster", source, "--algorithm", "tiny", "-k", "2", "--no-report"]) == 0
        said = capsys.readouterr().out
        step = next(line for line in said.splitlines() if line.startswith("Sort:")).split()[2:]
        assert step[step.index("--to") + 1] == to
        assert main(step) == 0
        assert not any(said.count(note) > 1 for note in ("resized", "skipped broken.png"))


def test_a_hostile_name_stays_in_its_line(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "dark" / "01.png").rename(photos / "dark" / "\x1b[31mred\n.png")
    assert cluster("--out", "runs/a", "--no-report") == 0
    assert main(["export", "runs/a", "--to", "folders", "--dest", "s", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\\x1b[31mred\\n.png -> " in said
