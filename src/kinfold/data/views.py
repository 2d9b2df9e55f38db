"""Random views of whole batches of images, drawn from one generator; parameters are drawn image by image."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def affine(x: Tensor, generator: torch.Generator, *, degrees: float, shift: float, scale: float) -> Tensor:
    """Turn, move and stretch each image a little ``(b, c, h, w) -> (b, c, h, w)``, borders repeated.

    Parameters
    ----------
    x : (b, c, h, w) float
    degrees : float
        Largest rotation, either way.
    shift : float
        Largest move, as a share of height and width.
    scale : float
        Largest change of size, each axis by itself: 0.1 is 0.9 to 1.1.

    Examples
    --------
    >>> x = torch.rand(2, 1, 8, 8)
    >>> torch.allclose(affine(x, torch.Generator(), degrees=0, shift=0, scale=0), x, atol=1e-5)
    True
    """
    draw = (torch.rand(5, len(x), generator=generator) * 2 - 1).to(x.device)
    angle = draw[0] * (math.pi * degrees / 180)
    wide, high = 1 + draw[1] * scale, 1 + draw[2] * scale
    rows = [
        torch.stack([angle.cos() * wide, -angle.sin() * wide, draw[3] * (2 * shift)], 1),
        torch.stack([angle.sin() * high, angle.cos() * high, draw[4] * (2 * shift)], 1),
    ]
    # The height-to-width ratio keeps a turned rectangle a rectangle.
    h, w = x.shape[-2:]
    matrix = torch.stack(rows, 1)
    matrix = matrix * x.new_tensor([[1, h / w, 1], [w / h, 1, 1]])
    grid = functional.affine_grid(matrix.float(), list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid.to(x.dtype), mode="bilinear", padding_mode="border", align_corners=False)


def jitter(x: Tensor, generator: torch.Generator, *, spread: float) -> Tensor:
    """Add Gaussian noise to vectors ``(b, d) -> (b, d)``.

    Parameters
    ----------
    spread : float
        Standard deviation, in the unit of `x`.
    """
    return x + spread * torch.randn(x.shape, generator=generator).to(x)


def flip(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability one half ``(b, c, h, w) -> (b, c, h, w)``."""
    mirrored = (torch.rand(len(x), generator=generator) < 0.5).to(x.device)
    return torch.where(mirrored[:, None, None, None], x.flip(-1), x)


def moved(x: Tensor, generator: torch.Generator, *, strength: float) -> Tensor:
    """A mild random view: turned, shifted and stretched images, or vectors with noise ``(b, ...) -> (b, ...)``.

    Parameters
    ----------
    strength : float
        1 turns by up to 10 degrees and moves and stretches by up to a tenth; for vectors the noise has 0.3 times the
        spread of the batch.
    """
    if x.ndim == 2:
        return jitter(x, generator, spread=0.3 * strength * float(x.std(0).mean()) if len(x) > 1 else 0.0)
    return affine(x, generator, degrees=10 * strength, shift=0.1 * strength, scale=0.1 * strength)


def strength_within(x: Tensor, generator: torch.Generator, *, reach: float, n_probes: int = 500) -> float:
    """How strong `moved` may be, 0 to 1, to move images `reach` times as far as their nearest neighbours are.

    Sequences of near-equal frames (turning objects, aligned faces) get gentle views, handwriting strong ones.

    Parameters
    ----------
    x : (n, ...) float
        Images in random order, two at least.
    reach : float
        Length of a view's move, in distances to the nearest neighbour; medians of Euclidean distances are compared.
    n_probes : int
        Images that are moved, the first of `x`.
    """
    probes = x[:n_probes]
    far = (moved(probes, generator, strength=1.0) - probes).flatten(1).norm(dim=1).median()
    distances = torch.cdist(probes.flatten(1), x.flatten(1))
    distances[torch.arange(len(probes)), torch.arange(len(probes))] = torch.inf
    close = distances.min(dim=1).values.median()
    return float((reach * close / far.clamp(min=1e-12)).clamp(max=1.0))
