from __future__ import annotations

from tests.handmade import by_id, result, row

from kinfold.benchmark.tables import jule


def test_the_table_of_jule_by_hand() -> None:
    found = by_id(result("jule-umist-default", "umist", 0.951), result("kmeans-pixels-umist", "umist", 0.6))
    text = jule.clusters(found)
    expected = ["UMIST", "575", "20", "0.877 / —", "≥ 0.930 / —", "0.951 ± 0.012", "0.951 ± 0.012", "0.951 ± 0.012"]
    assert row(text, "UMIST") == [*expected, "0.600 ± 0.012", "—", "100", "3,700 (37.0 times)", "1,234"]
    assert row(text, "USPS")[5] == "—"
    assert row(text, "CIFAR-10, all")[4] == "— / ≥ 0.272"
    assert row(text, "flowers5")[4] == "—"
    assert "`kinfold benchmark jule --data DIR`" in text
    assert "†" not in text


def test_pretrained_scores_carry_their_mark_and_the_baseline_of_the_same_features() -> None:
    ours = result("jule-flowers5-default", "flowers5", 0.8, pretrained="efficientnet-lite0")
    beside = result("kmeans-features-flowers5", "flowers5", 0.7, pretrained="efficientnet-lite0")
    text = jule.clusters(by_id(ours, beside))
    assert row(text, "flowers5")[5] == "0.800 ± 0.012 †"
    assert row(text, "flowers5")[8] == "0.700 ± 0.012 †"
    assert "† with a backbone trained on ImageNet labels" in text


def test_the_ablation_has_a_row_a_change() -> None:
    found = by_id(
        result("jule-umist-default", "umist", 0.95),
        result("jule-umist-paper", "umist", 0.88, preset="paper"),
        result("ablation-umist-no-views", "umist", 0.91, preset="fast", parameters={"view_strength": 0.0}),
        result("ablation-cmu-pie-no-views", "cmu-pie", 0.99, preset="fast", parameters={"view_strength": 0.0}),
        result("ablation-umist-released-x", "umist", 0.8, preset="paper", parameters={"as_released": ["x"]}),
    )
    text = jule.ablation(found)
    more = result("ablation-umist-affinity-loss", "umist", 0.9, preset="fast", parameters={"loss": "affinity"})
    lines = jule.ablation(by_id(more, *found.values())).splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("|") and "`" in line][:2] == [
        "no views",
        "affinity loss",
    ]
    photographs = result("ablation-cifar10-final-rounds", "cifar10", 0.3, preset="default", parameters={"n_final": 6})
    assert "CIFAR-10 ACC" in jule.ablation(by_id(photographs)) and "CIFAR-10" not in text
    assert row(text, "**preset default**") == ["**preset default**", "", "0.950 ± 0.012", "—"]
    assert row(text, "**preset fast**") == ["**preset fast**", "", "—", "—"]
    assert row(text, "no views") == ["no views", "`view_strength=0.0`", "0.910 ± 0.012", "0.990 ± 0.012"]
    assert row(text, "**preset paper**") == ["**preset paper**", "", "0.880 ± 0.012", "—"]
    assert row(text, "released x") == ["released x", "`as_released=['x']`", "0.800 ± 0.012", "—"]


def test_the_clock_stands_beside_the_score() -> None:
    """768 seconds of the released code, 100 of ours."""
    text = jule.clock(by_id(result("jule-usps-fast", "usps", 0.95, preset="fast")))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "USPS" in line]
    assert rows[0][1:] == ["the released code", "0.949", "768", "1"]
    assert rows[2][1:] == ["default", "—", "—", "—"]
    assert rows[3][1:] == ["fast", "0.950 ± 0.012", "100", "7.7"]


def test_sets_of_ones_own_keep_their_row_with_figure_source_and_command() -> None:
    cells = row(jule.own({}), "FRGC")
    assert cells[2] == "0.57 / — / —"
    assert cells[-1] == "`kinfold benchmark jule --data DIR --only frgc`"
    assert "0.574" not in jule.own({})
