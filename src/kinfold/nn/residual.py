"""Residual networks for small images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut ``(b, c, h, w) -> (b, d, h / stride, w / stride)`` (He 2016).

    Parameters
    ----------
    n_inputs, n_outputs : int
        Maps.
    stride : int
        Of the first convolution; the shortcut is a 1 x 1 convolution where the shape changes.
    """

    def __init__(self, n_inputs: int, n_outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_inputs, n_outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_outputs, n_outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_inputs != n_outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_inputs, n_outputs, 1, stride, bias=False), nn.BatchNorm2d(n_outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def net5g(n_channels: int, *, width: int = 64, depths: tuple[int, ...] = (3, 4, 6, 3)) -> nn.Sequential:
    """IIC's network for colour images: ResNet-34 for small inputs ``(b, c, h, w) -> (b, 8 width)``.

    One 3 x 3 convolution, a maximum over 2 x 2 with a border of one (32 pixels become 17), stages of basic blocks with
    strides 1, 2, 2, 2, and the mean over what is left. Ji 2019, released code.

    Parameters
    ----------
    n_channels : int
        Of the input: 2 for edges.
    width : int
        Maps of the first stage; each stage has twice those of the one before.
    depths : tuple of int
        Blocks of each stage.

    Examples
    --------
    >>> sum(w.numel() for w in net5g(2).parameters())
    21276416
    """
    layers: list[nn.Module] = [
        nn.Conv2d(n_channels, width, 3, 1, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2, 2, padding=1),
    ]
    n_inputs = width
    for stage, depth in enumerate(depths):
        for block in range(depth):
            n_outputs = width * 2**stage
            layers.append(BasicBlock(n_inputs, n_outputs, 2 if stage > 0 and block == 0 else 1))
            n_inputs = n_outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
