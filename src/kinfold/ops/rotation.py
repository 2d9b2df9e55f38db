"""The rotation pretext: which of four ways up is this image? (Gidaris, Singh, Komodakis 2018)"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from kinfold.runtime import Runtime


def together(features: Tensor, run: Runtime, *, copies: int) -> Tensor:
    """Features of several copies of each image, of all processes ``(copies b / world, d) -> (copies b, d)``.

    The copies come one after the other, all images in each; they leave image by image, in the order of the batch.
    """
    own = features.reshape(copies, -1, features.shape[1]).transpose(0, 1)
    return run.gather(own).reshape(-1, features.shape[1])


def turn_loss(logits: Tensor) -> Tensor:
    """Cross-entropy of four orientations ``(4 b, 4) -> ()``; rows are image by image, turns 0 to 3 of each.

    Examples
    --------
    >>> turn_loss(torch.zeros(8, 4))
    tensor(1.3863)
    """
    return functional.cross_entropy(logits, turns(logits))


def turn_accuracy(logits: Tensor) -> float:
    """Share of orientations that are told ``(4 b, 4) -> ()``.

    Examples
    --------
    >>> turn_accuracy(torch.eye(4))
    1.0
    """
    return float((logits.argmax(1) == turns(logits)).float().mean())


def turns(logits: Tensor) -> Tensor:
    """The true orientation of every row ``(4 b, 4) -> (4 b,)``."""
    return torch.arange(4, device=logits.device).repeat(len(logits) // 4)
