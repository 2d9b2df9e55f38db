"""Tar shards for tests, written member by member."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def encoded(pixels: np.ndarray, form: str = "PNG") -> bytes:
    """One picture as the bytes of a file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, form)
    return content.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes], mode: str = "w") -> Path:
    """A tar file with these members, in this order."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def digit_shards(folder: Path, n_shards: int, per_shard: int, side: int = 8) -> np.ndarray:
    """Shards ``digits-0.tar`` … of random grey pictures, each with its class ``-> (n, side, side)``."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (n_shards * per_shard, side, side), dtype=np.uint8)
    for shard in range(n_shards):
        members = {}
        for i in range(shard * per_shard, (shard + 1) * per_shard):
            members[f"{i:05d}.png"] = encoded(pixels[i])
            members[f"{i:05d}.cls"] = str(i % 3).encode()
        write_tar(folder / f"digits-{shard}.tar", members)
    return pixels
