"""Directions in which a prediction changes: at random, and the worst one (virtual adversarial training).

Miyato, Maeda, Koyama, Ishii 2015, as used in IMSAT (Hu et al. 2017): one step of power iteration finds the direction
in which a divergence between the clean prediction and the perturbed one grows fastest. Probing never touches the
gradients of the weights, and batch norm uses the statistics of the batch in every pass but remembers only those of the
clean one (`kinfold.ops.batch_norm.probing`).

Directions of a batch are drawn for the whole batch and then shared, so they do not depend on the processes:
``run.share(random_directions(shape, generator))``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

XI = 10.0  # length of the probe
REACH = 4.0  # length of our probe, in lengths of the change
TENTH = 10  # place of the neighbour that sets the radius among the other images: the eleventh, as IMSAT's code counts


def unit(x: Tensor) -> Tensor:
    """Each image or vector scaled to unit length ``(b, ...) -> (b, ...)``; nought stays nought.

    Divided by its largest value first, so that the squares of tiny gradients do not vanish.

    Examples
    --------
    >>> unit(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    flat = x.flatten(1).to(torch.promote_types(x.dtype, torch.float32))
    largest = flat.abs().amax(1, keepdim=True)
    flat = flat / torch.where(largest > 0, largest, 1.0)
    scaled: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return scaled.view_as(x)


def random_directions(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """One direction an image, uniform on the sphere ``-> (b, ...)``, on the processor.

    Examples
    --------
    >>> random_directions((2, 3), torch.Generator()).norm(dim=1)
    tensor([1.0000, 1.0000])
    """
    return unit(torch.randn(tuple(shape), generator=generator))


def adversarial_directions(
    outputs: Callable[[Tensor], Tensor],
    x: Tensor,
    start: Tensor,
    divergence: Callable[[Tensor], Tensor],
    *,
    xi: float | Tensor = XI,
    n_iterations: int = 1,
) -> Tensor:
    """Directions in which the outputs change most ``(b, ...), (b, ...) -> (b, ...)``, of unit length, no gradient.

    Parameters
    ----------
    outputs : callable
        The network, ``(b, ...) -> (b, k)``, batch norm remembering nothing. Over processes it gathers its rows.
    x : (b, ...)
        Clean images.
    start : (b, ...)
        Where the power iteration begins, see `random_directions`.
    divergence : callable
        Of the clean prediction, which it holds, from the perturbed outputs ``(b, k) -> ()``.
    xi : float or (b,)
        Length of the probe, of each image's own where there are several.
    n_iterations : int
        Steps of power iteration.

    Examples
    --------
    >>> x, start = torch.zeros(1, 2), torch.tensor([[0.6, 0.8]])
    >>> adversarial_directions(lambda x: x * torch.tensor([2.0, 0.0]), x, start, lambda y: y.square().sum())
    tensor([[1., 0.]])
    """
    direction = start.to(x)
    for _ in range(n_iterations):
        direction = direction.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(divergence(outputs(pushed(x.detach(), direction, xi))), direction)
        direction = unit(gradient)
    return direction.detach()


def pushed(x: Tensor, directions: Tensor, radius: float | Tensor) -> Tensor:
    """Images moved along their directions ``(b, ...), (b, ...), () or (b,) -> (b, ...)``.

    Examples
    --------
    >>> pushed(torch.zeros(2, 2), torch.eye(2), torch.tensor([1.0, 3.0]))
    tensor([[1., 0.],
            [0., 3.]])
    """
    if isinstance(radius, Tensor):
        radius = radius.to(x).reshape(-1, *[1] * (x.ndim - 1)) if radius.ndim else radius.to(x)
    return x + radius * directions.to(x)


def changed(
    outputs: Callable[[Tensor], Tensor],
    x: Tensor,
    start: Tensor,
    radius: Tensor,
    divergence: Callable[[Tensor], Tensor],
    *,
    regularizer: str,
    scale: float | None = None,
) -> Tensor:
    """IMSAT's change of each image by its own radius ``(b, ...), (b, ...), (b,) -> (b, ...)``.

    Parameters
    ----------
    outputs, x, start, divergence
        As for `adversarial_directions`.
    radius : (b,)
        How far each image is moved.
    regularizer : {"adversarial", "random"}
        VAT, along the direction in which the outputs change most, or RPT, along ``start``.
    scale : float, optional
        Units of the released network's input in one of x: the probe then has the released length. None for a probe of
        four times the radius.

    Examples
    --------
    >>> x, start = torch.zeros(1, 2), torch.tensor([[0.6, 0.8]])
    >>> changed(lambda x: x, x, start, torch.tensor([5.0]), torch.sum, regularizer="random")
    tensor([[3., 4.]])
    """
    if regularizer == "adversarial":
        xi = REACH * radius if scale is None else XI / scale
        start = adversarial_directions(outputs, x, start, divergence, xi=xi)
    return pushed(x, start, radius)


def neighbour_radius(distance: npt.NDArray[np.floating], *, place: int = TENTH) -> tuple[Tensor, int]:
    """Distance of each image to the neighbour at this place ``(n, k) -> (n,)``, and how many were mended.

    Where that neighbour is an exact duplicate the distance is nought, and an image could not be changed at all; it
    gets the median of the others.

    Parameters
    ----------
    distance : (n, k)
        Squared distances, from near to far, of `kinfold.ops.knn`.
    place : int
        From 0; the last where there are fewer.

    Examples
    --------
    >>> neighbour_radius(np.array([[1.0, 4.0], [1.0, 9.0], [0.0, 0.0]]), place=1)
    (tensor([2.0000, 3.0000, 2.5000]), 1)
    """
    radius = np.sqrt(distance[:, min(place, distance.shape[1] - 1)].astype(np.float32))
    duplicates = radius <= 0
    if duplicates.all():
        return torch.from_numpy(radius), int(duplicates.sum())
    radius[duplicates] = np.median(radius[~duplicates])
    return torch.from_numpy(radius), int(duplicates.sum())
