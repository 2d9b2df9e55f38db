"""Runs scenarios, each seed in a process of its own, and writes one JSON a scenario.

A process of its own makes CPU seconds and peak memory clean, and lets an interrupted benchmark go on: finished seeds
lie in ``<out>/.partial/`` until the scenario is complete. The result holds no timestamp and its keys stand in a fixed
order, so that a change of a number is a change of a line.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from kinfold.benchmark import measure, published
from kinfold.benchmark.scenarios import Scenario
from kinfold.errors import KinfoldError
from kinfold.files import write_text

Partial = dict[str, Any]
Result = dict[str, Any]


class Watcher(Protocol):
    """What the runner reports to; `kinfold.runtime.Progress` is one."""

    def phase(self, name: str, total: int | None) -> None:
        """Begin a piece of work of `total` steps."""

    def advance(self, n: int = 1) -> None:
        """Count `n` finished steps."""

    def say(self, sentence: str) -> None:
        """Pass on one plain sentence."""


def run_scenario(
    scenario: Scenario, data: str | Path | None, seeds: Sequence[int], out: str | Path, progress: Watcher
) -> Path:
    """Run one scenario for these seeds and write ``<out>/<id>.json``.

    Parameters
    ----------
    scenario
        What to run. A deterministic one, or one that is run once, is run for the first seed only.
    data
        Folder of the benchmark sets; None where the scenario makes its own input.
    seeds
        Seeds, one process each.
    out
        Folder of the results.
    progress
        Told the advance.

    Raises
    ------
    KinfoldError
        If a seed fails; the sentence carries its last words, and finished seeds are kept.
    """
    seeds = list(seeds)[:1] if scenario.deterministic or scenario.once else list(seeds)
    folder = _work_folder(Path(out), scenario.id)
    tasks = _tasks(scenario, data, seeds)
    code = measure.source_digest()
    progress.phase(scenario.id, len(tasks))
    partials: dict[str, Partial] = {}
    for name, task in tasks.items():
        path = folder / f"{name}.json"
        finished = _finished(path, code)
        partials[name] = finished if finished is not None else _run(task, path)
        progress.advance()
    result = summarise_speed(scenario, partials) if scenario.task == "speed" else summarise(scenario, partials)
    target = Path(out) / f"{scenario.id}.json"
    write_text(target, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    shutil.rmtree(folder)
    progress.say(f"{scenario.id}: {headline(result)}")
    return target


def headline(result: Result) -> str:
    """A result in a few words.

    Examples
    --------
    >>> headline({"metrics": {"nmi": {"mean": 0.9, "sd": 0.01}}, "seconds": {"mean": 3.0}})
    'nmi 0.900 ± 0.010, 3.0 s a run'
    """
    parts = [f"{name} {m['mean']:.3f} ± {m['sd']:.3f}" for name, m in list(result.get("metrics", {}).items())[:2]]
    if result.get("ratio"):
        parts.append(f"{result['ratio']['value']:g} times {result['ratio']['against']}")
    return ", ".join([*parts, f"{result['seconds']['mean']:.1f} s a run"])


def summarise(scenario: Scenario, partials: dict[str, Partial]) -> Result:
    """Result of a scenario from its seeds, in the order of design's schema."""
    runs = list(partials.values())
    shown = published.figure(str(scenario.dataset), _published_method(scenario))
    metrics = {name: spread([r["scores"][name] for r in runs], 4) for name in runs[0]["scores"]}
    result: Result = {
        "scenario": scenario.id,
        "algorithm": scenario.algorithm,
        "preset": scenario.preset,
        "dataset": scenario.dataset,
        "n": runs[0]["n"],
        "n_clusters": runs[0]["n_clusters"],
        "parameters": dict(scenario.parameters),
        "pretrained": runs[0].get("pretrained", scenario.pretrained),
        "deterministic": scenario.deterministic,
        "seeds": [r["seed"] for r in runs],
        "metrics": metrics,
        "seconds": spread([r["seconds"] for r in runs], 2),
        "cpu_seconds": spread([r["cpu_seconds"] for r in runs], 2),
        "peak_mb": max(r["peak_mb"] for r in runs),
        "health": {key: sum(r["health"][key] for r in runs) for key in ("restarts", "collapsed")},
        "published": None
        if shown is None
        else {k: v for k, v in asdict(shown).items() if k not in ("dataset", "status")},
        "command": f"{scenario.command} --seeds {len(runs)}",
    }
    learnt_on = {"source": scenario.source} if scenario.source is not None else {}
    return result | learnt_on | _ran_on(runs)


def summarise_speed(scenario: Scenario, partials: dict[str, Partial]) -> Result:
    """Result of a speed scenario: the first part is Kinfold's, the others stand beside it."""
    from kinfold.benchmark import speed

    names = speed.parts(scenario)
    parts = {name: [p for key, p in partials.items() if key.rsplit("-", 1)[0] == name] for name in names}
    own = parts[names[0]]
    result: Result = {
        "scenario": scenario.id,
        "algorithm": scenario.algorithm,
        "n": int(scenario.parameters["n"]),
        "seeds": [r["seed"] for r in own],
        "seconds": spread([r["seconds"] for r in own], 4),
        "cpu_seconds": spread([r["cpu_seconds"] for r in own], 4),
        "peak_mb": max(r["peak_mb"] for r in own),
        "parts": {name: _part(runs) for name, runs in parts.items()},
        **speed.conclusions(scenario, parts),
        "command": f"{scenario.command} --seeds {len(own)}",
    }
    return result | _ran_on(own)


def spread(values: Sequence[float], digits: int) -> dict[str, Any]:
    """Mean, standard deviation of a sample (n - 1; 0 for a single value) and the values themselves.

    Examples
    --------
    >>> spread([0.5, 0.7], 3)
    {'mean': 0.6, 'sd': 0.141, 'values': [0.5, 0.7]}
    """
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {
        "mean": round(math.fsum(values) / len(values), digits),
        "sd": round(deviation, digits),
        "values": [round(float(v), digits) for v in values],
    }


def _part(runs: list[Partial]) -> dict[str, Any]:
    known = ("seconds", "cpu_seconds", "peak_mb", "seed", "versions", "machine", "code")
    found: dict[str, Any] = {
        "seconds": spread([r["seconds"] for r in runs], 4),
        "cpu_seconds": spread([r["cpu_seconds"] for r in runs], 4),
        "peak_mb": max(r["peak_mb"] for r in runs),
    }
    for key, value in runs[0].items():
        if key in known:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        found[key] = round(math.fsum(r[key] for r in runs) / len(runs), 4) if number else value
    return found


def _ran_on(runs: list[Partial]) -> Result:
    return {"versions": runs[-1]["versions"], "machine": runs[-1]["machine"]}


def _published_method(scenario: Scenario) -> str:
    if scenario.algorithm == "IMSAT":
        return "IMSAT (RPT)" if scenario.parameters.get("regularizer") == "random" else "IMSAT (VAT)"
    methods = {
        "JULE": "JULE-RC", "NAT": "MMDC", "gdl": "AC-GDL", "gdl_centred": "GDL, centred pixels", "kmeans": "K-means",
    }  # fmt: skip
    return methods.get(scenario.algorithm, scenario.algorithm)


def _tasks(scenario: Scenario, data: str | Path | None, seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
    parts: Sequence[str | None] = [None]
    if scenario.task == "speed":
        from kinfold.benchmark import speed

        parts = speed.parts(scenario)
    folder = None if data is None else str(Path(data).resolve())
    return {
        f"{part or 'seed'}-{seed}": {"scenario": scenario.id, "seed": seed, "data": folder, "part": part}
        for seed in seeds
        for part in parts
    }


def _work_folder(out: Path, identifier: str) -> Path:
    work = out / ".partial"
    folder = work / identifier
    folder.mkdir(parents=True, exist_ok=True)
    write_text(work / ".gitignore", "*\n")
    return folder


def _finished(path: Path, code: str) -> Partial | None:
    if not path.exists():
        return None
    found: Partial = json.loads(path.read_text(encoding="utf-8"))
    return found if found.get("code") == code else None


def _run(task: dict[str, Any], path: Path) -> Partial:
    command = [sys.executable, "-m", "kinfold.benchmark.worker"]
    done = subprocess.run(
        command,
        input=json.dumps({**task, "result": str(path.resolve())}),
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode != 0 or not path.exists():
        words = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}, killed or out of memory"]
        raise KinfoldError(
            f"seed {task['seed']} of {task['scenario']} failed: {words[0]} Finished seeds are kept; run the same "
            "command again to go on."
        )
    found: Partial = json.loads(path.read_text(encoding="utf-8"))
    return found
