"""Counts in words."""

from __future__ import annotations

import numpy as np
import pytest

from kinfold.data import Images
from kinfold.phrases import plural
from kinfold.results import Clustering
from kinfold.terminal import describe_images, describe_result


@pytest.mark.parametrize(("count", "said"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1234, "1,234 files")])
def test_only_one_is_singular(count: int, said: str) -> None:
    assert plural(count, "file") == said


def test_the_terminal_counts_one_as_one() -> None:
    assert describe_images(Images(np.zeros((1, 1, 8, 8), np.uint8), source="a"))[0] == "1 image of 1 x 8 x 8 from a"
    one = Clustering.of([0, 0], embedding=np.eye(2), duplicate_of=np.array([-1, 0]))
    assert describe_result(one) == [
        "1 group of 2 images.",
        "1 image is an exact copy of another; labels.csv says of which.",
    ]
