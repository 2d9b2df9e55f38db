"""Training with losses and views beside the bare passes: both clocked in a small fit."""

from __future__ import annotations

import numpy as np
import pytest

from kinfold.benchmark import passes, speed
from kinfold.benchmark.scenarios import scenario


@pytest.mark.parametrize(("part", "options"), [
    (passes.imsat, {"width": 4, "least_steps": 2}),
    (passes.iic, {"width": 2, "n_heads": 1}),
])  # fmt: skip
def test_the_share_is_that_of_the_two_rates(part: object, options: dict[str, int]) -> None:
    found = part(300, 0, **options)  # type: ignore[operator]
    np.testing.assert_allclose(found["share"], found["images_per_cpu_second"] / found["bare_images_per_cpu_second"])
    assert 0 < found["share"] < 3
    assert found["n"] == 300


def test_its_parts_are_the_two_algorithms() -> None:
    wanted = scenario("information-training-share")
    assert speed.parts(wanted) == ("imsat", "iic")
    assert speed.conclusions(wanted, {"imsat": [{"share": 0.5, "seconds": 1.0}]}) == {
        "share_of_bare_passes": {"imsat": 0.5}
    }
