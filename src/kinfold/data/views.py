"""Random views of whole batches of images, drawn from one generator; parameters are drawn image by image.

Those of a paper carry its name: every view that a published pipeline draws image by image with torchvision is drawn
here with the same distribution, for a whole batch at once (the tests compare them).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from torch import Tensor
from torch.nn import functional

from kinfold.data.photometric import colour_jitter
from kinfold.data.warp import central_boxes, coin, random_boxes, random_maps, warp


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
    """Add Gaussian noise to vectors or images ``(b, ...) -> (b, ...)``.

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


def strength_within(x: Tensor, generator: torch.Generator, *, reach: float = 1.8, n_probes: int = 500) -> float:
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


PIECE = 2**19  # numbers in a piece of a batch: what fits into a processor's cache is two to four times as quick

AnyView = TypeVar("AnyView", bound=Callable[..., Tensor])


def in_pieces(view: AnyView) -> AnyView:
    """Make a large batch's view piece by piece; every image has chances of its own anyway."""

    @wraps(view)
    def whole(x: Tensor, generator: torch.Generator, **options: Any) -> Tensor:
        size = max(1, PIECE * len(x) // max(1, x.numel()))
        if len(x) <= size:
            return view(x, generator, **options)
        return torch.cat([view(piece, generator, **options) for piece in torch.split(x, size)])

    return cast(AnyView, whole)


# -- invariant information clustering (Ji 2019, released code) ---------------------------------------------------------


@in_pieces
def iic_mnist_plain(x: Tensor, generator: torch.Generator, *, crop: int = 20, size: int = 24) -> Tensor:
    """The first view of digits: a crop, at a random place or the middle with equal chance ``(b, 1, h, w) -> ...``.

    Parameters
    ----------
    crop : int
        Its side in pixels; 20 of MNIST's 28.
    size : int
        The crop is resized to this.

    Examples
    --------
    >>> iic_mnist_plain(torch.rand(2, 1, 28, 28), torch.Generator()).shape
    torch.Size([2, 1, 24, 24])
    """
    anywhere = random_boxes(len(x), x.shape, [crop], generator)
    middle = central_boxes(len(x), x.shape, crop)
    box = torch.where(coin(len(x), generator)[:, None], anywhere, middle)
    return warp(x, (size, size), box=box)


@in_pieces
def iic_mnist_transformed(
    x: Tensor, generator: torch.Generator, *, crops: tuple[int, ...] = (16, 20, 24), size: int = 24
) -> Tensor:
    """The second view of digits ``(b, 1, h, w) -> (b, 1, size, size)``.

    Every other image is turned by up to 25 degrees (nearest pixel, black outside), then a crop of a random size at a
    random place is resized, and brightness and contrast change by up to 0.4.

    Parameters
    ----------
    crops : tuple of int
        Sides in pixels, of MNIST's 28.
    size : int
        The crop is resized to this.
    """
    turns = random_maps(len(x), generator, degrees=25, probability=0.5)
    x = warp(x, (x.shape[2], x.shape[3]), matrix=turns, mode="nearest")
    x = warp(x, (size, size), box=random_boxes(len(x), x.shape, crops, generator))
    return colour_jitter(x, generator, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.125)


@in_pieces
def iic_colour_plain(x: Tensor, generator: torch.Generator, *, crop: int = 20, size: int = 32) -> Tensor:
    """The first view of colour images: a random crop, resized; still in colour ``(b, 3, h, w) -> (b, 3, size, size)``.

    Parameters
    ----------
    crop : int
        Its side in pixels: 20 of CIFAR's 32, 64 of STL's 96.
    size : int
        The crop is resized to this: 32, and 64 for STL.
    """
    return warp(x, (size, size), box=random_boxes(len(x), x.shape, [crop], generator))


@in_pieces
def iic_colour_transformed(x: Tensor, generator: torch.Generator, *, crop: int = 20, size: int = 32) -> Tensor:
    """The second view of colour images: random crop, mirror, colours ``(b, 3, h, w) -> (b, 3, size, size)``.

    Brightness, contrast and saturation change by up to 0.4, the hue by up to an eighth of the circle. The released
    pipeline ends with `kinfold.data.photometric.grey`, or keeps the colours beside the edges.

    Parameters
    ----------
    crop, size : int
        As for `iic_colour_plain`.
    """
    box = random_boxes(len(x), x.shape, [crop], generator)
    x = warp(x, (size, size), box=box, mirrored=coin(len(x), generator))
    return colour_jitter(x, generator, brightness=0.4, contrast=0.4, saturation=0.4, hue=0.125)


def central(x: Tensor, *, crop: int, size: int) -> Tensor:
    """The view that is evaluated: the middle, resized, without chance ``(b, c, h, w) -> (b, c, size, size)``.

    Examples
    --------
    >>> central(torch.rand(2, 1, 28, 28), crop=20, size=24).shape
    torch.Size([2, 1, 24, 24])
    """
    return warp(x, (size, size), box=central_boxes(len(x), x.shape, crop))


# -- our own -----------------------------------------------------------------------------------------------------------


@in_pieces
def swayed(x: Tensor, generator: torch.Generator, *, strength: float = 1.0) -> Tensor:
    """A strong random view that loses no part of the image ``(b, ...) -> (b, ...)``.

    Turned by up to 25 degrees, slanted by up to 20, shifted by up to an eighth of the side, 0.75 to 1.35 times as
    large, and changed in brightness, contrast and, in colour, saturation by up to 0.4 and hue by an eighth; vectors get
    noise of 0.3 times their spread.

    Parameters
    ----------
    strength : float
        All of these are multiplied by it.

    Examples
    --------
    >>> x = torch.rand(2, 1, 28, 28)
    >>> torch.allclose(swayed(x, torch.Generator(), strength=0.0), x, atol=1e-5)
    True
    """
    if x.ndim == 2:
        return moved(x, generator, strength=strength)
    h, w = x.shape[-2:]
    maps = random_maps(
        len(x), generator, degrees=25 * strength, shift=(w / 8 * strength, h / 8 * strength),
        scale=(1 - 0.25 * strength, 1 + 0.35 * strength), shear=20 * strength,
    )  # fmt: skip
    x = warp(x, (h, w), matrix=maps, padding="border")
    colours = 0.4 * strength
    return colour_jitter(x, generator, brightness=colours, contrast=colours, saturation=colours, hue=0.125 * strength)
