"""Networks from images or vectors to features on the unit sphere, built from the input's shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinfold.errors import InputError

PHOTOGRAPH = 64  # pixels of the shorter side from which a colour image counts as a photograph
PRETRAINED = "efficientnet-lite0"

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

    mean: Tensor
    spread: Tensor

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


def measure(net: nn.Module, x: Tensor) -> None:
    """Let every `Standardize` of a network measure a sample of its input ``(m, ...)``."""
    for layer in net.modules():
        if isinstance(layer, Standardize):
            layer.measure(x.reshape(len(x), -1) if layer.mean.ndim == 1 else x)


class Shrink(nn.Module):
    """Average images down to this size; smaller or equal ones pass ``(b, c, H, W) -> (b, c, h, w)``.

    Parameters
    ----------
    size : (h, w)
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x if tuple(x.shape[-2:]) == self.size else functional.adaptive_avg_pool2d(x, self.size)


def shrunk(shape: tuple[int, int, int], side: int) -> tuple[int, int, int]:
    """Shape with the longer side at most `side`, proportions kept.

    Examples
    --------
    >>> shrunk((1, 112, 92), 48), shrunk((1, 28, 28), 48)
    ((1, 48, 39), (1, 28, 28))
    """
    c, h, w = shape
    scale = min(1.0, side / max(h, w))
    return c, max(1, round(h * scale)), max(1, round(w * scale))


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


def pooled_blocks(shape: tuple[int, int, int]) -> list[tuple[int, bool]]:
    """Our own plan: two blocks or more, pooled while there is something to pool, until maps are 9 pixels or less.

    Pooling the last map too makes features that a shift of two pixels hardly changes, with a quarter of the weights in
    the last layer.

    Examples
    --------
    >>> pooled_blocks((1, 28, 28)), pooled_blocks((1, 16, 16))
    ([(0, True), (0, True)], [(0, True), (0, False)])
    """
    _, h, w = shape
    plan: list[tuple[int, bool]] = []
    while len(plan) < 2 or min(h, w) > 9:
        padding = 0 if min(h, w) > 5 else 2
        h, w = h - 4 + 2 * padding, w - 4 + 2 * padding
        pool = min(h, w) > 3
        plan.append((padding, pool))
        if pool:
            h, w = (h + 1) // 2, (w + 1) // 2
    return plan


def convnet(
    shape: tuple[int, int, int],
    *,
    width: int = 50,
    n_features: int = 160,
    plan: list[tuple[int, bool]] | None = None,
    bias: bool = True,
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
    bias : bool
        Of the convolutions. Batch norm takes it out again: its gradient is rounding error, which Adam scales up.

    Examples
    --------
    >>> sum(p.numel() for p in convnet((1, 28, 28)).parameters())
    576210
    """
    channels, h, w = shape
    plan = blocks(shape) if plan is None else plan
    layers: list[nn.Module] = [Standardize((channels, 1, 1))]
    for padding, pool in plan:
        layers += [nn.Conv2d(channels, width, 5, padding=padding, bias=bias), nn.BatchNorm2d(width)]
        h, w, channels = h - 4 + 2 * padding, w - 4 + 2 * padding, width
        if pool:  # before the rectifier: the same result, from a quarter of the values
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
            h, w = (h + 1) // 2, (w + 1) // 2
        layers.append(nn.ReLU(inplace=True))
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
        nn.Linear(n_inputs, width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(inplace=True),
        nn.Linear(width, width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(inplace=True),
        nn.Linear(width, n_features),
        Sphere(),
    )


def net6c(n_channels: int, *, width: int = 64, kernel: int = 5) -> nn.Sequential:
    """IIC's network for digits ``(b, c, h, w) -> (b, d)``: 4,608 features for 24 x 24 pixels.

    Four blocks of convolution, batch norm and rectifier, twice as many maps in each, with a 2 x 2 maximum after the
    first three, as long as more than three pixels are left. Ji 2019, released code.

    Parameters
    ----------
    n_channels : int
    width : int
        Maps of the first block; a quarter of the time at half of the paper's 64.
    kernel : int
        Side of the convolutions, odd; a third of the time at 3.

    Examples
    --------
    >>> sum(w.numel() for w in net6c(1).parameters())
    4304320
    """
    layers: list[nn.Module] = []
    for block in range(4):
        n_maps = width * 2**block
        layers += [
            nn.Conv2d(n_channels, n_maps, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(n_maps),
            nn.ReLU(inplace=True),
        ]
        if block < 3:
            layers.append(Halve())
        n_channels = n_maps
    return nn.Sequential(*layers, nn.Flatten())


class Halve(nn.Module):
    """Maximum over 2 x 2 pixels ``(b, c, h, w) -> (b, c, h / 2, w / 2)``; a side of three pixels or less stays."""

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[-2:]
        return functional.max_pool2d(x, (1 + (h > 3), 1 + (w > 3)))


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


class Network(nn.Sequential):
    """A front that never learns, then a body that does.

    Training runs on what the front gives, computed once; new images go through both. Input that already has the
    front's output shape passes it by.

    Attributes
    ----------
    front : nn.Module
        ``(b, c, h, w) -> (b, ...)``: `Shrink`, a frozen pretrained network, or nothing.
    body : nn.Module
        ``(b, ...) -> (b, d)``.
    seen : tuple of int
        Shape of what the front gives.
    pretrained : str or None
        Name of the pretrained network in the front.
    """

    def __init__(
        self, front: nn.Module, body: nn.Module, seen: tuple[int, ...], *, pretrained: str | None = None
    ) -> None:
        super().__init__()
        self.front, self.body, self.seen, self.pretrained = front, body, seen, pretrained

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.body(x if tuple(x.shape[1:]) == self.seen else self.front(x))
        return features


def network(
    name: str,
    shape: tuple[int, ...],
    *,
    width: int = 64,
    n_features: int = 160,
    largest_side: int | None = None,
    pooled: bool = True,
) -> Network:
    """A network by name ``-> module``.

    Parameters
    ----------
    name : str
        "auto" (by the input: a pretrained network for colour photographs of 64 pixels and more where it is installed,
        else "convnet" for images and "perceptron" for vectors), "convnet", "perceptron", or a pretrained one, see
        `kinfold.nn.pretrained`.
    shape : (c, h, w) or (d,)
    width : int
        Maps of every convolution.
    n_features : int
    largest_side : int, optional
        A convnet looks at images averaged down to this.
    pooled : bool
        A convnet follows `pooled_blocks`, else the paper's `blocks`.

    Raises
    ------
    InputError
        If the name is unknown or does not fit the input.
    """
    if name == "auto":
        name = chosen(shape)
    if name == "efficientnet-lite0" or name.startswith("timm:"):
        if len(shape) == 1:
            raise InputError(f"backbone {name!r} needs images, but vectors of {shape[0]} numbers came.")
        from kinfold.nn import pretrained

        frozen = pretrained.frozen(name)
        head = perceptron(frozen.n_features, n_features=n_features)
        # Of unit length, plain agglomeration finds more in them: NMI .29 in place of .26 on flowers5.
        return Network(nn.Sequential(frozen, Sphere()), head, (frozen.n_features,), pretrained=name)
    if name not in ("convnet", "perceptron"):
        raise InputError(
            f"backbone is {name!r}; expected 'auto', 'convnet', 'perceptron', 'efficientnet-lite0' or 'timm:NAME'."
        )
    if name == "perceptron":
        body = nn.Sequential(nn.Flatten(), *perceptron(math.prod(shape), n_features=n_features))
        return Network(nn.Identity(), body, shape)
    if len(shape) == 1:
        raise InputError(f"backbone 'convnet' needs images, but vectors of {shape[0]} numbers came; use 'perceptron'.")
    seen = (shape[0], shape[1], shape[2])
    if largest_side is not None:
        seen = shrunk(seen, largest_side)
    front = Shrink(seen[1:]) if seen != shape else nn.Identity()
    plan = pooled_blocks(seen) if pooled else blocks(seen)
    return Network(front, convnet(seen, width=width, n_features=n_features, plan=plan, bias=not pooled), seen)


def chosen(shape: tuple[int, ...]) -> str:
    """The network that "auto" stands for.

    Examples
    --------
    >>> chosen((1, 28, 28)), chosen((7,))
    ('convnet', 'perceptron')
    """
    if len(shape) == 1:
        return "perceptron"
    if shape[0] != 3 or min(shape[1:]) < PHOTOGRAPH:
        return "convnet"
    from kinfold.nn import pretrained

    return PRETRAINED if pretrained.available(PRETRAINED) else "convnet"
