"""The experimental study of losses and transformations: every row of its table."""

from __future__ import annotations

from collections.abc import Iterator

from kinfold.benchmark import study
from kinfold.benchmark.scenarios.scenario import Scenario


def rows() -> Iterator[Scenario]:
    for name, row in study.ROWS.items():
        parameters = study.REDUCED | row.parameters
        yield Scenario(
            f"study-{name}", "information-study", "cluster", "InformationStudy", "mnist-test", "default", parameters
        )
