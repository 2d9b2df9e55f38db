"""Speed of views: whole batches by `kinfold.data.views` against one image at a time by torchvision.

Both make the views that IIC's released commands train on, as float tensors in [0, 1]: for MNIST one plain and five
transformed ones of an image, for CIFAR-10 one and three. Torchvision's part is the pipeline as it was published: Pillow
images, one after the other, in one process. Each part warms up before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kinfold.benchmark.measure import Usage, timed

BATCH = {"grey": (140, 5), "colour": (220, 3)}  # different images of a batch and transformed views of each, the paper's


def pictures(n: int, kind: str, seed: int) -> np.ndarray[Any, Any]:
    """Smooth random images, grey of 28 pixels or colour of 32 ``-> (n, h, w)`` or ``(n, h, w, 3)`` uint8.

    Examples
    --------
    >>> pictures(2, "grey", 0).shape, pictures(2, "colour", 0).shape
    ((2, 28, 28), (2, 32, 32, 3))
    """
    from scipy.ndimage import gaussian_filter

    shape = (n, 28, 28) if kind == "grey" else (n, 32, 32, 3)
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), (0, 2, 2) + (0,) * (len(shape) - 3))
    return np.asarray(np.clip(128 + 300 * noise, 0, 255), dtype=np.uint8)


def batches(kind: str) -> Callable[[int, int], dict[str, Any]]:
    """Kinfold's part for a kind of image."""

    def part(n: int, seed: int) -> dict[str, Any]:
        import torch

        from kinfold.data import views

        pixels = torch.from_numpy(pictures(n, kind, seed))
        pixels = pixels[:, None] if kind == "grey" else pixels.permute(0, 3, 1, 2)
        plain = views.iic_mnist_plain if kind == "grey" else views.iic_colour_plain
        other = views.iic_mnist_transformed if kind == "grey" else views.iic_colour_transformed
        generator = torch.Generator()
        generator.manual_seed(seed)

        size, repeats = BATCH[kind]

        def work() -> None:
            for start in range(0, n, size):
                x = pixels[start : start + size].float() / 255
                plain(x, generator)
                other(torch.cat([x] * repeats), generator)

        work()
        _, usage = timed(work)
        return _rates(usage, n * (1 + repeats))

    return part


def torchvision(kind: str) -> Callable[[int, int], dict[str, Any]]:
    """The published pipeline for a kind of image."""

    def part(n: int, seed: int) -> dict[str, Any]:
        import torch
        from PIL import Image
        from torchvision.transforms import v2

        jitter = v2.ColorJitter(0.4, 0.4, 0.4, 0.125)
        end = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
        if kind == "grey":
            plain = v2.Compose([v2.RandomChoice([v2.RandomCrop(20), v2.CenterCrop(20)]), v2.Resize(24), end])
            turn = v2.RandomApply([v2.RandomRotation(25)], p=0.5)
            crop = v2.RandomChoice([v2.RandomCrop(side) for side in (16, 20, 24)])
            other = v2.Compose([turn, crop, v2.Resize(24), jitter, end])
        else:
            plain = v2.Compose([v2.RandomCrop(20), v2.Resize(32), end])
            other = v2.Compose([v2.RandomCrop(20), v2.Resize(32), v2.RandomHorizontalFlip(), jitter, end])
        repeats = BATCH[kind][1]
        images = [Image.fromarray(each) for each in pictures(n, kind, seed)]

        def work(most: int) -> None:
            for image in images[:most]:
                plain(image)
                for _ in range(repeats):
                    other(image)

        with torch.random.fork_rng(devices=[]):
            work(50)
            _, usage = timed(lambda: work(n))
        return _rates(usage, n * (1 + repeats))

    return part


def conclusions(runs: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """How much faster whole batches are, in views a CPU second."""
    rate = {name: float(np.mean([r["views_per_cpu_second"] for r in found])) for name, found in runs.items()}
    own, other = (next(v for name, v in rate.items() if name.startswith(start)) for start in ("batches", "torchvision"))
    return {"ratio": {"against": "torchvision, one image at a time", "value": round(own / other, 1)}}


def _rates(usage: Usage, n: int) -> dict[str, Any]:
    return {**usage._asdict(), "n": n, "views_per_cpu_second": n / usage.cpu_seconds}
