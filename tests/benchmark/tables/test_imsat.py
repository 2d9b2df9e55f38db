from __future__ import annotations

from tests.handmade import by_id, result, row, spread

from kinfold.benchmark.tables import imsat


def test_the_table_of_imsat_by_hand() -> None:
    text = imsat.clusters(by_id(result("imsat-usps-default", "usps", 0.98), result("imsat-usps-slack", "usps", 0.9)))
    shown = "0.980 ± 0.012"
    assert row(text, "USPS") == [
        "USPS, preset default",
        "11,000",
        "—",
        "≥ 0.975",
        shown,
        "0.980",
        "—",
        shown,
        shown,
        "—",
        "100",
    ]
    assert row(text, "default preset") == ["default preset", "", shown, "0.980", "100"]
    assert row(text, "slack") == ["slack", "`slack=0.01`", "0.900 ± 0.012", "0.900", "100"]
    assert "not measured yet" in imsat.clusters({})
    for name in ("preset default, prior", "preset default, slack 0.1", "preset paper, reach 3, random changes (RPT)"):
        assert f", {name} |" in text


def test_the_head_stands_beside_the_graph_that_answered() -> None:
    scores = {name: spread(0.9) for name in ("acc", "nmi", "ari")} | {"acc_head": spread(0.7)}
    text = imsat.clusters(by_id(result("imsat-usps-default", "usps", 0.9, metrics=scores)))
    assert row(text, "USPS")[4:7] == ["0.900 ± 0.012", "0.900", "0.700 ± 0.012"]


def test_the_table_of_codes_by_hand() -> None:
    scores = {name: spread(0.9) for name in ("map", "precision_first", "precision_radius")} | {"n_codes": spread(321.4)}
    text = imsat.codes(by_id(result("imsat-hash-mnist-full", "mnist-full", 0.0, metrics=scores)))
    assert row(text, "paper") == ["paper", *["0.900 ± 0.012"] * 3, "321", "100"]
    assert row(text, "default") == ["default", *["—"] * 5]
