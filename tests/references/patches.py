"""Plain restatement of the Coates-Ng features: patch by patch, one image at a time, in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]


def features(
    image: Array, atoms: Array, mean: Array, whiten: Array, *, side: int, stride: int, pool: int, encoding: str,
    threshold: float, contrast: float,
) -> Array:  # fmt: skip
    """Pooled codes of one image ``(c, h, w) -> (pool * pool * maps,)``."""
    _, h, w = image.shape
    rows, columns = range(0, h - side + 1, stride), range(0, w - side + 1, stride)
    codes = [[code(image[:, r : r + side, c : c + side].ravel(), atoms, mean, whiten, encoding, threshold, contrast)
              for c in columns] for r in rows]  # fmt: skip
    high, wide = math.ceil(len(rows) / pool), math.ceil(len(columns) / pool)
    parts = []
    for i in range(pool):
        for j in range(pool):
            inside = [codes[r][c] for r in range(len(rows)) for c in range(len(columns))
                      if r // high == i and c // wide == j]  # fmt: skip
            parts.append(np.sum(inside, axis=0) if inside else np.zeros_like(codes[0][0]))
    return np.concatenate(parts)


def code(
    patch: Array, atoms: Array, mean: Array, whiten: Array, encoding: str, threshold: float, contrast: float
) -> Array:
    """Code of one patch ``(d,) -> (maps,)``."""
    x = (patch - patch.mean()) / math.sqrt(patch.var(ddof=1) + contrast)
    x = (x - mean) @ whiten
    if encoding == "soft":
        s = atoms @ x
        return np.concatenate([np.maximum(0, s - threshold), np.maximum(0, -s - threshold)])
    z = np.array([math.dist(x, atom) for atom in atoms])
    if encoding == "triangle":
        return np.maximum(0, z.mean() - z)
    return np.eye(len(atoms))[int(z.argmin())]
