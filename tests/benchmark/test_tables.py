from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kinfold.benchmark import tables
from kinfold.benchmark.scenarios import scenario
from kinfold.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


def result(identifier: str, dataset: str, nmi: float, **more: Any) -> dict[str, Any]:
    one = {"mean": nmi, "sd": 0.012, "values": [nmi, nmi]}
    found = {"scenario": identifier, "dataset": dataset, "n": 575, "n_clusters": 20, "pretrained": None}
    found |= {"metrics": {"nmi": one, "acc": one, "ari": one}, "seconds": {"mean": 60.0}, "peak_mb": 1234}
    return found | {"cpu_seconds": {"mean": 100.0}, "command": "kinfold benchmark x"} | more


def row(text: str, start: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_of_jule_by_hand() -> None:
    found = {
        r["scenario"]: r
        for r in (result("jule-umist-default", "umist", 0.951), result("kmeans-pixels-umist", "umist", 0.6))
    }
    text = tables.jule(found)
    expected = ["UMIST", "575", "20", "0.877 / —", "≥ 0.930", "0.951 ± 0.012", "0.951 ± 0.012", "0.951 ± 0.012"]
    assert row(text, "UMIST") == [*expected, "0.600 ± 0.012", "—", "100", "3,700 (37.0 times)", "1,234"]
    assert row(text, "USPS")[5] == "—"
    assert "`kinfold benchmark jule --data DIR`" in text
    assert "†" not in text


def test_pretrained_scores_carry_their_mark_and_the_baseline_of_the_same_features() -> None:
    ours = result("jule-flowers5-default", "flowers5", 0.8, pretrained="efficientnet-lite0")
    beside = result("kmeans-features-flowers5", "flowers5", 0.7, pretrained="efficientnet-lite0")
    text = tables.jule({r["scenario"]: r for r in (ours, beside)})
    assert row(text, "flowers5")[5] == "0.800 ± 0.012 †"
    assert row(text, "flowers5")[8] == "0.700 ± 0.012 †"
    assert "† with a backbone trained on ImageNet labels" in text


def test_the_ablation_has_a_row_a_change() -> None:
    found = {
        r["scenario"]: r
        for r in (
            result("jule-umist-default", "umist", 0.95),
            result("jule-umist-paper", "umist", 0.88, preset="paper"),
            result("ablation-umist-no-views", "umist", 0.91, preset="default", parameters={"view_strength": 0.0}),
            result("ablation-cmu-pie-no-views", "cmu-pie", 0.99, preset="default", parameters={"view_strength": 0.0}),
            result("ablation-umist-released-x", "umist", 0.8, preset="paper", parameters={"as_released": ["x"]}),
        )
    }
    text = tables.ablation(found)
    assert row(text, "**preset default**") == ["**preset default**", "", "0.950 ± 0.012", "—"]
    assert row(text, "no views") == ["no views", "`view_strength=0.0`", "0.910 ± 0.012", "0.990 ± 0.012"]
    assert row(text, "**preset paper**") == ["**preset paper**", "", "0.880 ± 0.012", "—"]
    assert row(text, "released x") == ["released x", "`as_released=['x']`", "0.800 ± 0.012", "—"]


def test_the_study_has_every_row_beside_what_was_published() -> None:
    ours = result("study-iic-geo", "mnist-test", 0.9, seeds=[0, 1, 2], health={"collapsed": 1})
    text = tables.information_study({"study-iic-geo": ours})
    assert "| `iic` | geometric |  | 0.979 ± 0.000 | 0.900 ± 0.012 | 0.900 ± 0.012 | 1 of 3 | 100 |" in text
    assert "| `iic` | geometric | vat-kl, on both views | 0.921 ± 0.076 | — | — | — | — |" in text
    assert "k-means on the pixels: ACC —" in text


def test_sets_of_ones_own_keep_their_row_with_figure_source_and_command() -> None:
    cells = row(tables.own({}), "FRGC")
    assert cells[2] == "0.57 / — / —"
    assert cells[-1] == "`kinfold benchmark jule --data DIR --only frgc`"
    assert "0.574" not in tables.own({})


def test_recalled_figures_stand_in_no_table() -> None:
    text = "".join(make({}) for make in tables.TABLES.values())
    assert "recalled" not in text
    assert "0.940" not in text


def test_update_changes_what_stands_between_the_marks_only(tmp_path: Path) -> None:
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    page = tmp_path / "docs" / "deep" / "page.md"
    page.write_text("before\n<!-- table: jule-own -->\nstale\n<!-- end -->\nafter\n")
    (tmp_path / "README.md").write_text("no table\n")
    assert tables.update(tmp_path, tmp_path) == [page]
    text = page.read_text()
    assert text.startswith("before\n<!-- table: jule-own -->\n| set |")
    assert text.endswith("\n<!-- end -->\nafter\n")
    assert "stale" not in text
    assert tables.update(tmp_path, tmp_path) == []


def test_an_unknown_table_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"asks for the table 'nonsense'; there are jule"):
        tables.regenerate("<!-- table: nonsense -->\n<!-- end -->", {})


def test_committed_documents_equal_the_regenerated_ones() -> None:
    found = tables.read(ROOT / "benchmarks" / "results")
    for path in tables.documents(ROOT):
        text = path.read_text(encoding="utf-8")
        assert text == tables.regenerate(text, found), f"{path.name}: run `kinfold benchmark tables`"


def test_committed_results_carry_enough_seeds_and_their_own_name() -> None:
    for path in (ROOT / "benchmarks" / "results").glob("*.json"):
        found = tables.read(path.parent)[path.stem]
        assert found["scenario"] == path.stem
        wanted = scenario(path.stem)
        enough = 1 if wanted.deterministic or wanted.once else 3
        assert len(found["seeds"]) >= enough, f"{path.name} has {len(found['seeds'])} seeds"
        assert "/" not in found["command"]


def test_the_table_of_patch_features_by_hand() -> None:
    scores = {name: {"mean": value} for name, value in (("acc_test", 0.6912), ("acc_train", 0.7251))}
    one = result("coates-ng-k200-omp1", "cifar10-full", 0.0, metrics=scores)
    one["parameters"] = {"n_atoms": 200, "dictionary": "gain-shape"}
    cells = row(tables.coates_ng({one["scenario"]: one}), "gain-shape")
    assert cells == ["gain-shape", "200", "—", "**69.1**", "72.5", "100", "1,234"]
    assert row(tables.coates_ng({}), "OMP-1")[1:3] == ["1600", "79.96"]


def test_the_table_of_nat_by_hand() -> None:
    found = {
        r["scenario"]: r
        for r in (
            result("nat-mnist-full-default", "mnist-full", 0.97),
            result("kmeans-pixels-mnist-full", "mnist-full", 0.5),
            result("nat-mnist-test-rotation", "mnist-test", 0.6, parameters={"rotation": True}),
        )
    }
    text = tables.nat(found)
    assert row(text, "MNIST-full")[3:7] == ["0.991", "0.970 ± 0.012", "0.970 ± 0.012", "0.500 ± 0.012"]
    assert row(text, "`rotation=True`")[1] == "0.600 ± 0.012"
