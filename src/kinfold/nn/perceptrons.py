"""IMSAT's network for any input: two wide hidden layers with batch norm, and first weights so small that it begins
undecided."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from kinfold.nn.backbones import Network, network

BYTE_SCALE = 255 / 128  # the released code's x / 128 - 1, for pixels in [0, 1]


def input_scale(shape: Sequence[int]) -> float:
    """Units of the released network's input in one of ours: bytes are scaled, vectors are taken as they are.

    Examples
    --------
    >>> input_scale((1, 28, 28)), input_scale((100,))
    (1.9921875, 1.0)
    """
    return BYTE_SCALE if len(shape) == 3 else 1.0


class Rescale(nn.Module):
    """Multiply and shift ``(b, ...) -> (b, ...)``.

    Examples
    --------
    >>> import torch
    >>> Rescale(BYTE_SCALE, -1.0)(torch.tensor([0.0, 128 / 255]))
    tensor([-1.,  0.])
    """

    def __init__(self, factor: float, shift: float) -> None:
        super().__init__()
        self.factor, self.shift = factor, shift

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor + self.shift


def wide_perceptron(shape: Sequence[int], widths: Sequence[int] = (1200, 1200)) -> nn.Sequential:
    """IMSAT's trunk, hidden layers with batch norm before the rectifier ``(b, ...) -> (b, widths[-1])``.

    Images in [0, 1] are scaled as the released code scales bytes, to [-1, 1); vectors are taken as they are. Biases,
    which the batch norm takes out again, are left away: our deviation.

    Examples
    --------
    >>> import torch
    >>> wide_perceptron((1, 28, 28))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 1200])
    """
    layers: list[nn.Module] = [Rescale(BYTE_SCALE, -1.0), nn.Flatten()] if len(shape) == 3 else []
    n_inputs = math.prod(shape)
    for width in widths:
        layers += [nn.Linear(n_inputs, width, bias=False), nn.BatchNorm1d(width, eps=2e-5), nn.ReLU(inplace=True)]
        n_inputs = width
    return nn.Sequential(*layers)


def wide_network(backbone: str, shape: tuple[int, ...], width: int) -> Network:
    """IMSAT's trunk, two hidden layers of `width`, on the pixels or on a pretrained backbone's features.

    Examples
    --------
    >>> import torch
    >>> wide_network("auto", (1, 28, 28), 400)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 400])
    """
    base = network("perceptron" if backbone == "auto" else backbone, shape)
    return Network(base.front, wide_perceptron(base.seen, (width, width)), base.seen, pretrained=base.pretrained)


def quiet_init(trunk: nn.Module, head: nn.Linear) -> None:
    """First weights as the released code draws them, from the common dice.

    Hidden ones N(0, 0.1 / fan-in), the output's N(0, 0.0001 / fan-in): the scale enters its initialiser under a root.
    Biases are 0. Outputs begin nearly uniform.

    Examples
    --------
    >>> trunk, head = wide_perceptron((100,)), nn.Linear(1200, 10)
    >>> quiet_init(trunk, head)
    >>> round(float(head.weight.detach().std()) * 1200**0.5, 3)
    0.01
    """
    for layer in trunk.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=math.sqrt(0.1 / layer.in_features))
    nn.init.normal_(head.weight, std=0.01 / math.sqrt(head.in_features))
    nn.init.zeros_(head.bias)
