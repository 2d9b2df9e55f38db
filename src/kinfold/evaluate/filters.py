"""What filters look for: the image that gradient ascent makes for each, and the images on which it fires most."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from kinfold.data.images import Images
from kinfold.errors import InputError
from kinfold.evaluate.layers import activations, outputs
from kinfold.runtime import Runtime

__all__ = ["ascend", "blurred", "grid", "shown", "top_images"]

Pixels = npt.NDArray[np.uint8]
N_TOP = 9
BLUR, BLUR_EVERY = 0.3, 5
START, SPREAD = 0.5, 20 / 255
SHRINK = 1e-3  # towards grey, a step


def ascend(
    net: nn.Module,
    layer: nn.Module,
    filters: list[int],
    shape: tuple[int, ...],
    generator: torch.Generator,
    *,
    n_steps: int = 300,
    rate: float = 3.0,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Images that fire one filter of a layer more than all its others ``(f,) -> (f, c, h, w)``.

    Gradient ascent on the log-softmax of the filter among the spatial means of the layer; gradients of unit length,
    steps of `rate` on the scale of 0 to 255, a slight blur every five steps, as DeepCluster's released code has it. Our
    deviation: an image is drawn towards grey and not, by a weight on its norm, towards black, which in small networks
    outweighs the filter. All filters are climbed at once: evaluation mode keeps images apart.

    Raises
    ------
    InputError
        When no gradient reaches the image, as through a frozen network.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    >>> ascend(net, net[1], [0, 2], (1, 8, 8), torch.Generator(), n_steps=2).shape
    torch.Size([2, 1, 8, 8])
    """
    device = next(net.parameters()).device
    net.eval()
    x = (START + SPREAD * torch.randn(len(filters), *shape, generator=generator)).to(device)
    wanted = torch.tensor(filters, device=device)
    for step in range(n_steps):
        x = x.detach().requires_grad_()
        with torch.enable_grad(), outputs({"layer": layer}) as seen:
            net(x)
            means = seen["layer"].float().mean((2, 3))
            height = -functional.cross_entropy(means, wanted, reduction="sum")
        gradient = torch.autograd.grad(height, x, allow_unused=True)[0] if means.requires_grad else None
        if gradient is None:
            raise InputError(
                "no gradient reaches the images through this network, whose first layers are frozen; filters can be "
                "climbed only in a network that was trained here, such as one with backbone='convnet'."
            )
        length = gradient.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, 1, 1, 1)
        x = x.detach() + rate / 255 * gradient / length
        x = START + (1 - SHRINK) * (x - START)
        if step % BLUR_EVERY == BLUR_EVERY - 1:
            x = blurred(x, BLUR)
        if progress is not None:
            progress(1)
    return x.detach().cpu()


def shown(x: Tensor) -> Pixels:
    """Images as an eye sees something in them, each brought to mean .5 and spread .2 ``(f, c, h, w) -> bytes``.

    >>> shown(torch.zeros(1, 1, 2, 2)).ravel()
    array([128, 128, 128, 128], dtype=uint8)
    """
    centred = x - x.mean((1, 2, 3), keepdim=True)
    spread = centred.std((1, 2, 3), keepdim=True).clamp(min=1e-8)
    values: Pixels = ((0.5 + 0.2 * centred / spread).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return values


def blurred(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of a few pixels ``(b, c, h, w) -> (b, c, h, w)``.

    >>> round(float(blurred(torch.ones(1, 1, 5, 5), 0.3)[0, 0, 2, 2]), 5)
    1.0
    """
    place = torch.arange(-2, 3, device=x.device, dtype=x.dtype)
    weight = torch.exp(-(place**2) / (2 * sigma**2))
    weight /= weight.sum()
    c = x.shape[1]
    padded = functional.pad(x, (2, 2, 2, 2), mode="replicate")
    rows = functional.conv2d(padded, weight.view(1, 1, 1, 5).expand(c, 1, 1, 5), groups=c)
    return functional.conv2d(rows, weight.view(1, 1, 5, 1).expand(c, 1, 5, 1), groups=c)


def top_images(
    net: nn.Module, layer: nn.Module, filters: list[int], images: Images, run: Runtime
) -> npt.NDArray[np.int64]:
    """Positions of the nine images on which each filter is most active in the mean ``(f,) -> (f, 9)``."""
    means = activations(net, layer, images, run)[:, filters]
    n = min(N_TOP, len(images))
    order: npt.NDArray[np.int64] = np.argsort(-means, axis=0, kind="stable")[:n].T
    return order


def grid(tiles: list[list[Image.Image]], side: int, gap: int = 2) -> Image.Image:
    """Rows of pictures as one picture; every tile is fitted into a square of `side` pixels.

    >>> grid([[Image.new("L", (4, 4))] * 3] * 2, 8).size
    (32, 22)
    """
    columns = max(len(row) for row in tiles)
    canvas = Image.new("RGB", (columns * (side + gap) + gap, len(tiles) * (side + gap) + gap), (255, 255, 255))
    for r, row in enumerate(tiles):
        for c, tile in enumerate(row):
            scale = side / max(tile.size)
            size = (max(1, round(tile.width * scale)), max(1, round(tile.height * scale)))
            method = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BICUBIC
            canvas.paste(tile.convert("RGB").resize(size, method), (gap + c * (side + gap), gap + r * (side + gap)))
    return canvas
