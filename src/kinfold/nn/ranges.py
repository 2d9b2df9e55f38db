"""A first layer that brings pixels of any range to what views of colours and noise expect."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class UnitRange(nn.Module):
    """Pixels of any range scaled to [0, 1], by the range of the fitted images ``(b, ...) -> (b, ...)``.

    Examples
    --------
    >>> layer = UnitRange()
    >>> layer.measure(torch.tensor([[0.0, 16.0]]))
    >>> layer(torch.tensor([[4.0, 20.0]]))
    tensor([[0.2500, 1.0000]])
    """

    low: Tensor
    span: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("span", torch.ones(()))

    def measure(self, x: Tensor) -> None:
        """Take the range of a sample; pixels within [0, 1] stay as they are."""
        low, high = float(x.min()), float(x.max())
        if low < 0 or high > 1:
            self.low.fill_(low)
            self.span.fill_(max(high - low, 1e-12))

    def forward(self, x: Tensor) -> Tensor:
        return ((x - self.low) / self.span).clamp(0, 1)
