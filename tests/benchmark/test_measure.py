from __future__ import annotations

import time

import numpy as np

from kinfold.benchmark import measure


def test_sleep_costs_wall_seconds_and_work_costs_cpu_seconds() -> None:
    _, asleep = measure.timed(lambda: time.sleep(0.1))
    assert asleep.seconds >= 0.1
    assert asleep.cpu_seconds < 0.09
    deadline = time.process_time() + 0.1
    _, awake = measure.timed(lambda: [None for _ in iter(lambda: time.process_time() < deadline, False)] and None)
    assert awake.cpu_seconds >= 0.09


def test_peak_memory_follows_what_is_allocated() -> None:
    before = measure.peak_mb()
    block = np.ones(400_000_000 // 8)
    assert measure.peak_mb() >= min(before, 100) + 300
    assert block.sum() == 50_000_000


def test_machine_and_versions_are_named() -> None:
    assert set(measure.machine()) == {"cpu", "cores", "threads", "vectors", "bfloat16"}
    assert {"kinfold", "torch", "python"} <= set(measure.versions())
    assert len(measure.source_digest()) == 16
