"""New images on the scale of the fitted ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from tests.tiny import Tiny

import kinfold
from kinfold import algorithms
from kinfold.data.brightness import alike, scale_of
from kinfold.data.images import Images
from kinfold.runtime import Progress, Runtime

DIGITS = load_digits().images[:60]
BYTES = (DIGITS * 15).astype(np.uint8)


@pytest.mark.parametrize(
    ("fitted", "new"),
    [
        (DIGITS, [DIGITS.astype(np.uint8), DIGITS.astype(np.int64), DIGITS.astype(np.float32)]),
        (BYTES, [BYTES.astype(np.int16), BYTES.astype(np.float32), BYTES / 255]),
        (BYTES / 255, [BYTES, BYTES.astype(np.float64)]),
    ],
    ids=["numbers", "bytes", "shares"],
)
def test_the_same_values_go_to_the_same_groups(
    fitted: Any, new: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(algorithms._HOME, "Tiny", "tests.tiny")
    model = Tiny(3, random_state=0).fit(fitted)
    expected = model.transform(fitted)
    loaded = kinfold.load(model.result_.save(tmp_path / "r"))
    for images in new:
        np.testing.assert_allclose(model.transform(images), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(loaded.transform(images), expected, rtol=1e-4, atol=1e-5)


def test_it_is_said() -> None:
    heard: list[str] = []

    class Hear(Progress):
        def say(self, sentence: str) -> None:
            heard.append(sentence)

    model = Tiny(3, random_state=0).fit(DIGITS)
    model.predict(DIGITS.astype(np.uint8), runtime=Runtime(progress=Hear()))
    assert heard == ["values from 0 to 16 are taken as numbers, as the fitted ones are."]


def test_what_is_not_known_stays() -> None:
    few = Images(np.full((2, 1, 4, 4), 9, dtype=np.uint8))
    assert alike(few, None) is few
    vectors = Images(np.eye(3, dtype=np.float32) * 300)
    assert scale_of(vectors) is None
    assert alike(vectors, "bytes") is vectors
    assert scale_of(Images(np.full((2, 1, 4, 4), -0.5, dtype=np.float32))) is None
    beyond = Images(np.full((2, 1, 4, 4), 300, dtype=np.float32))
    assert alike(beyond, "bytes") is beyond
