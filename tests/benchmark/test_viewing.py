from __future__ import annotations

import pytest

from kinfold.benchmark import speed, viewing
from kinfold.benchmark.scenarios import scenario


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_both_parts_make_as_many_views(kind: str) -> None:
    ours, theirs = viewing.batches(kind)(4, 0), viewing.torchvision(kind)(4, 0)
    assert set(ours) == set(theirs)
    assert ours["n"] == theirs["n"] == 4 * (1 + viewing.BATCH[kind][1])


def test_parts_and_ratio() -> None:
    wanted = scenario("views-cifar10")
    assert speed.parts(wanted) == ("batches-colour", "torchvision-colour")
    assert set(speed.parts(wanted)) <= set(speed.PARTS)
    runs = {
        "batches-colour": [{"seconds": 1.0, "views_per_cpu_second": 3000.0}],
        "torchvision-colour": [{"seconds": 1.0, "views_per_cpu_second": 250.0}],
    }
    found = speed.conclusions(wanted, runs)
    assert found == {"ratio": {"against": "torchvision, one image at a time", "value": 12.0}}
