"""What the batch-norm layers of a network use and remember of the batches that pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def probing(net: nn.Module) -> Iterator[None]:
    """Context in which batch-norm layers use the statistics of the batch and do not remember them.

    For every pass but the clean one: perturbed images would drag the running statistics along. Works with the
    layers of several processes (`kinfold.runtime.GlobalBatchNorm`) too.

    Examples
    --------
    >>> import torch
    >>> norm = nn.BatchNorm1d(1)
    >>> with probing(norm):
    ...     _ = norm(torch.tensor([[1.0], [3.0]]))
    >>> norm.running_mean, norm.num_batches_tracked
    (tensor([0.]), tensor(0))
    """
    layers = [layer for layer in norms(net) if layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


@contextmanager
def measuring(net: nn.Module) -> Iterator[None]:
    """Context in which batch-norm layers forget what they remember, and take the plain mean over the batches that pass.

    The network is in training mode then; in evaluation it normalises by those means.

    Examples
    --------
    >>> import torch
    >>> norm = nn.BatchNorm1d(1)
    >>> with measuring(norm):
    ...     for batch in (torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0], [7.0]])):
    ...         _ = norm(batch)
    >>> norm.running_mean, norm.running_var, norm.momentum
    (tensor([4.]), tensor([2.]), 0.1)
    """
    net.train()
    layers = [layer for layer in norms(net) if layer.training]  # a frozen network stays as it is, whatever is said
    usual = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
    try:
        yield
    finally:
        for layer, momentum in zip(layers, usual, strict=True):
            layer.momentum = momentum


def norms(net: nn.Module) -> list[_BatchNorm]:
    """The batch-norm layers of a network, in order."""
    return [layer for layer in net.modules() if isinstance(layer, _BatchNorm)]
