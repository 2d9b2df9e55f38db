"""Freed memory stays within the context and goes back after it."""

from __future__ import annotations

import resource
import sys

import numpy as np
import pytest

from kinfold import allocator
from kinfold.allocator import keeping_freed_memory

BLOCK = 2**26  # bytes, twice what glibc maps by itself


def faults(times: int) -> int:
    """Pages that the system had to hand out while a block was made and dropped again and again."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        np.ones(BLOCK, dtype=np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_a_block_is_used_again_and_goes_back() -> None:
    with keeping_freed_memory():
        faults(1)
        before = resident()
        assert faults(4) < 0.5 * 4 * BLOCK / 2**21, "less than half of even the largest pages, 2 MiB"
    assert resident() < before - BLOCK // 2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_contexts_nest_and_survive_an_error() -> None:
    with pytest.raises(ValueError, match="inside"), keeping_freed_memory():
        with keeping_freed_memory():
            pass
        assert allocator._depth == 1
        raise ValueError("inside")
    assert allocator._depth == 0


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_library", lambda: None)
    with keeping_freed_memory():
        assert allocator._depth == 0
