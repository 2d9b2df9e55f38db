"""A loss against its restatement: equal in value and in gradient."""

from __future__ import annotations

import torch
from torch import Tensor


def agree(ours: Tensor, theirs: Tensor, *leaves: tuple[Tensor, Tensor]) -> None:
    """Assert that two losses are equal, and so are their gradients for each pair of leaves."""
    torch.testing.assert_close(ours, theirs)
    ours.backward()
    theirs.backward()
    for x, z in leaves:
        assert x.grad is not None and z.grad is not None
        torch.testing.assert_close(x.grad, z.grad)
