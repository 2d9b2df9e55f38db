"""Telling every image from the others by two views of each: NT-Xent (Chen 2020, arXiv 2002.05709)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrast(views: Tensor, temperature: float, groups: Tensor | None = None) -> Tensor:
    """Cross-entropy of finding the other view of the same image ``(2 b, d) -> ()``, the paper's NT-Xent.

    Cosines over the temperature are the logits; a view itself is no choice.

    Parameters
    ----------
    views : (2 b, d)
        Rows 2 i and 2 i + 1 are views of image i.
    temperature : float
        The paper's tau.
    groups : (b,) int, optional
        Other images of an image's group are no choices either: nothing pushes them apart.

    Examples
    --------
    >>> views = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> contrast(views, 1.0), contrast(views, 1.0, torch.tensor([7, 7]))  # log(1 + 2 / e), nothing left to tell apart
    (tensor(0.5514), tensor(0.))
    """
    unit = functional.normalize(views, dim=1)
    rows = torch.arange(len(views), device=views.device)
    other = rows ^ 1
    barred = torch.eye(len(views), dtype=torch.bool, device=views.device)
    if groups is not None:
        each = groups.repeat_interleave(2)
        barred = each[:, None] == each
        barred[rows, other] = False
    return functional.cross_entropy((unit @ unit.T / temperature).masked_fill(barred, -torch.inf), other)
