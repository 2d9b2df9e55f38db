"""Geometry of whole batches: crops, mirrors, turns and affine maps, each image its own, in one pass of interpolation.

A view is described before it is made: boxes, mirrors and matrices are small tensors with one row an image, and `warp`
looks up every output pixel once. Composing crop, resize and turn costs no more than one of them, and blurs once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from kinfold.errors import InputError

SMALL = 64  # pixels of a side up to which a resized crop is quicker as two products of matrices


def warp(
    x: Tensor,
    size: tuple[int, int],
    *,
    box: Tensor | None = None,
    mirrored: Tensor | None = None,
    matrix: Tensor | None = None,
    mode: str = "bilinear",
    padding: str = "zeros",
) -> Tensor:
    """Look at each image through its own window ``(b, c, H, W) -> (b, c, h, w)``.

    Parameters
    ----------
    x : (b, c, H, W) float
    size : (h, w)
        Of the result.
    box : (b, 4), optional
        Top, left, height and width of a crop, in pixels, that is resized to `size`. Nothing outside it is looked at,
        as if the crop had been cut out first.
    mirrored : (b,) bool, optional
        Left and right of the result are exchanged.
    matrix : (b, 2, 3), optional
        From (x right, y down, 1), in pixels from the centre of the image, to where the colour is found.
    mode : {"bilinear", "nearest"}
    padding : {"zeros", "border"}
        What a matrix finds outside the image.

    Examples
    --------
    >>> x = torch.arange(16.0).reshape(1, 1, 4, 4)
    >>> warp(x, (2, 2), box=torch.tensor([[1, 2, 2, 2]]))
    tensor([[[[ 6.,  7.],
              [10., 11.]]]])
    """
    b, _, height, width = x.shape
    window = x.new_tensor([[0, 0, height, width]]) if box is None else box.to(x)
    rows = _places(window[:, 0], window[:, 2], size[0])  # (b, h)
    columns = _places(window[:, 1], window[:, 3], size[1])
    if mirrored is not None:
        columns = torch.where(mirrored.to(x.device)[:, None], columns.flip(1), columns)
    if matrix is None and mode == "bilinear" and max(height, width) <= SMALL:
        x, rows, columns = _cut(x, rows, columns)
        return _weights(rows, x.shape[2])[:, None] @ x @ _weights(columns, x.shape[3])[:, None].transpose(2, 3)
    v, u = rows[:, :, None].expand(-1, -1, size[1]), columns[:, None, :].expand(-1, size[0], -1)
    if matrix is not None:
        m = matrix.to(x)[:, :, :, None, None]
        u, v = u - (width - 1) / 2, v - (height - 1) / 2
        u, v = (m[:, i, 0] * u + m[:, i, 1] * v + m[:, i, 2] for i in (0, 1))
        u, v = u + (width - 1) / 2, v + (height - 1) / 2
    grid = torch.stack([(2 * u + 1) / width - 1, (2 * v + 1) / height - 1], 3).expand(b, -1, -1, -1)
    return functional.grid_sample(x, grid, mode=mode, padding_mode=padding, align_corners=False)


def _cut(x: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The part of each image that is looked at, and the places inside it ``(b, c, H, W), (b, h), (b, w) -> same``."""
    corners, sides = [], []
    for places, length in ((rows, x.shape[2]), (columns, x.shape[3])):
        first, last = places.amin(1).floor(), places.amax(1).ceil()
        side = min(length, int((last - first).max()) + 1)
        corners.append(first.long().clamp(max=length - side))
        sides.append(side)
    if sides == [x.shape[2], x.shape[3]] or len(corners[0]) != len(x):
        return x, rows, columns
    (top, left), (height, width) = corners, sides
    windows = x.unfold(2, height, 1).unfold(3, width, 1)
    cut = windows[torch.arange(len(x), device=x.device), :, top, left]
    return cut, rows - top[:, None], columns - left[:, None]


def _weights(places: Tensor, length: int) -> Tensor:
    """What each pixel counts at each place, by linear interpolation ``(b, h) -> (b, h, length)``."""
    at = torch.arange(length, device=places.device, dtype=places.dtype)
    return (1 - (places[:, :, None] - at).abs()).clamp_(min=0)


def _places(start: Tensor, length: Tensor, size: int) -> Tensor:
    """Where in the image the pixels of a resized stretch lie, inside it ``(b,), (b,) -> (b, size)``."""
    share = (torch.arange(size, device=start.device, dtype=start.dtype) + 0.5) / size
    found = start[:, None] + share * length[:, None] - 0.5
    return torch.minimum(torch.maximum(found, start[:, None]), (start + length - 1)[:, None])


def random_boxes(n: int, shape: Sequence[int], sides: Sequence[int], generator: torch.Generator) -> Tensor:
    """Square crops at random places, the side of each drawn from `sides` ``-> (n, 4)``.

    Parameters
    ----------
    n : int
    shape : (..., h, w)
        Of the images.
    sides : sequence of int
        In pixels.

    Examples
    --------
    >>> random_boxes(2, (1, 8, 8), [8], torch.Generator())
    tensor([[0., 0., 8., 8.],
            [0., 0., 8., 8.]])
    """
    _fits(shape, max(sides))
    choice = torch.randint(len(sides), (n,), generator=generator)
    side = torch.tensor([float(s) for s in sides])[choice]
    room = torch.tensor([float(shape[-2]), float(shape[-1])]) - side[:, None]
    corner = (torch.rand(n, 2, generator=generator) * (room + 1)).floor().minimum(room)
    return torch.stack([corner[:, 0], corner[:, 1], side, side], 1)


def area_boxes(
    n: int,
    shape: Sequence[int],
    generator: torch.Generator,
    *,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: float = 4 / 3,
) -> Tensor:
    """Crops of a random share of the area and a random shape ``-> (n, 4)``.

    The distribution of torchvision's RandomResizedCrop, but crops that do not fit are cut off at the border where it
    draws again.

    Parameters
    ----------
    scale : (least, most)
        Share of the area, uniform.
    ratio : float
        Width to height or height to width, at most; uniform on a logarithmic scale.

    Examples
    --------
    >>> area_boxes(1, (1, 8, 8), torch.Generator(), scale=(1.0, 1.0), ratio=1.0)
    tensor([[0., 0., 8., 8.]])
    """
    h, w = shape[-2:]
    draw = torch.rand(4, n, generator=generator)
    area = (scale[0] + (scale[1] - scale[0]) * draw[0]) * (h * w)
    aspect = ((2 * draw[1] - 1) * math.log(ratio)).exp()
    height = (area / aspect).sqrt().round().clamp(1, h)
    width = (area * aspect).sqrt().round().clamp(1, w)
    top = (draw[2] * (h - height + 1)).floor().minimum(h - height)
    left = (draw[3] * (w - width + 1)).floor().minimum(w - width)
    return torch.stack([top, left, height, width], 1)


def central_boxes(n: int, shape: Sequence[int], side: int) -> Tensor:
    """Square crops of the middle, rounded as torchvision does ``-> (n, 4)``.

    Examples
    --------
    >>> central_boxes(1, (1, 28, 28), 20)
    tensor([[ 4.,  4., 20., 20.]])
    """
    _fits(shape, side)
    top, left = (float(round((length - side) / 2)) for length in shape[-2:])
    return torch.tensor([top, left, side, side], dtype=torch.float32).expand(n, 4)


def _fits(shape: Sequence[int], side: int) -> None:
    if not 0 < side <= min(shape[-2:]):
        raise InputError(
            f"a crop of {side} pixels does not fit into images of {shape[-2]} x {shape[-1]}; take a smaller crop."
        )


def random_maps(
    n: int,
    generator: torch.Generator,
    *,
    degrees: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
    scale: tuple[float, float] = (1.0, 1.0),
    shear: float = 0.0,
    probability: float = 1.0,
) -> Tensor:
    """Random affine maps for `warp`, the order of torchvision's: shear, turn, stretch, shift ``-> (n, 2, 3)``.

    Parameters
    ----------
    degrees : float
        Largest turn, either way.
    shift : (right, down)
        Largest moves in pixels, either way.
    scale : (least, most)
        The size is multiplied by a number between them.
    shear : float
        Largest slant along x, in degrees, either way.
    probability : float
        Of each map; the others change nothing.

    Examples
    --------
    >>> x = torch.rand(2, 1, 8, 8)
    >>> torch.allclose(warp(x, (8, 8), matrix=random_maps(2, torch.Generator())), x, atol=1e-6)
    True
    """
    draw = torch.rand(6, n, generator=generator)
    angle = (2 * draw[0] - 1) * math.radians(degrees)
    slant = ((2 * draw[1] - 1) * math.radians(shear)).tan()
    size = scale[0] + draw[2] * (scale[1] - scale[0])
    right, down = (2 * draw[3] - 1) * shift[0], (2 * draw[4] - 1) * shift[1]
    cos, sin = angle.cos() / size, angle.sin() / size
    # The inverse of shift · turn · size · shear: an output pixel looks back at where it came from.
    linear = torch.stack([torch.stack([cos - slant * sin, -sin - slant * cos], 1), torch.stack([sin, cos], 1)], 1)
    moved = -(linear @ torch.stack([right, down], 1)[:, :, None])
    made = torch.cat([linear, moved], 2)
    same = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    return torch.where((draw[5] < probability)[:, None, None], made, same)


def coin(n: int, generator: torch.Generator, probability: float = 0.5) -> Tensor:
    """True with this probability ``-> (n,)`` bool.

    Examples
    --------
    >>> coin(3, torch.Generator(), 1.0)
    tensor([True, True, True])
    """
    return torch.rand(n, generator=generator) < probability
