"""Colours of whole batches: brightness, contrast, saturation, hue, grey; cutout and mixup.

Images are float in [0, 1], ``(b, c, h, w)`` with one channel or three. Factors are drawn image by image, from the
distributions of torchvision's transforms of the same names.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)

Change = Callable[[Tensor, Tensor], Tensor]


def grey(x: Tensor) -> Tensor:
    """Luminance ``(b, c, h, w) -> (b, 1, h, w)``; grey images pass.

    Examples
    --------
    >>> grey(torch.rand(2, 3, 4, 4)).shape
    torch.Size([2, 1, 4, 4])
    """
    if x.shape[1] == 1:
        return x
    return LUMA[0] * x[:, :1] + LUMA[1] * x[:, 1:2] + LUMA[2] * x[:, 2:3]


def brightened(x: Tensor, factor: Tensor) -> Tensor:
    """Multiply each image ``(b, c, h, w), (b,) -> (b, c, h, w)``."""
    return (x * factor[:, None, None, None]).clamp_(0, 1)


def contrasted(x: Tensor, factor: Tensor) -> Tensor:
    """Stretch each image about its mean luminance ``(b, c, h, w), (b,) -> (b, c, h, w)``."""
    mean = grey(x.mean((2, 3), keepdim=True))  # of each channel first: a third of the work
    return torch.lerp(mean, x, factor[:, None, None, None]).clamp_(0, 1)


def saturated(x: Tensor, factor: Tensor) -> Tensor:
    """Stretch each pixel about its own grey ``(b, 3, h, w), (b,) -> (b, 3, h, w)``."""
    return torch.lerp(grey(x), x, factor[:, None, None, None]).clamp_(0, 1)


def hued(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of each image by a share of the circle ``(b, 3, h, w), (b,) -> (b, 3, h, w)``.

    Examples
    --------
    >>> red = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    >>> hued(red, torch.tensor([1 / 3])).flatten().round(decimals=3).abs()
    tensor([0., 1., 0.])
    """
    red, green, blue = x.unbind(1)
    most = torch.maximum(torch.maximum(red, green), blue)
    spread = most - torch.minimum(torch.minimum(red, green), blue)
    inverse = 1 / spread.clamp(min=1e-12)
    red, green, blue = ((most - each).mul_(inverse) for each in (red, green, blue))  # how far below the highest, 0 to 1
    # Hue on a circle of 6, around 0, 2 or 4 as red, green or blue is highest: by arithmetic, as comparisons are slow.
    last = (green + blue).sub_(red, alpha=2).add_(2).mul_(green.ceil())
    later = (red + green).sub_(blue, alpha=2).add_(2).add_(last).mul_(red.ceil())
    place = later.add_(blue).sub_(green).div_(6).add_(turn[:, None, None] + 2)  # on a circle of one, above nought
    # A channel is high within a sixth of the circle of its own place and falls off linearly.
    channels = []
    for start in (5 / 6, 3 / 6, 1 / 6):
        fall = (place + start).frac_().sub_(1 / 3).abs_().mul_(-6).add_(2).clamp_(0, 1)
        channels.append(torch.addcmul(most, spread, fall, value=-1))
    return torch.stack(channels, 1)


def colour_jitter(
    x: Tensor,
    generator: torch.Generator,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image, in an order of its own ``(b, c, h, w) -> same``.

    Parameters
    ----------
    brightness, contrast, saturation : float
        Each factor is drawn from [1 - s, 1 + s], not below 0.
    hue : float
        Turns are drawn from [-s, s], in shares of the circle. Grey images have neither hue nor saturation.

    Examples
    --------
    >>> x = torch.rand(2, 3, 4, 4)
    >>> torch.equal(colour_jitter(x, torch.Generator()), x)
    True
    """
    n = len(x)
    plan: list[tuple[Change, float, float]] = [(brightened, brightness, 1.0), (contrasted, contrast, 1.0)]
    if x.shape[1] == 3:
        plan += [(saturated, saturation, 1.0), (hued, hue, 0.0)]
    plan = [each for each in plan if each[1] > 0]
    if not plan:
        return x
    order = torch.rand(n, len(plan), generator=generator).argsort(1)
    draws = torch.stack([middle + spread * (2 * torch.rand(n, generator=generator) - 1) for _, spread, middle in plan])
    # Which image lies where: each turn sorts them by their change, so that each change has a slice.
    lie = torch.arange(n)
    for turn in range(len(plan)):
        chosen = order[lie, turn]
        moved = chosen.argsort(stable=True)
        x, lie, start = x.index_select(0, moved.to(x.device)), lie[moved], 0
        for i, count in enumerate(torch.bincount(chosen, minlength=len(plan)).tolist()):
            own = slice(start, start + count)
            factor = draws[i, lie[own]]
            change, _, middle = plan[i]
            x[own] = change(x[own], (factor.clamp(min=0) if middle == 1.0 else factor).to(x))
            start += count
    return x.index_select(0, lie.argsort().to(x.device))


def cutout(
    x: Tensor, generator: torch.Generator, *, sides: tuple[int, int], probability: float = 1.0, value: float = 0.0
) -> Tensor:
    """Blot out a square of each image ``(b, c, h, w) -> (b, c, h, w)``.

    Parameters
    ----------
    sides : (least, most)
        The side is drawn between them, both included, and rounded down to an even number.
    probability : float
        Of a square in an image; its place is uniform, wholly inside.
    value : float
        Inside the square.

    Examples
    --------
    >>> int(cutout(torch.ones(1, 1, 8, 8), torch.Generator(), sides=(4, 5)).sum())
    48
    """
    n, (h, w) = len(x), x.shape[-2:]
    side = (torch.randint(sides[0], sides[1] + 1, (n,), generator=generator) // 2 * 2).clamp(max=min(h, w))
    place = torch.rand(2, n, generator=generator)
    hit = torch.rand(n, generator=generator) < probability
    inside = hit[:, None, None]
    for axis, length in ((0, h), (1, w)):
        start = (place[axis] * (length - side + 1)).floor()[:, None]
        at = torch.arange(length)
        band = (at >= start) & (at < start + side[:, None])  # (n, length)
        inside = inside & (band[:, :, None] if axis == 0 else band[:, None, :])
    return torch.where(inside[:, None].to(x.device), torch.full_like(x, value), x)


def mixup(x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mix each image with its partner in the reversed batch ``(b, ...) -> (b, ...), (b,)``.

    Returns
    -------
    mixed : (b, ...)
        ``share * x + (1 - share) * x.flip(0)``.
    share : (b,)
        Uniform in [0, 1]; targets are mixed with the same.

    Examples
    --------
    >>> mixed, share = mixup(torch.tensor([[0.0], [1.0]]), torch.Generator().manual_seed(0))
    >>> torch.allclose(mixed[0, 0], 1 - share[0])
    True
    """
    share = torch.rand(len(x), generator=generator).to(x)
    weight = share.reshape(-1, *[1] * (x.ndim - 1))
    return weight * x + (1 - weight) * x.flip(0), share
