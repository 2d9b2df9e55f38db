from __future__ import annotations

import numpy as np

from kinfold.report import words


def test_how_sure_counts_the_images_worth_a_look() -> None:
    said = words.how_sure(np.array([0.9, 0.95, 0.4, 0.7]))
    assert (
        said
        == "50 % of the images are placed with a confidence of at least 0.8; 1 image is below 0.5 and worth a look."
    )
    assert "none is below" in words.how_sure(np.ones(3))


def test_curves_skip_what_is_not_a_number_and_put_known_columns_first() -> None:
    history = [
        {"round": 1, "zeta": 1.0, "loss": 2.0, "health": "", "once": 1.0, "changed": None},
        {"round": 2, "zeta": 3.0, "loss": float("nan"), "health": "x", "changed": 0.5},
        {"round": 3, "zeta": 2.0, "loss": 1.0, "health": "", "changed": 0.1},
    ]
    found = words.curves(history)
    assert [curve.key for curve in found] == ["loss", "changed", "zeta"]
    assert found[0].rounds == [1, 3] and found[0].points == "0.00,0.00 100.00,40.00"
    assert (found[2].low, found[2].high, found[2].last) == ("1", "3", "2")


def test_a_flat_curve_is_a_line_in_the_middle() -> None:
    assert words.curves([{"loss": 1.0}, {"loss": 1.0}])[0].points == "0.00,20.00 100.00,20.00"


def test_health_is_that_of_the_run_or_else_of_its_rounds() -> None:
    history = [{"round": 4, "health": "one cluster holds 95% of the images"}]
    assert words.health({"health": ["a", "a", " "]}, history) == ["a"]
    assert words.health({}, history) == ["Round 4: one cluster holds 95% of the images"]


def test_pretrained_backbones_are_named() -> None:
    assert words.pretrained({"parameters": {"backbone": "timm:resnet18"}}) == "timm:resnet18"
    assert words.pretrained({"parameters": {"backbone": "auto"}}) is None
    assert words.pretrained({"pretrained": None, "parameters": {"backbone": "efficientnet-lite0"}}) is None
    assert words.pretrained({"pretrained": "efficientnet-lite0"}) == "efficientnet-lite0"


def test_run_tables_leave_out_what_stands_elsewhere() -> None:
    run = {
        "algorithm": "JULE",
        "identity": "0f",
        "health": ["a"],
        "shape": [1, 28, 28],
        "parameters": {"alpha": None, "x": True},
    }
    assert words.run_tables(run) == [
        ("Run", [("Algorithm", "JULE"), ("Shape", "1 \N{MULTIPLICATION SIGN} 28 \N{MULTIPLICATION SIGN} 28")]),
        ("Parameters", [("alpha", "\N{EN DASH}"), ("x", "yes")]),
    ]


def test_scores_of_variants_are_told_apart() -> None:
    assert words.score_rows({"nmi": 0.5, "nmi_sf": 0.25, "n": float("nan")}) == [
        ("NMI", "0.5000"),
        ("NMI (sf)", "0.2500"),
    ]
