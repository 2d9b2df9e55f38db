"""What losses and views cost: training of IMSAT and IIC beside the same passes through the same layers without them.

Both are clocked in turn inside one fit, on the same batches. The bare pass has the same images go through the same
layers forwards and backwards as often: for IMSAT a clean, a moved and a pushed batch, and the probe that finds the
adversarial direction; for IIC one plain view and `n_repeats` others. Its loss is the mean square of the outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kinfold.benchmark.measure import Usage, timed
from kinfold.benchmark.training import digits

if TYPE_CHECKING:
    from torch import Tensor, nn

PARTS = ("imsat", "iic")
ROUNDS = 3  # of which the first warms up


def imsat(n: int, seed: int, **options: Any) -> dict[str, Any]:
    """Rounds of ``IMSAT()`` on n images of 28 x 28 pixels, without its graph and its warm start."""
    import torch

    from kinfold import IMSAT
    from kinfold.algorithms.imsat import probabilities
    from kinfold.ops.batch_norm import probing
    from kinfold.train import fit_epoch

    def square(net: Any, x: Tensor) -> Tensor:
        return probabilities(net, x).square().mean()

    def bare(net: nn.Module, index: Any, x: Tensor) -> Tensor:
        clean = square(net, x)
        with probing(net):
            probe = x.detach().requires_grad_()
            torch.autograd.grad(square(net, probe), probe)
            return clean + square(net, x) + square(net, x)

    class Clocked(IMSAT):
        """IMSAT with a clock around its learning."""

        def _learn(self, state: Any, images: Any, run: Any) -> float:
            return clock(
                lambda: super(Clocked, self)._learn(state, images, run),
                lambda: fit_epoch(state, images, bare, run, batches=self._batches(state, len(images))),
            )

    Clocked.__name__ = "IMSAT"
    clock = Clock()
    Clocked(10, n_epochs=ROUNDS, warm_steps=0, n_graphs=0, random_state=seed, **options).fit(digits(n, seed)[0])
    return clock.found(n)


def iic(n: int, seed: int, **options: Any) -> dict[str, Any]:
    """Epochs of ``IIC()`` on n images of 28 x 28 pixels, both heads learning."""
    import torch

    from kinfold import IIC
    from kinfold.train import fit_epoch

    class Clocked(IIC):
        """IIC with a clock around its learning."""

        def _learn(self, state: Any, images: Any, run: Any, heads: Any, tables: Any) -> float:
            repeats = self._set("n_repeats")

            def bare(net: Any, index: Any, x: Tensor) -> Tensor:
                found = [net.logits(part, heads) for part in (x, torch.cat([x] * repeats))]
                return torch.stack([logits.square().mean() for each in found for logits in each.values()]).sum()

            return clock(
                lambda: super(Clocked, self)._learn(state, images, run, heads, tables),
                lambda: fit_epoch(state, images, bare, run, batches=self._batches(state, len(images))),
            )

    Clocked.__name__ = "IIC"
    clock = Clock()
    Clocked(10, n_epochs=ROUNDS, random_state=seed, **options).fit(digits(n, seed)[0])
    return clock.found(n)


class Clock:
    """Trains as it is told, then makes the bare passes, and keeps what each took; the first time warms up."""

    def __init__(self) -> None:
        self.spent: list[tuple[Usage, Usage]] = []

    def __call__(self, training: Callable[[], float], bare: Callable[[], float]) -> float:
        loss, whole = timed(training)
        self.spent.append((whole, timed(bare)[1]))
        return loss

    def found(self, n: int) -> dict[str, Any]:
        """Images a CPU second with loss and views, without, and the share of the one in the other."""
        whole, bare = (sum(each[i].cpu_seconds for each in self.spent[1:]) for i in (0, 1))
        images = n * (len(self.spent) - 1)
        return {
            "seconds": sum(each[0].seconds for each in self.spent[1:]),
            "cpu_seconds": whole,
            "n": n,
            "images_per_cpu_second": images / whole,
            "bare_images_per_cpu_second": images / bare,
            "share": bare / whole,
        }


def conclusions(runs: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Share of the bare rate that training reaches.

    Examples
    --------
    >>> conclusions({"imsat": [{"share": 0.7}, {"share": 0.8}]})
    {'share_of_bare_passes': {'imsat': 0.75}}
    """
    return {
        "share_of_bare_passes": {
            name: round(float(np.mean([r["share"] for r in each])), 3) for name, each in runs.items()
        }
    }
