from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.references.threads import together

from kinfold.errors import InputError
from kinfold.ops.deduplicate import deduplicate
from kinfold.ops.source import Parts


def copies(n: int = 120, d: int = 16) -> np.ndarray[Any, Any]:
    """The second half nearly repeats the first."""
    x = np.random.default_rng(0).normal(size=(n // 2, d))
    return np.concatenate([x, x * 3 + 0.01 * np.random.default_rng(1).normal(size=x.shape)]).astype(np.float32)


def test_three_vectors_by_hand() -> None:
    x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.01]])  # the centre leans to the last: the first is farther
    found = deduplicate(x, n_clusters=1)
    np.testing.assert_array_equal(found.kept, [True, True, False])
    np.testing.assert_array_equal(found.duplicate_of, [-1, -1, 0])
    np.testing.assert_allclose(found.cosine[2], 1 / np.sqrt(1 + 1e-4), rtol=1e-6)
    near = deduplicate(x, n_clusters=1, keep="near")
    np.testing.assert_array_equal(near.duplicate_of, [2, -1, -1])


def test_one_of_each_pair_is_kept() -> None:
    x = copies()
    found = deduplicate(x, n_clusters=4)
    np.testing.assert_array_equal(found.kept[:60].astype(int) + found.kept[60:], 1)
    dropped = np.flatnonzero(~found.kept)
    np.testing.assert_array_equal(found.duplicate_of[dropped] % 60, dropped % 60)


def test_a_wider_epsilon_drops_more() -> None:
    x = copies()
    kept = [
        int(deduplicate(x, epsilon=e, labels=np.zeros(120, dtype=np.int64)).kept.sum()) for e in (0, 0.05, 0.5, 1.5)
    ]
    assert kept[0] == 120
    assert kept[1] == 60
    assert kept == sorted(kept, reverse=True)


def test_length_does_not_matter() -> None:
    x = copies()
    scaled = x * np.random.default_rng(2).uniform(0.1, 9, size=(120, 1)).astype(np.float32)
    labels = np.arange(120) % 60 // 20
    np.testing.assert_array_equal(deduplicate(scaled, labels=labels).kept, deduplicate(x, labels=labels).kept)


def test_processes_agree() -> None:
    x = copies()
    one = deduplicate(x, n_clusters=4)
    for two in together(lambda run: deduplicate(Parts([x], block=50), n_clusters=4, run=run)):
        np.testing.assert_array_equal(two.duplicate_of, one.duplicate_of)


@pytest.mark.parametrize(("options", "says"), [
    ({"epsilon": 3.0}, "epsilon is 3.0"),
    ({"keep": "first"}, "keep is 'first'"),
    ({"labels": np.zeros(3)}, "labels have"),
])  # fmt: skip
def test_bad_input(options: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        deduplicate(copies(), **options)
