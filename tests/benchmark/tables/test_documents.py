from __future__ import annotations

from pathlib import Path

import pytest

from kinfold.benchmark import tables
from kinfold.benchmark.scenarios import scenario
from kinfold.errors import InputError

ROOT = Path(__file__).resolve().parents[3]


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


def test_every_table_stands_in_a_document() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in tables.documents(ROOT))
    assert [name for name in tables.TABLES if f"<!-- table: {name} -->" not in text] == []


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


def test_a_processor_without_bfloat16_is_marked_and_explained_once() -> None:
    found = tables.read(ROOT / "benchmarks" / "results")["imsat-usps-default"]
    spent = f"{found['cpu_seconds']['mean']:,.0f}"
    for native, mark, notes in ((True, "", 0), (False, " ‡", 1)):
        result = found | {"machine": found["machine"] | {"bfloat16": native}}
        table = tables.regenerate("<!-- table: imsat -->\n<!-- end -->\n", {result["scenario"]: result})
        assert table.count(f"| {spent}{mark} |") == 1
        assert table.count("‡ on a processor without matrix products in bfloat16") == notes
