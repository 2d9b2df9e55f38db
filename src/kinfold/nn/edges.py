"""Edges in place of colours: a fixed first layer that hides the easy cue from a network that clusters."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Sobel(nn.Module):
    """Horizontal and vertical differences of the luminance ``(b, c, h, w) -> (b, 2, h, w)``, without weights to learn.

    Ji 2019, released code: kernels (1 0 -1; 2 0 -2; 1 0 -1) and its turned form, zeros around the image, no scaling.

    Parameters
    ----------
    include_rgb : bool
        Put the image itself before the two, for colour images ``(b, 5, h, w)``.

    Examples
    --------
    >>> step = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 4, 4)
    >>> Sobel()(step)[0, :, 1]
    tensor([[ 0., -4., -4.,  4.],
            [ 0.,  0.,  0.,  0.]])
    """

    kernels: Tensor
    luma: Tensor

    def __init__(self, *, include_rgb: bool = False) -> None:
        super().__init__()
        self.include_rgb = include_rgb
        across = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        down = torch.tensor([[1.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0]])
        self.register_buffer("kernels", torch.stack([across, down])[:, None], persistent=False)
        self.register_buffer("luma", torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        grey = x if x.shape[1] == 1 else (x * self.luma).sum(1, keepdim=True)
        with torch.autocast(x.device.type, enabled=False):
            edges = functional.conv2d(grey.to(self.kernels.dtype), self.kernels, padding=1)
        return torch.cat([x, edges], 1) if self.include_rgb else edges
