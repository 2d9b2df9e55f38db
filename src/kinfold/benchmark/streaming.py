"""The streaming benchmark: MNIST's digits, repeated with augmentation in tar shards, embedded in flat memory.

A JULE is fitted on a thousand digits, hastily: how good its network is does not matter here, what it costs does. It
looks at every image of the shards. Writing the shards is not in the figure. Resident memory is read after each shard.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kinfold.benchmark import datasets, measure
from kinfold.benchmark.fitting import outcome
from kinfold.benchmark.scenarios import Scenario
from kinfold.runtime import Progress, Runtime

PER_SHARD = 10_000  # at most; a tenth of the images when they are few
FITTED = 1_000
TURNED = 0.5  # strength of the augmentation: 5 degrees, a twentieth of the size


def work(wanted: Scenario, task: dict[str, Any]) -> dict[str, Any]:
    """Write the shards, embed them, and say how fast and in how much memory."""
    import kinfold

    n = int(wanted.parameters["n"])
    images = datasets.load(str(wanted.dataset), task["data"])
    some = images.select(slice(0, FITTED))
    some.labels = None
    model = kinfold.JULE(10, preset="fast", n_periods=1, n_epochs=1, n_final=0, random_state=task["seed"]).fit(some)
    with tempfile.TemporaryDirectory(prefix="kinfold-") as place:
        shards = write_shards(images, n, Path(place), task["seed"])
        watch = Memory()
        features, usage = measure.timed(
            lambda: kinfold.write_features(
                f"{place}/digits-{{{0:05d}..{shards - 1:05d}}}.tar",
                Path(place) / "features",
                model,
                batch_size=512,
                runtime=Runtime(progress=watch),
            )
        )
        resident = watch.after_parts[:shards]
    scores = {
        "images_per_second": n / usage.seconds,
        "images_per_cpu_second": n / usage.cpu_seconds,
        "resident_mb_first": resident[0],
        "resident_mb_last": resident[-1],
        "resident_mb_most": max(resident),
    }
    return outcome(len(features), 10, scores, usage)


def write_shards(images: Any, n: int, folder: Path, seed: int) -> int:
    """Write n digits, each a little turned and moved, as PNG files with their class, in shards ``-> shards``."""
    from PIL import Image

    from kinfold.data.views import moved

    generator = torch.Generator().manual_seed(seed)
    per_shard = min(PER_SHARD, max(1, n // 10))
    starts = range(0, n, per_shard)
    for number, start in enumerate(starts):
        index = np.arange(start, min(start + per_shard, n)) % len(images)
        x = moved(images.tensor(index).float() / 255, generator, strength=TURNED)
        pixels = (x.clamp(0, 1) * 255).round().to(torch.uint8).numpy()[:, 0]
        with tarfile.open(folder / f"digits-{number:05d}.tar", "w") as archive:
            for i, one in enumerate(pixels):
                content = io.BytesIO()
                Image.fromarray(one).save(content, "PNG", compress_level=1)
                _add(archive, f"{start + i:09d}.png", content.getvalue())
                _add(archive, f"{start + i:09d}.cls", str(int(images.labels[index[i]])).encode())
    return len(starts)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))
    archive.members.clear()  # type: ignore[attr-defined]  # of a million members only the bytes are wanted


class Memory(Progress):
    """Notes the resident memory, in MB, after each part."""

    def __init__(self) -> None:
        self.after_parts: list[float] = []

    def advance(self, n: int = 1) -> None:
        """Read what the system says."""
        lines = Path("/proc/self/status").read_text().splitlines()
        self.after_parts.append(int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024 / 1e6)
