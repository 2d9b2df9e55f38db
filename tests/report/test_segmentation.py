from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinfold.errors import InputError
from kinfold.report import write_segmentation_report
from kinfold.report.segmentation import painted


def test_colours_and_lines_by_hand() -> None:
    pixels = np.zeros((1, 3, 3), dtype=np.uint8)
    found = painted(pixels, np.array([[0, 0, 1]]), ["#ff0000", "#0000ff"])
    assert found[0].tolist() == [[140, 0, 0], [140, 0, 0], [255, 255, 255]]


def test_the_file_asks_nobody_and_holds_its_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (20, 30, 3), dtype=np.uint8), rng.random((16, 16)) * 40 - 3]
    maps = [np.zeros((20, 30), dtype=np.int64), np.ones((16, 16), dtype=np.int64)]
    text = write_segmentation_report(pictures, maps, tmp_path / "deep" / "a.html", title="A <b> title").read_text()
    assert "A &lt;b&gt; title" in text
    assert "70 % of the pixels" in text
    assert "http://" not in text.replace('http-equiv="', "")
    assert "https://" not in text
    drawn = [Image.open(io.BytesIO(base64.b64decode(code))) for code in re.findall(r"base64,([^\"]+)", text)]
    assert [each.size for each in drawn] == [(30, 20)] * 3 + [(16, 16)] * 3
    np.testing.assert_array_equal(np.asarray(drawn[0]), pictures[0])


def test_maps_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    picture = np.zeros((20, 30))
    with pytest.raises(InputError, match="1 pictures came with 2 maps"):
        write_segmentation_report(picture, np.zeros((2, 20, 30), dtype=np.int64), tmp_path / "a.html")
    with pytest.raises(InputError, match="map 0 has shape"):
        write_segmentation_report(picture, np.zeros((1, 30, 20), dtype=np.int64), tmp_path / "a.html")
