"""IIC's loss for segmentation, pixel by pixel and shift by shift.

A restatement of the definition that shares nothing with `kinfold.algorithms.iic_segmentation`: loops in place of a
Fourier transform.
"""

from __future__ import annotations

import torch
from torch import Tensor


def table(first: Tensor, second: Tensor, down: int, right: int) -> Tensor:
    """Joint table of one sub-head at one shift ``(b, k, h, w), (b, k, h, w) -> (k, k)``, not normalised."""
    n, k, h, w = first.shape
    joint = torch.zeros(k, k, dtype=first.dtype)
    for image in range(n):
        for y in range(h):
            for x in range(w):
                if 0 <= y + down < h and 0 <= x + right < w:
                    joint = joint + torch.outer(first[image, :, y, x], second[image, :, y + down, x + right])
    return joint


def loss(first: Tensor, second: Tensor, radius: int, marginal_weight: float = 1.0) -> Tensor:
    """Negative mutual information, mean over the shifts of the window ``(b, k, h, w), (b, k, h, w) -> ()``."""
    total, shifts = torch.zeros((), dtype=first.dtype), 0
    for down in range(-radius, radius + 1):
        for right in range(-radius, radius + 1):
            joint = table(first, second, down, right)
            joint = (joint + joint.T) / (2 * joint.sum())
            rows, columns = joint.sum(1), joint.sum(0)
            for i in range(len(joint)):
                for j in range(len(joint)):
                    inside = torch.log(joint[i, j]) - marginal_weight * (torch.log(rows[i]) + torch.log(columns[j]))
                    total = total - joint[i, j] * inside
            shifts += 1
    return total / shifts
