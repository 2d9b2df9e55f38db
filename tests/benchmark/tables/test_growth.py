from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.handmade import by_id, row

from kinfold.benchmark import tables
from kinfold.benchmark.tables import growth

ROOT = Path(__file__).resolve().parents[3]
SVG = "{http://www.w3.org/2000/svg}"


def kmeans() -> dict[str, Any]:
    """10 microseconds a vector, from ten thousand to ten million."""
    sizes = [10_000, 100_000, 1_000_000, 10_000_000]
    clock = {"mean": 0.6, "sd": 0.0, "values": [0.6]}
    part: dict[str, Any] = {"n": 10_000.0, "steps": 5.0, "cpu_seconds": clock, "peak_mb": 999}
    part["cpu_nanoseconds_a_step_and_row"] = 10_000.4
    found = {"sizes": sizes, "cpu_seconds": [n * 1e-5 for n in sizes], "exponent": 1.0}
    return {"scenario": "kmeans-growth", "algorithm": "kmeans_growth", "growth": found, "parts": {"rows-10000": part}}


def merging(n: int) -> dict[str, Any]:
    sizes = [n // 4, n // 2, n]
    found = {"sizes": sizes, "seconds": [m * 3e-6 for m in sizes], "exponent": 1.0}
    return {"scenario": f"agglomerate-{n}", "algorithm": "agglomerate", "growth": found}


def circles(text: str | None) -> list[ElementTree.Element]:
    assert text is not None
    return list(ElementTree.fromstring(text).iter(f"{SVG}circle"))


@pytest.mark.parametrize("others", [(), (10_000,), (10_000, 70_000, 1_000_000)])
def test_the_picture_has_a_point_a_size(others: tuple[int, ...]) -> None:
    found = by_id(kmeans(), *(merging(n) for n in others))
    points = circles(growth.picture(found))
    assert len(points) == 4 + 3 * len(others)
    assert "".join(points[3].itertext()) == "10,000,000: 100 s"


def test_what_grows_in_proportion_lies_on_a_straight_line_within_the_picture() -> None:
    points = circles(growth.picture(by_id(kmeans())))
    where = [(float(point.get("cx", 0)), float(point.get("cy", 0))) for point in points]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(where)]
    assert slopes == pytest.approx([slopes[0]] * 3, abs=0.01)
    assert all(growth.LEFT <= x <= growth.WIDTH - growth.RIGHT for x, _ in where)
    assert all(growth.TOP <= y <= growth.HEIGHT - growth.BOTTOM for _, y in where)


def test_the_table_of_growth_by_hand() -> None:
    text = growth.steps(by_id(kmeans()))
    assert row(text, "10,000") == ["10,000", "5", "0.6", "10,000", "999"]
    assert text.startswith("![Cost by the number of vectors, both axes logarithmic](../images/growth.svg)\n")
    assert "- kmeans-growth: the cost grows with exponent 1.00 from 10,000 to 10,000,000." in text
    assert growth.steps({}) == "Not measured yet: `kinfold benchmark speed --only kmeans-growth`\n"


def test_the_picture_is_written_with_the_tables(tmp_path: Path) -> None:
    assert growth.picture({}) is None
    (tmp_path / "docs" / "images").mkdir(parents=True)
    (tmp_path / "kmeans-growth.json").write_text(json.dumps(kmeans()))
    assert tables.update(tmp_path, tmp_path) == [tmp_path / growth.PICTURE]
    assert (tmp_path / growth.PICTURE).read_text(encoding="utf-8") == growth.picture(by_id(kmeans()))
    assert tables.update(tmp_path, tmp_path) == []


def test_the_committed_picture_equals_the_regenerated_one() -> None:
    path = ROOT / growth.PICTURE
    committed = path.read_text(encoding="utf-8") if path.exists() else None
    assert committed == growth.picture(tables.read(ROOT / "benchmarks" / "results")), "run `kinfold benchmark tables`"
