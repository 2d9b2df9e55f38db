"""Vectors in pieces: wherever they lie, the same rows come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfold.errors import InputError
from kinfold.ops.source import Parts, as_source


def rows(n: int, d: int = 3) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 9), min_size=1, max_size=4), block=st.integers(1, 7), world=st.integers(1, 3))
def test_every_row_comes_once_over_all_processes(cuts: list[int], block: int, world: int) -> None:
    x = rows(sum(cuts))
    source = Parts(np.split(x, np.cumsum(cuts)[:-1]), block=block)
    found = np.full_like(x, np.nan)
    for rank in range(world):
        for start, piece in source.blocks(rank, world):
            assert np.isnan(found[start : start + len(piece)]).all()
            found[start : start + len(piece)] = piece
    np.testing.assert_array_equal(found, x)
    chosen = np.array([0, len(x) - 1, 0, len(x) // 2])
    np.testing.assert_array_equal(source.take(chosen), x[chosen])


def test_files_shards_and_tensors_are_one(tmp_path: Path) -> None:
    x = rows(50)
    half = x.astype(np.float16)
    np.save(tmp_path / "x.npy", half)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for source in (as_source(mapped), as_source([mapped[:20], mapped[20:]]), as_source(torch.from_numpy(half.copy()))):
        np.testing.assert_array_equal(np.concatenate([piece for _, piece in source.blocks()]), half.astype(np.float32))
        assert source.shape == (50, 3)
    assert as_source(source) is source


def test_a_private_copy_of_a_file_keeps_its_changes(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", rows(50))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="c")
    mapped[:] = 7
    source = Parts([mapped], block=10)
    assert all((piece == 7).all() for _, piece in source.blocks())
    np.testing.assert_array_equal(source.take(np.arange(50)), 7)


@pytest.mark.parametrize("wrong", [[], [np.zeros((2, 3)), np.zeros((2, 4))], np.zeros(3), np.zeros((0, 3))])
def test_what_is_no_matrix_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match="vectors came as"):
        Parts(wrong) if isinstance(wrong, list) else as_source(wrong)
