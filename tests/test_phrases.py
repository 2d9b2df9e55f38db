"""Counts in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinfold.data import Images
from kinfold.phrases import one_line, plural
from kinfold.results import Clustering
from kinfold.terminal import describe_images, describe_result, next_steps


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


def test_a_name_cannot_move_the_cursor() -> None:
    assert one_line("\x1b]0;pwned\x07.png\r\u2028") == "\\x1b]0;pwned\\x07.png\\r\\u2028"
    assert one_line("größe 3 – naïve.png") == "größe 3 – naïve.png"


def test_only_files_go_to_folders(tmp_path: Path) -> None:
    assert any("--to folders" in line for line in next_steps(tmp_path))
    assert not any("--to folders" in line for line in next_steps(tmp_path, files=False))
