"""Networks with an answer for every pixel: IIC's Net10a with its heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinfold.nn.edges import Sobel

SMALLEST_PICTURE = 16  # pixels of the shorter side that the network can look at


def net10a(channels: int, *, width: int = 64, as_released: bool = False) -> nn.Sequential:
    """Trunk for segmentation ``(b, c, h, w) -> (b, 8 width, h / 2, w / 2)``: six 3 x 3 convolutions, two of them wide.

    Ji, Henriques, Vedaldi 2019, released code: 64, 128, halved, 256, 256, 512, 512 maps, each with batch norm and
    rectifier.

    Parameters
    ----------
    channels : int
        Of the input.
    width : int
        Maps of the first convolution, 64 in the paper.
    as_released : bool
        The two convolutions of dilation 2 are padded by 1 only, so that the map loses two pixels on each side and is
        then stretched. Otherwise every answer stays where its pixel is.

    Examples
    --------
    >>> net10a(3, width=4)(torch.zeros(1, 3, 16, 20)).shape
    torch.Size([1, 32, 8, 10])
    """
    plan = [(width, 1), (2 * width, 1), (0, 0), (4 * width, 1), (4 * width, 1), (8 * width, 2), (8 * width, 2)]
    layers: list[nn.Module] = []
    for maps, dilation in plan:
        if not maps:
            layers.append(nn.MaxPool2d(2, 2))
            continue
        padding = 1 if as_released else dilation
        layers += [
            nn.Conv2d(channels, maps, 3, padding=padding, dilation=dilation, bias=False),
            nn.BatchNorm2d(maps),
            nn.ReLU(inplace=True),
        ]
        channels = maps
    return nn.Sequential(*layers)


class PixelNetwork(nn.Module):
    """Soft classes of every pixel, by two heads on one trunk.

    Parameters
    ----------
    channels : int
        Of the input: 1 or 3.
    n_clusters, n_overclusters : int
        Classes of the final head and of the auxiliary one.
    n_heads : int
        Sub-heads of each.
    width : int
    edges : bool
        Sobel derivatives join the input.
    as_released : bool
        See `net10a`; the heads, 1 x 1 without bias, then answer for a border of one pixel of nothing too.

    Attributes
    ----------
    membership : (s, K, k)
        Which auxiliary class goes into which final one, in ones and noughts.
    chosen : () int64
        The candidate that answers.

    Examples
    --------
    >>> net = PixelNetwork(3, 2, 5, width=4)
    >>> net(torch.rand(1, 3, 16, 20)).shape, net(torch.rand(1, 3, 16, 20), over=True).shape
    (torch.Size([1, 1, 2, 8, 10]), torch.Size([1, 1, 5, 8, 10]))
    """

    membership: Tensor
    chosen: Tensor

    def __init__(
        self,
        channels: int,
        n_clusters: int,
        n_overclusters: int,
        *,
        n_heads: int = 1,
        width: int = 64,
        edges: bool = True,
        as_released: bool = False,
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        seen = channels + 2 if edges else channels
        trunk = net10a(seen, width=width, as_released=as_released)
        self.trunk = nn.Sequential(Sobel(include_rgb=True) if edges else nn.Identity(), *trunk)
        border = 1 if as_released else 0
        self.final = nn.Conv2d(8 * width, n_heads * n_clusters, 1, padding=border, bias=False)
        self.over = nn.Conv2d(8 * width, n_heads * n_overclusters, 1, padding=border, bias=False)
        self.register_buffer("membership", torch.zeros(n_heads, n_overclusters, n_clusters))
        self.register_buffer("chosen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, over: bool = False) -> Tensor:
        """Probabilities at half the resolution ``(b, c, h, w) -> (b, s, k, h / 2, w / 2)``, s sub-heads."""
        return self.probabilities(self.trunk(x), over=over)

    def candidates(self, x: Tensor) -> Tensor:
        """What every final sub-head says, then every auxiliary one with its classes joined ``-> (b, 2 s, k, h, w)``."""
        maps = self.trunk(x)
        joined = torch.einsum("bsohw,sok->bskhw", self.probabilities(maps, over=True), self.membership)
        return torch.cat([self.probabilities(maps, over=False), joined], 1)

    def answer(self, x: Tensor) -> Tensor:
        """What the chosen candidate says ``(b, c, h, w) -> (b, k, h / 2, w / 2)``."""
        found: Tensor = self.candidates(x)[:, int(self.chosen)]
        return found

    def probabilities(self, maps: Tensor, *, over: bool) -> Tensor:
        """Softmax of all sub-heads of one head ``(b, d, h, w) -> (b, s, k, h, w)`` float32."""
        scores = (self.over if over else self.final)(maps)
        b, _, h, w = scores.shape
        found: Tensor = scores.reshape(b, self.n_heads, -1, h, w).float().softmax(2)
        return found


def stretched(p: Tensor, size: tuple[int, int]) -> Tensor:
    """Probabilities at the resolution of the picture ``(b, s, k, h, w) -> (b, s, k, H, W)``, bilinear.

    Examples
    --------
    >>> stretched(torch.tensor([1.0, 0.0]).reshape(1, 1, 2, 1, 1), (2, 2))[0, 0, 0]
    tensor([[1., 1.],
            [1., 1.]])
    """
    flat = functional.interpolate(p.flatten(0, 1), size, mode="bilinear", align_corners=False)
    return flat.reshape(*p.shape[:3], *size)
