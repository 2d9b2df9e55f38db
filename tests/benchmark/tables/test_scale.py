from __future__ import annotations

from typing import Any

from tests.handmade import by_id, result, row

from kinfold.benchmark.tables import scale


def parts(identifier: str, algorithm: str, names: tuple[str, ...], **more: Any) -> dict[str, Any]:
    """A speed result whose parts cost 2 seconds."""
    clock = {"mean": 2.0, "sd": 0.1, "values": [2.0]}
    one = {"seconds": clock, "cpu_seconds": clock, "peak_mb": 2500, "n": 1000}
    return result(identifier, "", 0.0, algorithm=algorithm, parts={name: dict(one) for name in names}, **more)


def test_the_table_of_speed_speaks_of_merging_and_training_only() -> None:
    growth = {"sizes": [2500, 5000, 10000], "seconds": [1.0, 2.0, 4.0], "exponent": 1.0}
    merging = parts("agglomerate-10000", "agglomerate", ("kinfold", "ward"), growth=growth)
    views = parts("views-mnist", "views", ("batches-grey", "torchvision-grey"), ratio={"value": 9.0, "against": "x"})
    text = scale.speed(by_id(merging, views))
    assert row(text, "scikit-learn ward")[1:] == ["1,000", "2 ± 0.1", "2", "2,500", "—"]
    assert "- agglomerate-10000: merging grows with exponent 1.00 from 2,500 to 10,000." in text
    assert "views" not in text
    assert "Not measured yet" in scale.speed(by_id(views))
