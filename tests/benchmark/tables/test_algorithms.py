from __future__ import annotations

from tests.handmade import by_id, result, row

from kinfold.benchmark.scenarios import scenario
from kinfold.benchmark.tables import algorithms


def test_each_algorithm_has_a_column_with_its_accuracy_and_seconds() -> None:
    text = algorithms.side_by_side(by_id(result("imsat-usps-default", "usps", 0.9)))
    assert row(text, "set")[1:4] == ["k-means on pixels", "JULE", "IMSAT"]
    assert row(text, "USPS")[1:] == ["—", "—", "0.900 ± 0.012 (100)", "—", "—", "—"]
    assert row(text, "MNIST-full")[1:] == ["—"] * 6


def test_every_column_names_a_scenario_that_exists() -> None:
    for name in algorithms.COLUMNS.values():
        for one in algorithms.SETS_OF_ALL:
            assert scenario(name.format(one)).dataset == one


def test_nothing_measured_is_no_table() -> None:
    assert algorithms.side_by_side({}).startswith("Not measured yet")
