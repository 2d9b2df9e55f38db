"""Several processes played by threads: the same calls, exchanged through a barrier."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Joined:
    """One of several threads that add up what they hold."""

    def __init__(self, rank: int, world: int, barrier: threading.Barrier, held: list[Any]) -> None:
        self.rank, self.world, self._barrier, self._held = rank, world, barrier, held

    def to(self, x: Tensor) -> Tensor:
        return x

    def sum(self, x: Tensor) -> Tensor:
        self._held[self.rank] = x
        self._barrier.wait(60)
        total = torch.stack(self._held).sum(0)
        self._barrier.wait(60)
        return total


def together(work: Callable[[Joined], Any], world: int = 2) -> list[Any]:
    """What each of the threads returns."""
    barrier, held, found = threading.Barrier(world), [None] * world, [None] * world

    def one(rank: int) -> None:
        found[rank] = work(Joined(rank, world, barrier, held))

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return found
