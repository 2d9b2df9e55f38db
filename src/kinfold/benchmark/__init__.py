"""Benchmarks: published figures with their source, scenarios with permanent ids, the runner, the generated tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kinfold.errors import InputError

if TYPE_CHECKING:
    from kinfold.benchmark.runner import Watcher

__all__ = ["RESULTS", "run"]

RESULTS = Path("benchmarks") / "results"


def run(
    name: str,
    data: str | Path | None = None,
    only: str | None = None,
    seeds: int = 5,
    out: str | Path = RESULTS,
    preset: str | None = None,
    progress: Watcher | None = None,
) -> list[Path]:
    """Run benchmarks and write one JSON a scenario, or bring the tables of the documents up to date.

    Parameters
    ----------
    name
        ``"jule"``: the paper's table, beside k-means and plain graph degree linkage on the same input; ``"imsat"``,
        ``"iic"``, ``"deepcluster"``, ``"nat"``, …: theirs, beside k-means; ``"baselines"``: all other methods;
        ``"ablation"``; ``"speed"``: needs no data; ``"tables"``: writes the tables of README.md and docs/ in the
        present folder from `out`; or the id of one scenario.
    data
        Folder with the benchmark sets (see `kinfold.benchmark.datasets`). A set that is not there is left out by name.
    only
        One set, or one id.
    seeds
        Runs with seeds 0, 1, …; each in a process of its own. An interrupted benchmark goes on where it stopped.
    out
        Folder of the results.
    preset
        Another preset than the default: ``"paper"``, ``"fast"``, ``"frozen"``, or ``"all"``.
    progress
        Told the advance; silent by default.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    InputError
        If nothing has this name, no set of it is in `data`, or a folder does not exist.
    """
    from kinfold.benchmark import datasets, runner, scenarios, tables
    from kinfold.runtime import Progress

    watcher = progress if progress is not None else Progress()
    if name == "tables":
        if not Path(out).is_dir():
            raise InputError(f"{out}: no such folder; expected the one that holds the results.")
        return tables.update(Path("."), Path(out))
    if seeds < 1:
        raise InputError(f"seeds is {seeds}; expected at least 1.")
    if data is not None and not Path(data).is_dir():
        raise InputError(f"{data}: no such folder; expected the one that holds the benchmark sets.")
    chosen, written = scenarios.select(name, only, preset), []
    for scenario in chosen:
        if scenario.dataset is not None:
            if data is None:
                raise InputError(f"{scenario.id} needs a folder with the benchmark sets; name it with --data DIR.")
            if datasets.find(scenario.dataset, data) is None:
                file = datasets.SETS[scenario.dataset].file
                watcher.say(f"{scenario.id} is left out: {Path(data).name or data} holds no {file}.")
                continue
        written.append(runner.run_scenario(scenario, data, range(seeds), out, watcher))
    if not written:
        raise InputError(f"{data} holds none of the sets asked for; see the benchmark page of the documents for names.")
    return written
