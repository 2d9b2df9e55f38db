from __future__ import annotations

import numpy as np

from kinfold.report.palette import palette, seen


def nearest(colours: list[str]) -> float:
    views = [np.linalg.norm(view[:, None] - view[None], axis=2) for view in seen(colours)]
    return float(min(view[~np.eye(len(colours), dtype=bool)].min() for view in views))


def test_the_first_colours_stand_apart_for_the_colour_blind() -> None:
    # The smallest difference in OKLab that is seen at a glance is about 0.02.
    assert nearest(palette(8)) > 0.06
    assert nearest(palette(20)) > 0.02


def test_hundreds_of_colours_are_all_different_and_a_longer_palette_begins_like_a_shorter_one() -> None:
    assert len(set(palette(300))) == 300
    assert palette(300)[:12] == palette(12)


def test_more_colours_than_there_are_repeat() -> None:
    assert len(palette(5000)) == 5000


def test_simulated_views_of_grey_are_grey() -> None:
    for view in seen(["#808080"]):
        np.testing.assert_allclose(view[0, 1:], 0, atol=0.01)
