"""Fixed first layers: what they make of images is computed once, kept in the run folder, and bytes stay bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from kinfold.data.images import as_images
from kinfold.nn.backbones import Shrink
from kinfold.runtime import Runtime
from kinfold.train import through


class Counting(nn.Module):
    """Gives the mean of each channel, and counts its calls."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x.mean((2, 3))


def test_vectors_are_computed_once(tmp_path: Path) -> None:
    images = as_images(np.random.default_rng(0).integers(0, 255, (300, 3, 9, 9)).astype(np.uint8))
    front, run = Counting(), Runtime(device="cpu", folder=tmp_path)
    first = through(front, images, run, cache="seen.npy")
    assert front.calls == 2
    again = through(front, images, run, cache="seen.npy")
    assert front.calls == 2
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_allclose(first.pixels, images.tensor().float().mean((2, 3)).numpy() / 255, rtol=1e-5)


def test_bytes_stay_bytes_and_floats_floats() -> None:
    x = np.random.default_rng(0).integers(0, 255, (4, 1, 8, 8)).astype(np.uint8)
    run = Runtime(device="cpu")
    small = through(Shrink((4, 4)), as_images(x), run, cache="seen.npy")
    assert small.shape == (1, 4, 4) and small.pixels.dtype == np.uint8
    block = x[:, :, :2, :2].astype(float).mean((2, 3))
    np.testing.assert_allclose(small.pixels[:, :, 0, 0], block, atol=0.5)
    floats = through(Shrink((4, 4)), as_images(torch.rand(4, 1, 8, 8)), run, cache="seen.npy")
    assert floats.pixels.dtype == np.float32
