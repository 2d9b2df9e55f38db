"""The experimental study of losses and transformations: every row of its table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kinfold.benchmark import study
from kinfold.benchmark.scenarios.scenario import Scenario


def rows() -> Iterator[Scenario]:
    for name, row in study.ROWS.items():
        yield _scenario(name, study.REDUCED | row.parameters)
    for name in study.LONGER:
        yield _scenario(f"{name}-longer", study.REDUCED | study.ROWS[name].parameters | study.LONG)


def _scenario(name: str, parameters: dict[str, Any]) -> Scenario:
    return Scenario(
        f"study-{name}", "information-study", "cluster", "InformationStudy", "mnist-test", "default", parameters
    )
