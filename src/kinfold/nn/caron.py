"""The networks of DeepCluster (Caron et al. 2018), and two for small images beside them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinfold.errors import InputError
from kinfold.nn.backbones import Network, Sphere, Standardize, chosen, network, pooled_blocks

PAPER_SIDE = 224
FC = 4096


class Sobel(nn.Module):
    """Horizontal and vertical differences of the grey image, fixed ``(b, c, h, w) -> (b, 2, h, w)``.

    It keeps a network from clustering by colour. The released code's first two layers in one.

    Examples
    --------
    >>> ramp = torch.arange(4.0).repeat(1, 3, 4, 1)
    >>> Sobel()(ramp)[0, :, 1, 1]
    tensor([-8.,  0.])
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        rows = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        self.register_buffer("kernel", torch.stack([rows, rows.T.contiguous()])[:, None])

    def forward(self, x: Tensor) -> Tensor:
        grey = x.mean(1, keepdim=True)
        return functional.conv2d(grey, self.kernel.to(grey.dtype), padding=1)


class Resize(nn.Module):
    """Bring images to a square of this side ``(b, c, H, W) -> (b, c, side, side)``."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        if tuple(x.shape[-2:]) == (self.side, self.side):
            return x
        return functional.interpolate(x, (self.side, self.side), mode="bilinear", align_corners=False, antialias=True)


def _block(channels: int, width: int, side: int, *, stride: int = 1, padding: int) -> list[nn.Module]:
    """Convolution, batch norm, which takes a bias out again, and rectifier ``(b, c, h, w) -> (b, width, ...)``."""
    convolution = nn.Conv2d(channels, width, side, stride, padding, bias=False)
    return [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


def alexnet(channels: int) -> nn.Sequential:
    """AlexNet with batch norm, up to the second FC without its rectifier ``(b, c, 224, 224) -> (b, 4096)``.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     alexnet(2)(torch.empty(1, 2, 224, 224)).shape
    torch.Size([1, 4096])
    """
    plan = [
        (96, 11, 4, 2, True),
        (256, 5, 1, 2, True),
        (384, 3, 1, 1, False),
        (384, 3, 1, 1, False),
        (256, 3, 1, 1, True),
    ]
    layers: list[nn.Module] = []
    for width, side, stride, padding, pool in plan:
        layers += _block(channels, width, side, stride=stride, padding=padding)
        layers += [nn.MaxPool2d(3, 2)] if pool else []
        channels = width
    layers += [nn.Flatten(), nn.Dropout(0.5), nn.Linear(256 * 6 * 6, FC), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(FC, FC))


def vgg16(channels: int) -> nn.Sequential:
    """VGG-16 with batch norm, up to the second FC without its rectifier ``(b, c, 224, 224) -> (b, 4096)``.

    Examples
    --------
    >>> with torch.device("meta"):
    ...     vgg16(2)(torch.empty(1, 2, 224, 224)).shape
    torch.Size([1, 4096])
    """
    layers: list[nn.Module] = []
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += _block(channels, width, 3, padding=1)
            channels = width
        layers.append(nn.MaxPool2d(2, 2))
    layers += [nn.Flatten(), nn.Linear(512 * 7 * 7, FC), nn.ReLU(inplace=True), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(FC, FC))


def small(shape: tuple[int, int, int], *, width: int = 32, n_features: int = 256) -> nn.Sequential:
    """For small images: 5 x 5 blocks, twice as wide each time, and one FC without rectifier ``(b, c, h, w) -> (b, d)``.

    Examples
    --------
    >>> small((1, 28, 28))(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 256])
    """
    channels, h, w = shape
    layers: list[nn.Module] = []
    for i, (padding, pool) in enumerate(pooled_blocks(shape)):
        wide = width * 2 ** min(i, 2)
        layers += _block(channels, wide, 5, padding=padding)
        h, w, channels = h - 4 + 2 * padding, w - 4 + 2 * padding, wide
        if pool:
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
            h, w = (h + 1) // 2, (w + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * h * w, n_features))


def pyramid(shape: tuple[int, int, int], *, width: int = 32, n_features: int = 256) -> nn.Sequential:
    """For small colour images, which edges alone do not part: deeper than `small` ``(b, c, h, w) -> (b, d)``.

    Padded 3 x 3 blocks (the first 5 x 5), each twice as wide as the one before up to eight times `width`, and halved
    until a side has three pixels or less; one FC without rectifier.

    Examples
    --------
    >>> pyramid((3, 32, 32))(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 256])
    """
    channels, h, w = shape
    layers: list[nn.Module] = []
    while not layers or min(h, w) > 3:
        wide = width * 2 ** min(len(layers) // 4, 3)
        side = 3 if layers else 5
        layers += [*_block(channels, wide, side, padding=side // 2), nn.MaxPool2d(2, 2, ceil_mode=True)]
        h, w, channels = (h + 1) // 2, (w + 1) // 2, wide
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * h * w, n_features))


def projector(n_features: int, n_outputs: int) -> nn.Sequential:
    """DeepCluster-v2's map to the sphere where clusters are sought ``(b, d) -> (b, n_outputs)``, one hidden layer.

    The outputs are centred before they are put on the sphere: those of a random network all point the same way.
    """
    return nn.Sequential(
        nn.ReLU(), nn.Linear(n_features, n_features, bias=False), nn.BatchNorm1d(n_features), nn.ReLU(inplace=True),
        nn.Linear(n_features, n_outputs, bias=False), nn.BatchNorm1d(n_outputs, affine=False), Sphere(),
    )  # fmt: skip


def caron(
    name: str, shape: tuple[int, ...], *, sobel: bool, width: int, n_features: int, n_projected: int | None
) -> Network:
    """A network by name: DeepCluster's features, on the sphere if `n_projected` is given ``-> (b, d)``.

    Parameters
    ----------
    name : str
        "auto", "small", "alexnet", "vgg16", or what `kinfold.nn.backbones.network` knows.
    shape : (c, h, w) or (d,)
    sobel : bool
        Look at differences of grey values.
    width, n_features : int
        Of "small", which is `pyramid` for colour images.
    n_projected : int, optional
        Outputs of `projector`.
    """
    if name == "auto":
        name = chosen(shape)
        name = "small" if name == "convnet" else name
    known = ("small", "alexnet", "vgg16", "convnet", "perceptron", "efficientnet-lite0")
    if name not in known and not name.startswith("timm:"):
        choices = ", ".join(map(repr, ("auto", *known)))
        raise InputError(f"backbone is {name!r}; expected {choices} or 'timm:NAME'.")
    if name not in ("small", "alexnet", "vgg16") or len(shape) == 1:
        if name in ("small", "alexnet", "vgg16"):
            name = "convnet"  # whose sentence says that vectors need another one
        plain = network(name, shape, n_features=n_features)
        inner = plain.body if n_projected is None else nn.Sequential(plain.body, projector(n_features, n_projected))
        return Network(plain.front, inner, plain.seen, pretrained=plain.pretrained)
    c, h, w = shape
    parts: list[nn.Module] = [Standardize((c, 1, 1))]
    if sobel:
        parts, c = [*parts, Sobel()], 2
    if name == "small":
        parts.append((pyramid if shape[0] == 3 else small)((c, h, w), width=width, n_features=n_features))
    else:
        parts += [Resize(PAPER_SIDE), alexnet(c) if name == "alexnet" else vgg16(c)]
        n_features = FC
    body = nn.Sequential(*parts)
    caron_init(body)
    if n_projected is not None:
        body.append(projector(n_features, n_projected))
    return Network(nn.Identity(), body, shape)


def caron_init(net: nn.Module) -> None:
    """First weights as released: convolutions N(0, 2 / (h w outputs)), linear layers N(0, 0.01^2), biases zero."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / (layer.kernel_size[0] ** 2 * layer.out_channels)))
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01 if layer.in_features >= FC else 1 / math.sqrt(layer.in_features))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
