"""A scenario from end to end, in real child processes, on images made here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinfold import benchmark
from kinfold.benchmark import runner
from kinfold.benchmark.scenarios import scenario
from kinfold.errors import InputError, KinfoldError
from kinfold.runtime import Progress


class Heard(Progress):
    def __init__(self) -> None:
        self.words: list[str] = []
        self.steps = 0

    def advance(self, n: int = 1) -> None:
        self.steps += n

    def say(self, sentence: str) -> None:
        self.words.append(sentence)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    labels = np.sort(np.arange(575) % 20)
    means = rng.integers(0, 255, size=(20, 8, 8))
    images = np.clip(means[labels] + rng.normal(0, 6, size=(575, 8, 8)), 0, 255).astype(np.uint8)
    np.savez(folder / "umist.npz", images=images, labels=labels)
    return folder


def test_a_result_has_the_schema_and_its_partials_are_gone(data: Path, tmp_path: Path) -> None:
    heard = Heard()
    written = benchmark.run("kmeans-pixels-umist", data, seeds=2, out=tmp_path, progress=heard)
    assert written == [tmp_path / "kmeans-pixels-umist.json"]
    result = json.loads(written[0].read_text())
    keys = "scenario algorithm preset dataset n n_clusters parameters pretrained deterministic seeds metrics seconds "
    keys += "cpu_seconds peak_mb health published command versions machine"
    assert list(result) == keys.split()
    assert (result["n"], result["n_clusters"], result["seeds"]) == (575, 20, [0, 1])
    assert result["command"] == "kinfold benchmark kmeans-pixels-umist --data DIR --seeds 2"
    assert result["health"] == {"restarts": 0, "collapsed": 0}
    assert result["metrics"]["nmi"]["mean"] > 0.9
    assert len(result["metrics"]["acc"]["values"]) == 2
    assert result["peak_mb"] > 50
    assert heard.steps == 2
    assert heard.words[-1].startswith("kmeans-pixels-umist: nmi ")
    assert not (tmp_path / ".partial" / "kmeans-pixels-umist").exists()
    assert str(data) not in written[0].read_text()


def test_a_deterministic_method_is_run_once(data: Path, tmp_path: Path) -> None:
    (written,) = benchmark.run("gdl-pixels-umist", data, seeds=5, out=tmp_path)
    result = json.loads(written.read_text())
    assert result["seeds"] == [0]
    np.testing.assert_allclose(result["metrics"]["nmi"]["mean"], 1.0)


def test_a_long_scenario_is_run_for_one_seed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once = replace(scenario("kmeans-pixels-umist"), once=True)
    monkeypatch.setattr(runner, "_run", lambda task, path: {
        "seed": task["seed"], "n": 575, "n_clusters": 20, "scores": {"nmi": 0.5}, "seconds": 1.0, "cpu_seconds": 2.0,
        "peak_mb": 9, "health": {"restarts": 0, "collapsed": 0}, "versions": {}, "machine": {},
    })  # fmt: skip
    written = runner.run_scenario(once, data, range(5), tmp_path, Heard())
    assert json.loads(written.read_text())["seeds"] == [0]


def test_an_interrupted_benchmark_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, ran, failing = scenario("kmeans-pixels-umist"), [], [1]

    def partial(task: dict[str, object], path: Path) -> dict[str, object]:
        if task["seed"] in failing:
            failing.clear()
            raise KinfoldError("stopped")
        ran.append(task["seed"])
        found = {"seed": task["seed"], "n": 575, "n_clusters": 20, "scores": {"nmi": 0.5}, "seconds": 1.0}
        found |= {"cpu_seconds": 2.0, "peak_mb": 9, "health": {"restarts": 0, "collapsed": 0}}
        found |= {"versions": {}, "machine": {}, "code": runner.measure.source_digest()}
        path.write_text(json.dumps(found))
        return found

    monkeypatch.setattr(runner, "_run", partial)
    with pytest.raises(KinfoldError, match="stopped"):
        runner.run_scenario(wanted, data, [0, 1, 2], tmp_path, Heard())
    assert ran == [0]
    assert (tmp_path / ".partial" / ".gitignore").read_text() == "*\n"
    runner.run_scenario(wanted, data, [0, 1, 2], tmp_path, Heard())
    assert ran == [0, 1, 2]


def test_a_partial_of_other_code_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "seed-0.json"
    path.write_text(json.dumps({"code": "0" * 16, "seed": 0}))
    assert runner._finished(path, "0" * 16) == {"code": "0" * 16, "seed": 0}
    assert runner._finished(path, "1" * 16) is None


def test_a_failing_seed_is_one_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "umist.npz", images=np.zeros((9, 8, 8), dtype=np.uint8), labels=np.arange(9))
    with pytest.raises(KinfoldError, match=r"seed 0 of kmeans-pixels-umist failed: .*gives 9 images of 9 classes"):
        benchmark.run("kmeans-pixels-umist", tmp_path, seeds=1, out=tmp_path / "results")


def test_absent_sets_are_left_out_by_name(tmp_path: Path) -> None:
    heard = Heard()
    with pytest.raises(InputError, match="holds none of the sets asked for"):
        benchmark.run("jule", tmp_path, only="usps", out=tmp_path, progress=heard)
    assert any(w.startswith("jule-usps-default is left out") and "usps_11000.npz" in w for w in heard.words)
    with pytest.raises(InputError, match="name it with --data DIR"):
        benchmark.run("jule", None, out=tmp_path)
    with pytest.raises(InputError, match="seeds is 0"):
        benchmark.run("jule", tmp_path, seeds=0)
    for name, folders in {"jule": {"data": tmp_path / "x"}, "tables": {"out": tmp_path / "x"}}.items():
        with pytest.raises(InputError, match="x: no such folder; expected the one that holds"):
            benchmark.run(name, **folders)


def test_spread_by_hand() -> None:
    found = runner.spread([0.8, 0.9, 1.0], 4)
    assert found == {"mean": 0.9, "sd": 0.1, "values": [0.8, 0.9, 1.0]}
    assert runner.spread([0.8], 4)["sd"] == 0
