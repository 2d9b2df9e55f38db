"""Networks from images or vectors to features on the unit sphere, built from the input's shape."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinfold.errors import InputError

# JULE's networks (sheet of the released models): input size -> (blocks, padding, pool of every block).
PAPER = {
    (16, 16): (1, 0, (True,)),
    (28, 28): (2, 0, (True, False)),
    (32, 32): (2, 0, (True, True)),
    (55, 55): (2, 2, (True, True)),
    (112, 92): (3, 2, (True, True, True)),
    (128, 128): (4, 0, (True, True, True, True)),
}


class Sphere(nn.Module):
    """Scale every row to unit length ``(b, d) -> (b, d)``, in float32.

    Examples
    --------
    >>> Sphere()(torch.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(x.float(), dim=1, eps=1e-10)


class Standardize(nn.Module):
    """Subtract a mean and divide by a spread that were measured once on the fitted images ``(b, ...) -> (b, ...)``.

    Parameters
    ----------
    shape : tuple of int
        Shape of mean and spread, broadcast over a batch: ``(c, 1, 1)`` for images, ``(d,)`` for vectors.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("spread", torch.ones(shape))

    def measure(self, x: Tensor) -> None:
        """Take mean and spread of a sample ``(m, ...)``; a constant channel keeps the spread 1."""
        axes = [0, *range(2, x.ndim)]
        mean, spread = x.mean(axes), x.std(axes, correction=0)
        self.mean.copy_(mean.reshape(self.mean.shape))
        self.spread.copy_(torch.where(spread > 1e-6, spread, 1.0).reshape(self.spread.shape))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.spread


def blocks(shape: tuple[int, int, int]) -> list[tuple[int, bool]]:
    """Padding and pooling of each block for images of this shape ``(c, h, w) -> [(padding, pool), ...]``.

    The paper's own plan where the size is one of its data sets', else its rule: 5 x 5 blocks without padding, each
    halving the map, while the map is larger than 12 pixels; maps that would vanish are padded.

    Examples
    --------
    >>> blocks((1, 28, 28)), blocks((3, 64, 64))
    ([(0, True), (0, False)], [(0, True), (0, True), (0, True)])
    """
    _, h, w = shape
    if (h, w) in PAPER:
        n, padding, pools = PAPER[h, w]
        return [(padding, pools[i]) for i in range(n)]
    plan: list[tuple[int, bool]] = []
    while not plan or min(h, w) > 12:
        padding = 0 if min(h, w) > 8 else 2
        pool = min(h, w) > 4
        plan.append((padding, pool))
        h, w = h - 4 + 2 * padding, w - 4 + 2 * padding
        if pool:
            h, w = (h + 1) // 2, (w + 1) // 2
    return plan


def convnet(
    shape: tuple[int, int, int], *, width: int = 50, n_features: int = 160, plan: list[tuple[int, bool]] | None = None
) -> nn.Sequential:
    """JULE's network for images of any size ``(b, c, h, w) -> (b, n_features)``.

    Blocks of 5 x 5 convolution, batch norm, rectifier and 2 x 2 maximum (rounded up), then a linear layer and unit
    length. Yang, Parikh, Batra 2016, released models.

    Parameters
    ----------
    shape : (c, h, w)
    width : int
        Maps of every convolution.
    n_features : int
    plan : list of (padding, pool), optional
        Overrides `blocks`.

    Examples
    --------
    >>> sum(p.numel() for p in convnet((1, 28, 28)).parameters())
    576210
    """
    channels, h, w = shape
    layers: list[nn.Module] = [Standardize((channels, 1, 1))]
    for padding, pool in plan or blocks(shape):
        layers += [nn.Conv2d(channels, width, 5, padding=padding), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        h, w, channels = h - 4 + 2 * padding, w - 4 + 2 * padding, width
        if pool:
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
            h, w = (h + 1) // 2, (w + 1) // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * h * w, n_features), Sphere())


def perceptron(n_inputs: int, *, width: int = 512, n_features: int = 160) -> nn.Sequential:
    """A network for feature vectors ``(b, n_inputs) -> (b, n_features)`` of unit length: two hidden layers.

    Examples
    --------
    >>> perceptron(4)(torch.zeros(2, 4)).shape
    torch.Size([2, 160])
    """
    return nn.Sequential(
        Standardize((n_inputs,)),
        nn.Linear(n_inputs, width),
        nn.BatchNorm1d(width),
        nn.ReLU(inplace=True),
        nn.Linear(width, width),
        nn.BatchNorm1d(width),
        nn.ReLU(inplace=True),
        nn.Linear(width, n_features),
        Sphere(),
    )


def torch7_init(net: nn.Module, generator: torch.Generator) -> None:
    """First weights as the released code draws them: N(0, 0.01^2), biases 0, batch-norm gain uniform in [0, 1]."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.data.normal_(0.0, 0.01, generator=generator)
            if layer.bias is not None:
                layer.bias.data.zero_()
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.weight.data.uniform_(0.0, 1.0, generator=generator)
            layer.bias.data.zero_()


def network(name: str, shape: tuple[int, ...], *, width: int = 64, n_features: int = 160) -> nn.Sequential:
    """A trainable network by name ``-> module``.

    Parameters
    ----------
    name : str
        "auto" (by the input), "convnet" (images) or "perceptron" (vectors).
    shape : (c, h, w) or (d,)

    Raises
    ------
    InputError
        If the name is unknown or does not fit the input.
    """
    if name not in ("auto", "convnet", "perceptron"):
        raise InputError(f"backbone is {name!r}; expected 'auto', 'convnet', 'perceptron', or a pretrained one by name.")
    if len(shape) == 1:
        if name == "convnet":
            raise InputError(f"backbone 'convnet' needs images, but vectors of {shape[0]} numbers came; use 'perceptron'.")
        return perceptron(shape[0], n_features=n_features)
    if name == "perceptron":
        flat = shape[0] * shape[1] * shape[2]
        return nn.Sequential(nn.Flatten(), *perceptron(flat, n_features=n_features))
    return convnet((shape[0], shape[1], shape[2]), width=width, n_features=n_features)
