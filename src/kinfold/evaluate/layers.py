"""What the layers of a network see: their outputs, averaged to vectors of a manageable length."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from kinfold.data.images import Images
from kinfold.runtime import Runtime
from kinfold.train import pixels

__all__ = ["activations", "layer_features", "layers_of", "outputs"]

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.GELU, nn.Hardswish, nn.Tanh, nn.ELU)
MOST_LAYERS = 6
LONGEST = 2048  # numbers a layer gives to a probe


def layers_of(net: nn.Module, *, maps_only: bool = False, shape: tuple[int, ...]) -> dict[str, nn.Module]:
    """Layers worth a look, by name: those that end in a non-linearity, at most six, evenly spaced and with the last.

    Parameters
    ----------
    maps_only
        Only those that give maps ``(b, c, h, w)``, as filters do.
    shape
        Of one image.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2), nn.ReLU())
    >>> list(layers_of(net, shape=(1, 8, 8))), list(layers_of(net, maps_only=True, shape=(1, 8, 8)))
    (['1', '4'], ['1'])
    """
    found: dict[str, nn.Module] = {name: layer for name, layer in net.named_modules() if isinstance(layer, ACTIVATIONS)}
    device = next((w.device for w in net.parameters()), torch.device("cpu"))
    with torch.no_grad(), _evaluating(net), outputs(found) as seen:
        net(torch.zeros(1, *shape, device=device))
        found = {name: found[name] for name in seen if seen[name].ndim == 4 or not maps_only}
    if len(found) <= MOST_LAYERS:
        return found
    names = list(found)
    chosen = np.unique(np.linspace(0, len(names) - 1, MOST_LAYERS).round().astype(int))
    return {names[i]: found[names[i]] for i in chosen.tolist()}


@contextlib.contextmanager
def outputs(layers: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """What the layers give in each pass that is made inside the context, by name."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(layer: nn.Module, given: Any, output: Tensor) -> None:
            seen[name] = output

        return hook

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def layer_features(
    net: nn.Module, images: Images, run: Runtime, *, longest: int = LONGEST, batch_size: int = 256
) -> dict[str, npt.NDArray[np.float32]]:
    """Vectors of every layer worth a look, and of the output ``n images -> {name: (n, d)}``.

    Maps are averaged over a grid as fine as `longest` numbers allow; the papers' linear probes allow nine thousand.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
    >>> images = Images(np.zeros((5, 1, 8, 8), dtype=np.uint8))
    >>> {name: x.shape for name, x in layer_features(net, images, Runtime(), longest=36).items()}
    {'1': (5, 36), 'output': (5, 144)}
    """
    net = run.to(net)
    layers = layers_of(net, shape=images.shape)
    parts: dict[str, list[Tensor]] = {name: [] for name in [*layers, "output"]}
    with torch.inference_mode(), _evaluating(net), outputs(layers) as seen:
        for start in range(0, len(images), batch_size):
            rows = np.arange(start, min(start + batch_size, len(images)))
            parts["output"].append(net(pixels(images, rows, run)).reshape(len(rows), -1).float().cpu())
            for name in layers:
                parts[name].append(_shortened(seen[name].float(), longest).cpu())
            run.progress.advance(len(rows))
    return {name: torch.cat(found).numpy() for name, found in parts.items()}


def activations(net: nn.Module, layer: nn.Module, images: Images, run: Runtime) -> npt.NDArray[np.float32]:
    """Mean activation of every filter of a layer on every image ``n images -> (n, c)``."""
    parts = []
    with torch.inference_mode(), _evaluating(net), outputs({"layer": layer}) as seen:
        for start in range(0, len(images), 256):
            rows = np.arange(start, min(start + 256, len(images)))
            net(pixels(images, rows, run))
            parts.append(seen["layer"].float().mean((2, 3)).cpu())
    return torch.cat(parts).numpy()


def _shortened(maps: Tensor, longest: int) -> Tensor:
    """Maps averaged over a grid until they have at most `longest` numbers ``(b, c, h, w) -> (b, d)``."""
    if maps.ndim == 4:
        side = max(1, math.isqrt(longest // maps.shape[1]))
        if side < max(maps.shape[2:]):
            maps = functional.adaptive_avg_pool2d(maps, (min(side, maps.shape[2]), min(side, maps.shape[3])))
    return maps.reshape(len(maps), -1)


@contextlib.contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    training = net.training
    net.eval()
    try:
        yield
    finally:
        net.train(training)
