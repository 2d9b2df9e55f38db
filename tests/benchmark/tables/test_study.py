from __future__ import annotations

from tests.handmade import by_id, result

from kinfold.benchmark import study as rows
from kinfold.benchmark.tables import study


def test_the_study_has_every_row_beside_what_was_published() -> None:
    ours = result("study-iic-geo", "mnist-test", 0.9, seeds=[0, 1, 2], health={"collapsed": 1})
    text = study.information(by_id(ours))
    assert "| `iic` | geometric |  | 0.979 ± 0.000 | 0.900 ± 0.012 | 0.900 ± 0.012 | 1 of 3 | 100 |" in text
    assert "| `iic` | geometric | vat-kl, on both views | 0.921 ± 0.076 | — | — | — | — |" in text
    assert "| `imsat`, 32 epochs |  | vat-kl | 0.977 ± 0.003 | — | — | — | — |" in text
    assert "k-means on the pixels: ACC —" in text


def test_families_stand_from_the_best_to_the_worst_with_the_order_of_their_rows() -> None:
    found = {"iic-geo": 0.9, "imsat-vat": 0.7, "imsat-vat-mixup": 0.6, "iic-mixup": 0.62, "imsat": 0.5}
    found["imsat-geo"] = 0.99
    text = study.families(by_id(*(result(f"study-{name}", "mnist-test", acc) for name, acc in found.items())))
    lines = [line for line in text.splitlines() if line.startswith("| I")]
    assert lines == [
        "| IMSAT, Geo beside | 1 | 0.438 | 0.990 | 0 |",
        "| IIC Geo | 1 | 0.979 | 0.900 | 0 |",
        "| IMSAT, VAT beside | 2 | 0.974 | 0.650 | 0 |",
        "| IIC, other changes in place of Geo | 1 | 0.532 | 0.620 | 0 |",
        "| IMSAT, nothing beside | 1 | 0.426 | 0.500 | 0 |",
    ]
    # Published ranks 6 5 4 2 3 1 become 5 4 2 6 3 1; then 5 4 3 2 1 become 5 4 2 3 1; then 3 2 1 stay.
    assert "all rows (6) 0.37; those whose published runs agree (sd under 0.3) (5) 0.90;" in text
    assert "without IMSAT with VAT beside (3) 1.00.\n" in text


def test_two_rows_have_no_order_and_none_no_table() -> None:
    text = study.families(by_id(result("study-iic-geo", "mnist-test", 0.9), result("study-imsat", "mnist-test", 0.5)))
    assert "Order of" not in text
    assert study.families({}).startswith("Not measured yet")


def test_a_row_without_a_published_figure_is_in_no_family() -> None:
    assert rows.ROWS["reg-vat-mi"].acc is None
    assert study.families(by_id(result("study-reg-vat-mi", "mnist-test", 0.9))).startswith("Not measured yet")


def test_every_row_of_the_study_has_one_family() -> None:
    sizes: dict[str, int] = {}
    for row in rows.ROWS.values():
        sizes[rows.family(row)] = sizes.get(rows.family(row), 0) + 1
    assert sizes == {
        "IMSAT, nothing beside": 1, "IMSAT, Geo beside": 1, "IMSAT, VAT beside": 4, "IMSAT, VAT and Geo beside": 3,
        "IMSAT, other changes beside": 4, "IMSAT with VAT, and IIC Geo": 1, "IIC Geo": 1,
        "IIC, other changes in place of Geo": 5, "IIC Geo, other changes inside too": 7,
        "IIC Geo, other changes beside": 10,
    }  # fmt: skip
