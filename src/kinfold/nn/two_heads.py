"""A network with a main and an overclustering head, each of several sub-heads, of which one answers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinfold.nn.residual import BasicBlock
from kinfold.nn.subheads import SubHeads


class CentralCrop(nn.Module):
    """The middle of an image, resized ``(b, c, h, w) -> (b, c, size, size)``; what already has the size passes.

    Parameters
    ----------
    crop : int
        Side of the square that is cut out.
    size : int

    Examples
    --------
    >>> CentralCrop(20, 24)(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 1, 24, 24])
    """

    def __init__(self, crop: int, size: int) -> None:
        super().__init__()
        self.crop, self.size = crop, size

    def forward(self, x: Tensor) -> Tensor:
        top, left = (round((side - self.crop) / 2) for side in x.shape[-2:])
        middle = x[..., top : top + self.crop, left : left + self.crop]
        return functional.interpolate(middle, (self.size, self.size), mode="bilinear", align_corners=False)


class TwoHeads(nn.Module):
    """Images to the logits of every sub-head, main head first ``(b, c, h, w) -> (b, s k + s K)``, float32.

    Training calls `logits` on views; everything else calls the network on images as they are, of which it makes the
    evaluated view itself. Weights of all heads are saved together, and which sub-head answers.

    Parameters
    ----------
    front : nn.Module
        Never learns; what it gives is computed once and then passes it by.
    look : nn.Module
        From an image to the view of it that is evaluated.
    trunk : nn.Module
        ``(b, ...) -> (b, d)``.
    seen : tuple of int
        Shape of what the front gives.
    n_clusters, n_over : int
        Clusters of the main and of the overclustering head; 0 leaves the latter out.
    n_heads : int
        Sub-heads of each.
    normalize : bool
        Bring every feature to mean nought and spread one, by a batch norm without weights. Else what all images share,
        such as brightness, is the first thing that information is found in, and two clusters take everything.
    pretrained : str, optional
        Name of the pretrained network in the front.

    Attributes
    ----------
    chosen : () int64
        The main sub-head that answers.

    Examples
    --------
    >>> net = TwoHeads(nn.Identity(), nn.Identity(), nn.Flatten(), (1, 2, 2), n_clusters=3, n_over=6, n_heads=5)
    >>> x = torch.zeros(7, 1, 2, 2)
    >>> net(x).shape, net.logits(x, ("over",))["over"].shape
    (torch.Size([7, 45]), torch.Size([7, 5, 6]))
    """

    chosen: Tensor

    def __init__(
        self,
        front: nn.Module,
        look: nn.Module,
        trunk: nn.Module,
        seen: tuple[int, ...],
        *,
        n_clusters: int,
        n_over: int,
        n_heads: int,
        normalize: bool = False,
        pretrained: str | None = None,
    ) -> None:
        super().__init__()
        self.front, self.look, self.trunk, self.seen, self.pretrained = front, look, trunk, seen, pretrained
        with torch.no_grad():
            example = look(torch.zeros(1, *seen))
            n_features = trunk.eval()(example).shape[1]
        trunk.train()
        if normalize:
            self.trunk = nn.Sequential(trunk, nn.BatchNorm1d(n_features, affine=False))
        self.main = SubHeads(n_features, n_heads, n_clusters)
        self.over = SubHeads(n_features, n_heads, n_over) if n_over else None
        self.register_buffer("chosen", torch.zeros((), dtype=torch.int64))

    def features(self, x: Tensor) -> Tensor:
        """What the trunk makes of images as they are ``(b, c, h, w) -> (b, d)``."""
        found: Tensor = self.trunk(self.look(x if tuple(x.shape[1:]) == self.seen else self.front(x)))
        return found

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x)
        heads = [self.main] if self.over is None else [self.main, self.over]
        return torch.cat([head(features).flatten(1) for head in heads], 1).float()

    def logits(self, view: Tensor, names: tuple[str, ...] = ("main",)) -> dict[str, Tensor]:
        """Logits of the named heads for views, the trunk being passed once ``(b, ...) -> {name: (b, s, k)}``."""
        features = self.trunk(view)
        return {name: getattr(self, name)(features).float() for name in names}


class Answer(nn.Module):
    """Probabilities of one sub-head, out of the logits of all ``(b, m) -> (b, k)``.

    Parameters
    ----------
    head : int
    n_clusters : int

    Examples
    --------
    >>> Answer(1, 2)(torch.tensor([[9.0, 9.0, 0.0, 0.0, 9.0, 9.0]]))
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, head: int, n_clusters: int) -> None:
        super().__init__()
        self.columns = slice(head * n_clusters, (head + 1) * n_clusters)

    def forward(self, logits: Tensor) -> Tensor:
        return logits[:, self.columns].softmax(1)


def linear_answer(
    features: Tensor, target: Tensor, *, sureness: float = 8.0, ridge: float = 1e-3
) -> tuple[Tensor, Tensor]:
    """Weight and bias of a head that answers nearly as `target` does ``(n, d), (n, k) -> (k, d), (k,)``.

    Ridge regression on the centred target, scaled so that a sure answer has logits `sureness` apart.
    """
    x, y = features.double(), sureness * target.double()
    mean, middle = x.mean(0), y.mean(0)
    x, y = x - mean, y - middle
    product = x.T @ x
    product += torch.eye(len(product), dtype=x.dtype, device=x.device) * (ridge * product.diagonal().mean() + 1e-12)
    weight = torch.linalg.solve(product, x.T @ y).T
    return weight.float(), (middle - weight @ mean).float()


def first_weights(net: TwoHeads, *, gain: float | None = None) -> None:
    """First weights as the released code draws them: convolutions Kaiming-normal, linear layers N(0, 0.01^2).

    The fan is that of the input, and that of the output in residual networks; biases 0, batch norm 1 and 0.

    Parameters
    ----------
    gain : float, optional
        Spread of the first logits on normalised features; heads then begin with clusters of their own. None: 0.01 for
        each weight, so that all begin undecided.
    """
    residual = any(isinstance(layer, BasicBlock) for layer in net.modules())
    for layer in net.trunk.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out" if residual else "fan_in", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.reset_running_stats()
            layer.reset_parameters()
    for head in (net.main, net.over):
        if head is not None:
            nn.init.normal_(head.weight, 0.0, 0.01 if gain is None else gain / head.in_features**0.5)
            nn.init.zeros_(head.bias)
