"""k-means from disk: the file is made once, the parts agree, and the conclusions are right by hand."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from kinfold.benchmark import speed, vectors
from kinfold.benchmark.scenarios import scenario


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_the_file_is_made_once(tmp_path: Path) -> None:
    one, two = vectors.vectors(2000, 3), vectors.vectors(2000, 3)
    np.testing.assert_array_equal(one, two)
    assert [path.name for path in tmp_path.iterdir()] == ["kinfold-vectors-2000-3.npy"]


def test_parts_find_about_the_same() -> None:
    inertia = [vectors.PARTS[name](2000, 0)["inertia"] for name in ("codebook", "growing", "faiss")]
    assert max(inertia) < 1.05 * min(inertia)


def test_levels_have_their_clusters() -> None:
    assert vectors.hierarchy(2000, 0)["levels"] == [100, 10, 2]


def test_every_step_looks_at_every_row() -> None:
    found = vectors.all_rows(2000, 0)
    assert found["n_clusters"] == 100 and 1 <= found["steps"] <= 5
    np.testing.assert_allclose(found["cpu_seconds_a_step"] * (found["steps"] + 1), found["cpu_seconds"])
    np.testing.assert_allclose(found["cpu_nanoseconds_a_step_and_row"] * 2000e-9, found["cpu_seconds_a_step"])


def test_the_sizes_of_the_growth_are_what_their_names_say() -> None:
    wanted = scenario("kmeans-growth")
    assert wanted.once and speed.parts(wanted) == vectors.GROWTH
    assert vectors.PARTS["rows-10000"](2_000_000, 0)["n"] == 2000


def test_growth_by_hand() -> None:
    runs = {f"rows-{n}": [{"n": n, "seconds": 1.0, "cpu_seconds_a_step": n * 2e-6}] for n in (10_000, 1_000, 100)}
    found = speed.conclusions(scenario("kmeans-growth"), runs)
    assert found == {"growth": {"sizes": [100, 1000, 10000], "cpu_seconds": [0.0002, 0.002, 0.02], "exponent": 1.0}}


def test_conclusions_by_hand() -> None:
    runs = {
        name: [{"seconds": seconds, "cpu_seconds": seconds, "inertia": 2.0, "n": n}]
        for name, seconds, n in (
            ("codebook", 10.0, 1000), ("codebook-tenth", 1.0, 100), ("faiss", 12.0, 1000), ("quick", 2.0, 1000),
            ("minibatch", 5.0, 1000), ("growing", 6.0, 1000),
        )
    }  # fmt: skip
    found = speed.conclusions(scenario("kmeans-10m"), runs)
    assert found["ratio"] == {"against": "faiss k-means", "value": 1.2}
    assert found["growth"] == {"sizes": [100, 1000], "cpu_seconds": [1.0, 10.0], "exponent": 1.0}
    assert found["minibatch"]["ratio"] == 2.5
