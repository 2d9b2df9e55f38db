from __future__ import annotations

from tests.handmade import by_id, result

from kinfold.benchmark.tables import study


def test_the_study_has_every_row_beside_what_was_published() -> None:
    ours = result("study-iic-geo", "mnist-test", 0.9, seeds=[0, 1, 2], health={"collapsed": 1})
    text = study.information(by_id(ours))
    assert "| `iic` | geometric |  | 0.979 ± 0.000 | 0.900 ± 0.012 | 0.900 ± 0.012 | 1 of 3 | 100 |" in text
    assert "| `iic` | geometric | vat-kl, on both views | 0.921 ± 0.076 | — | — | — | — |" in text
    assert "| `imsat`, 32 epochs |  | vat-kl | 0.977 ± 0.003 | — | — | — | — |" in text
    assert "k-means on the pixels: ACC —" in text
