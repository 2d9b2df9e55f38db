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
