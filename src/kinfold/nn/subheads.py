"""Several heads of one kind in one layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SubHeads(nn.Linear):
    """Independent linear heads on the same features, computed as one product ``(b, d) -> (b, s, k)`` logits.

    Parameters
    ----------
    n_features : int
    n_heads : int
        s.
    n_clusters : int
        k, of each.

    Examples
    --------
    >>> SubHeads(4, 5, 10)(torch.zeros(3, 4)).shape
    torch.Size([3, 5, 10])
    """

    def __init__(self, n_features: int, n_heads: int, n_clusters: int) -> None:
        super().__init__(n_features, n_heads * n_clusters)
        self.n_heads, self.n_clusters = n_heads, n_clusters

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).reshape(len(x), self.n_heads, self.n_clusters)

    def rows(self, head: int) -> slice:
        """Rows of weight and bias that belong to one head."""
        return slice(head * self.n_clusters, (head + 1) * self.n_clusters)

    @torch.no_grad()
    def set(self, head: int, weight: Tensor, bias: Tensor) -> None:
        """Give one head these weights ``(k, d), (k,)``."""
        self.weight[self.rows(head)] = weight.to(self.weight)
        self.bias[self.rows(head)] = bias.to(self.bias)
