from __future__ import annotations

from typing import Any

import pytest
from tests.handmade import by_id, result, row

from kinfold.benchmark.tables import iic


@pytest.mark.parametrize("found", [{}, by_id(result("iic-usps-default", "usps", 0.9))])
def test_tables_stand_without_and_with_results(found: dict[str, Any]) -> None:
    assert "USPS, preset default" in iic.clusters(found)
    assert "0.992" in iic.clusters(found)
    assert "600" in iic.few_labels(found) and "step 100" in iic.first_steps(found)


def test_the_worst_seed_stands_beside_the_mean() -> None:
    spread = {"mean": 0.9, "sd": 0.01, "values": [0.89, 0.91]}
    text = iic.clusters(by_id(result("iic-usps-default", "usps", 0.9, metrics={"acc": spread})))
    assert row(text, "USPS")[4:6] == ["0.900 ± 0.010", "0.890"]
