"""Fits of the tiny algorithm that run in processes of their own, to be killed or joined by others."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from tests.tiny import Tiny
from torch import nn

from kinfold.data.images import as_images
from kinfold.runtime import GlobalBatchNorm, Runtime
from kinfold.train import embed


def digits(n: int) -> Any:
    """The first n of scikit-learn's digits, (n, 8, 8) bytes."""
    return (load_digits().images[:n] * 15).astype(np.uint8)


def fit(folder: str, *, resume: bool = False, pause: float = 0.0, kill_at: int = 0) -> None:
    """Cluster digits into a folder; with `kill_at`, die by SIGKILL at that call of fsync, and sync nothing."""
    torch.set_num_threads(1)
    if kill_at:
        calls = iter(range(1, kill_at))

        def die_in_time(handle: int) -> None:
            if next(calls, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        os.fsync = die_in_time
    model = Tiny(4, n_rounds=2, batch_size=40, dropout=0.2, pause=pause, random_state=0)
    model.fit(digits(120), runtime=Runtime(device="cpu", folder=folder, resume=resume))


def entropy_of_mean(logits: torch.Tensor, run: Runtime) -> torch.Tensor:
    """Entropy of the mean assignment, where the mean is taken over all processes."""
    share = torch.softmax(logits, 1).mean(0)
    mean = run.mean(share, rows=len(logits))
    return -(mean * mean.log()).sum()


def measurements(run: Runtime) -> dict[str, torch.Tensor]:
    """The same computations on any number of processes; all results are of the global batch."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(11, 5, generator=generator, dtype=torch.float64)
    weight = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    found: dict[str, torch.Tensor] = {}
    losses = {
        "mean": lambda w: entropy_of_mean(run.share(rows) @ w, run),
        "gather": lambda w: run.gather(run.share(rows) @ w).var(0).log().sum(),
        "sum": lambda w: run.sum((run.share(rows) @ w).exp().sum()).log(),
    }
    for name, loss in losses.items():
        leaf = weight.clone().requires_grad_()
        value = loss(leaf)
        value.backward()
        assert leaf.grad is not None
        found[f"{name} value"] = value.detach()
        found[f"{name} gradient"] = run.sum(leaf.grad) / run.world
    for b in (7, 1):  # the shares of seven are unequal, one of the shares of one is empty
        found |= norm(torch.randn(b, 2, 5, 5, generator=generator, dtype=torch.float64), run)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    with torch.no_grad():
        net[1].weight.copy_(torch.linspace(-1, 1, 192).view(3, 64))
        net[1].bias.zero_()
    found["embedding"] = embed(net, as_images(digits(50)), run, batch_size=8)
    return found


def norm(x: torch.Tensor, run: Runtime) -> dict[str, torch.Tensor]:
    """Output, gradients and running statistics of a batch norm of the global batch x."""
    layer = nn.BatchNorm2d(2, dtype=torch.float64)
    net = run.wrap(nn.Sequential(layer))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 2.0]))
        layer.bias.copy_(torch.tensor([-1.0, 1.0]))
    share = run.share(x).clone().requires_grad_()
    out = run.gather(net(share))
    (out.sin() * torch.arange(1.0, out.numel() + 1).view_as(out)).sum().backward()
    assert share.grad is not None and layer.weight.grad is not None
    found = {name: value.clone() for name, value in net.state_dict().items()}
    found["output"] = out.detach()
    found["input gradient"] = run.gather(share.grad) / run.world
    found["weight gradient"] = run.sum(layer.weight.grad) / run.world
    return {f"norm of {len(x)}: {name}": value for name, value in found.items()}


def together(out: str) -> None:
    """What two processes compute, written by the first."""
    run = Runtime(device="cpu")
    world_size = run.world
    assert world_size == 2
    found = measurements(run)
    assert any(isinstance(part, GlobalBatchNorm) for part in run.wrap(nn.Sequential(nn.BatchNorm1d(2))).modules())
    folder = Path(out)
    if run.is_main:
        np.savez(folder / "measured.npz", **{name: value.numpy() for name, value in found.items()})
    images = digits(101)
    model = Tiny(3, n_rounds=3, batch_size=25, double=True, random_state=0)
    model.fit(images, runtime=Runtime(device="cpu", folder=folder / "run"))
    (folder / f"finished-{run.rank}").touch()


if __name__ == "__main__":
    together(sys.argv[1])
