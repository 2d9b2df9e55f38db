"""Training throughput: a plain float32 loop of the paper's network for MNIST, and the machine's matrix products.

The plain loop is what one writes first in PyTorch: default memory layout, float32, batches of 100 random images, the
triplet loss with every negative of the batch. Kinfold's part is ``JULE(preset="paper")``: the same network, batches of
the same size, the released code's triplets; the clock runs while a fit learns, so that neighbours and merging are not
in the figure. Each part warms up before the clock starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kinfold.benchmark.measure import Usage, timed

BATCH = 100  # the paper's
SIDE = 28
N_CLASSES = 10
PRODUCT = 1024  # rows and columns of the matrices whose product is timed
PRODUCTS = 40


def digits(n: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Grey images of ten kinds: blurred random patterns with noise ``-> (n, 28, 28) uint8, (n,)``.

    Examples
    --------
    >>> images, labels = digits(50, 0)
    >>> images.shape, images.dtype.name, int(labels.max())
    ((50, 28, 28), 'uint8', 9)
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    patterns = gaussian_filter(rng.normal(size=(N_CLASSES, SIDE, SIDE)), (0, 3, 3))
    patterns /= np.abs(patterns).max(axis=(1, 2), keepdims=True)
    labels = rng.integers(N_CLASSES, size=n)
    noise = rng.standard_normal((n, SIDE, SIDE), dtype=np.float32)
    images = 128 + 90 * patterns[labels].astype(np.float32) + 20 * noise
    return np.clip(images, 0, 255).astype(np.uint8), labels.astype(np.int64)


def jule(n: int, seed: int) -> dict[str, Any]:
    """Two epochs of ``JULE(preset="paper")`` inside a fit: what its periods of learning take."""
    from kinfold import JULE
    from kinfold.data import as_images

    class Clocked(JULE):
        """JULE with a clock around its learning."""

        def _learn(self, *arguments: Any) -> float:
            loss, usage = timed(lambda: super(Clocked, self)._learn(*arguments))
            spent.append(usage)
            return loss

    spent: list[Usage] = []
    images = as_images(digits(n, seed)[0])
    model = Clocked(n_clusters=N_CLASSES, preset="paper", unrolling_rate=1.0, random_state=seed)
    model.set_params(n_epochs=1).fit(images)
    spent.clear()
    model.set_params(n_epochs=2).fit(images)
    total = Usage(sum(u.seconds for u in spent), sum(u.cpu_seconds for u in spent))
    return _rates(total, 2 * len(spent) * n)


def plain(n: int, seed: int) -> dict[str, Any]:
    """Train the paper's network for 28 x 28 images with a loop that knows no trick."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    images, labels = digits(n, seed)
    x, y = torch.from_numpy(images)[:, None].float() / 255, torch.from_numpy(labels)
    with torch.random.fork_rng(devices=[]):
        net = _paper_network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-5)
    draw = np.random.default_rng(seed)

    def step() -> None:
        rows = torch.from_numpy(draw.choice(n, BATCH, replace=False))
        loss = _triplets(net(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    with FlopCounterMode(display=False) as counter:
        step()

    def steps() -> None:
        for _ in range(n // BATCH):
            step()

    steps()
    _, usage = timed(steps)
    return {**_rates(usage, n), "flops_per_image": counter.get_total_flops() / BATCH}


def matmul(n: int, seed: int) -> dict[str, Any]:
    """Rate of float32 matrix products: the machine's ceiling."""
    import torch

    generator = torch.Generator()
    generator.manual_seed(seed)
    a, b = (torch.rand(PRODUCT, PRODUCT, generator=generator) for _ in range(2))
    for _ in range(4):
        torch.mm(a, b)
    _, usage = timed(lambda: [torch.mm(a, b) for _ in range(PRODUCTS)])
    done = 2.0 * PRODUCT**3 * PRODUCTS
    return {**usage._asdict(), "n": PRODUCT, "flops_per_cpu_second": done / usage.cpu_seconds}


def conclusions(runs: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """How much faster than the plain loop, and which share of the machine's rate of products is reached."""

    def mean(part: str, key: str) -> float:
        return float(np.mean([r[key] for r in runs[part]]))

    own, other = mean("training", "images_per_cpu_second"), mean("plain", "images_per_cpu_second")
    share = own * mean("plain", "flops_per_image") / mean("matmul", "flops_per_cpu_second")
    return {
        "ratio": {"against": "a plain float32 PyTorch loop", "value": round(own / other, 2)},
        "matmul_share": round(share, 3),
    }


def _rates(usage: Usage, n: int) -> dict[str, Any]:
    return {
        **usage._asdict(),
        "n": n,
        "images_per_cpu_second": n / usage.cpu_seconds,
        "images_per_second": n / usage.seconds,
    }


def _paper_network() -> Any:
    from torch import nn
    from torch.nn import functional

    class Unit(nn.Module):
        def forward(self, x: Any) -> Any:
            return functional.normalize(x, dim=1)

    return nn.Sequential(
        nn.Conv2d(1, 50, 5),
        nn.BatchNorm2d(50),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(50, 50, 5),
        nn.BatchNorm2d(50),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(3200, 160),
        Unit(),
    )


def _triplets(features: Any, labels: Any, margin: float = 0.2) -> Any:
    """Mean hinge over anchor, positive and every negative of the batch ``(b, d), (b,) -> ()``."""
    import torch

    d2 = 2 - 2 * features @ features.T
    same = labels[:, None] == labels[None]
    pair = torch.triu(same, diagonal=1)
    hinge = (d2[:, :, None] - d2[:, None, :] + margin).clamp(min=0)
    chosen = pair[:, :, None] & ~same[:, None, :]
    return (hinge * chosen).sum() / chosen.sum().clamp(min=1)
