"""Scenarios: what is measured, under ids that are permanent; a file a family.

An id never changes its workload. To measure something else, add an id. Results lie in
``benchmarks/results/<id>.json``.
"""

from __future__ import annotations

from collections.abc import Iterable

from kinfold.benchmark.datasets import SETS
from kinfold.benchmark.scenarios import baselines, deepcluster, features, iic, imsat, jule, scale, speed, study
from kinfold.benchmark.scenarios.scenario import Scenario
from kinfold.errors import InputError

__all__ = ["GROUPS", "SCENARIOS", "Scenario", "scenario", "select"]

FAMILIES: tuple[Iterable[Scenario], ...] = (
    jule.jule(),
    baselines.on_pixels(),
    baselines.on_features(),
    jule.ablations(),
    deepcluster.deepcluster(),
    speed.speed(),
    imsat.imsat(),
    iic.iic(),
    study.rows(),
    features.coates_ng(),
    features.nat(),
    scale.transfer(),
    scale.streams(),
)
SCENARIOS: dict[str, Scenario] = {s.id: s for family in FAMILIES for s in family}
GROUPS = tuple(dict.fromkeys(s.group for s in SCENARIOS.values()))  # what `kinfold benchmark` takes for a name


def scenario(identifier: str) -> Scenario:
    """Scenario of this id.

    Raises
    ------
    InputError
        If there is none.

    Examples
    --------
    >>> scenario("jule-umist-paper").command
    'kinfold benchmark jule --data DIR --only umist --preset paper'
    """
    if identifier not in SCENARIOS:
        raise InputError(
            f"there is no benchmark scenario {identifier!r}; expected {', '.join(GROUPS)}, tables, or an id such as "
            f"{', '.join(list(SCENARIOS)[:3])}."
        )
    return SCENARIOS[identifier]


def select(name: str, only: str | None = None, preset: str | None = None) -> list[Scenario]:
    """Scenarios that one command runs, in their permanent order.

    Parameters
    ----------
    name
        ``"jule"``: the paper's table, that is the estimator and, on the same input, k-means and plain graph degree
        linkage; another of `GROUPS`; or the id of one scenario.
    only
        One set (or, for ``"speed"``, one id).
    preset
        ``"paper"``, ``"fast"``, ``"frozen"``: this preset of the estimator; None for its default. ``"all"`` for each.

    Raises
    ------
    InputError
        If nothing carries these names.

    Examples
    --------
    >>> [s.id for s in select("jule", only="umist")]
    ['jule-umist-default', 'kmeans-pixels-umist', 'gdl-pixels-umist']
    """
    wanted = [s for s in SCENARIOS.values() if s.group == name] if name in GROUPS else [scenario(name)]
    if name == "jule":
        tables = [s for s in wanted if s.task == "cluster"]
        wanted = [s for s in tables if preset == "all" or s.variant == (preset or "default")]
        if preset is None:
            wanted += [s for s in SCENARIOS.values() if s.group == "baselines" and s.algorithm in baselines.BESIDE]
    elif name in GROUPS and name not in ("baselines", "ablation", "transfer"):  # of which all is one table
        if preset is not None:
            wanted = [s for s in wanted if preset in ("all", s.preset)]
        elif any(s.preset == "default" for s in wanted):
            wanted = [s for s in wanted if s.preset in (None, "default")]
        if preset is None:
            sets = {s.dataset for s in wanted if s.task == "cluster"}
            beside = [s for s in SCENARIOS.values() if s.group == "baselines" and s.algorithm == "kmeans"]
            wanted += [s for s in beside if s.dataset in sets]
    if only is not None:
        wanted = [s for s in wanted if only in (s.dataset, s.id)]
    if not wanted:
        chosen = f"{name!r}" + (f" with only={only!r}" if only else "") + (f" and preset={preset!r}" if preset else "")
        raise InputError(f"no benchmark scenario is called {chosen}; expected a set among {', '.join(SETS)}.")
    return wanted
