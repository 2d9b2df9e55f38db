"""What may come into a fit; the sentences are tested in test_estimator.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from tests.tiny import Tiny

from kinfold.data.images import Images
from kinfold.errors import InputError
from kinfold.inputs import classes, is_table, refuse_what_has_no_clusters

TABLE = np.eye(3, dtype=np.float32)


@pytest.mark.parametrize("X", [TABLE, TABLE.tolist(), scipy.sparse.csr_matrix(TABLE), TABLE[0], [[1, 2]], []])
def test_tables(X: Any) -> None:
    assert is_table(X)


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((2, 4, 4)),
        torch.eye(3),
        "photos",
        Path("photos"),
        ["a.png"],
        [np.zeros((4, 4))],
        Images(TABLE),
        None,
        3,
        {"a": 1},
    ],
)
def test_what_as_images_reads(X: Any) -> None:
    assert not is_table(X)


def test_classes_come_from_y_before_the_images() -> None:
    images = Images(TABLE, labels=np.array([4, 4, 2]), label_names=["a"] * 5)
    np.testing.assert_array_equal(classes(None, images)[0], [4, 4, 2])
    found, names = classes([True, False, True], images)
    np.testing.assert_array_equal(found, [1, 0, 1])
    assert names == ["False", "True"]
    assert classes(None, Images(TABLE)) == (None, None)
    np.testing.assert_array_equal(classes(np.array(["x", None, "x"], dtype=object), images)[0], [1, 0, 1])


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_a_class_is_finite(odd: float) -> None:
    with pytest.raises(InputError, match=f"^y holds {odd}; expected numbers or names, one class an image"):
        classes([1.0, odd, 1.0], Images(TABLE))
    np.testing.assert_array_equal(classes([7.0, 2.0, 7.0], Images(TABLE))[0], [1, 0, 1])


@pytest.mark.parametrize("source", [None, 3, (row for row in TABLE), [{"image": 1}] * 5])
def test_what_is_nothing_of_the_kind_is_one_sentence(source: Any) -> None:
    with pytest.raises(InputError, match=r"^images came as a \w+.*; expected a folder"):
        Tiny(2).fit(source)


def test_infinity_is_found_anywhere() -> None:
    pixels = np.random.default_rng(0).random((2000, 3), dtype=np.float32)
    refuse_what_has_no_clusters(Images(pixels.copy()), None)
    pixels[1999, 2] = np.inf
    with pytest.raises(InputError, match="NaN or infinity"):
        refuse_what_has_no_clusters(Images(pixels), None)


def test_counts_of_numpy_are_counts() -> None:
    refuse_what_has_no_clusters(Images(TABLE), np.int32(3))
