"""The two passes every method is made of: one that learns, one that looks."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kinfold.data.images import Images
from kinfold.data.views import strength_within
from kinfold.errors import KinfoldError
from kinfold.files import write_bytes
from kinfold.runtime import Runtime

Index = np.ndarray[Any, np.dtype[np.int64]]
Loss = Callable[[nn.Module, Index, Tensor], Tensor]
View = Callable[[Tensor, torch.Generator], Tensor]


class Trainable(Protocol):
    """What :func:`fit_epoch` needs of a state."""

    net: nn.Module
    optimizer: Optimizer | None
    generator: torch.Generator
    round: int


def pixels(images: Images, index: Index, run: Runtime) -> Tensor:
    """Images as the networks see them: float32 on the device, bytes scaled to [0, 1], ``(b,) -> (b, c, h, w)``.

    Vectors come as ``(b, d)``. Float images keep their own scale.
    """
    x = run.to(images.tensor(index))
    return x.to(torch.float32).div_(255) if x.dtype == torch.uint8 else x.to(torch.float32)


def sampled(images: Images, generator: torch.Generator, run: Runtime, *, most: int = 5000) -> Tensor:
    """Up to `most` images as the networks see them, in their order, on the CPU ``n images -> (m, ...)``.

    For what is measured once: mean and spread of the input, distances between images.
    """
    some = np.sort(torch.randperm(len(images), generator=generator)[:most].numpy())
    return pixels(images, some, run).cpu()


def view_strength(
    given: float | str, images: Images, generator: torch.Generator, run: Runtime, *, x: Tensor | None = None
) -> float:
    """How strong views are, 0 to 1: as given or, for "auto", as `kinfold.data.views.strength_within` measures it.

    On `x`, where some of the images have been read already.
    """
    if given != "auto":
        return float(given)
    if x is None:
        x = pixels(images, torch.randperm(len(images), generator=generator)[:10_000].numpy(), run).cpu()
    return strength_within(x, generator)


def flat(images: Images) -> np.ndarray[Any, np.dtype[np.float32]]:
    """All images as the networks see them, one row each, for distances between them ``n images -> (n, d)``."""
    rows = np.asarray(images.pixels).reshape(len(images), -1).astype(np.float32)
    return rows / np.float32(255) if images.pixels.dtype == np.uint8 else rows


def embed(
    net: nn.Module, images: Images, run: Runtime, *, index: Index | None = None, batch_size: int = 1000
) -> Tensor:
    """Features of all images, in evaluation mode and without gradients, ``n images -> (n, d)`` float32 on the CPU.

    Parameters
    ----------
    net
        Maps a batch to ``(b, d)``.
    index
        Which images, in which order; None takes all.
    batch_size
        Images at a time. Processes take whole batches in turn, so the result is the same for any number of them.

    Raises
    ------
    KinfoldError
        If they are not finite: what comes after would blame the images.

    Examples
    --------
    >>> from kinfold.data.images import as_images
    >>> images = as_images(np.zeros((3, 8, 8), dtype=np.uint8))
    >>> embed(nn.Flatten(), images, Runtime(device="cpu")).shape
    torch.Size([3, 64])
    """
    index = np.arange(len(images)) if index is None else np.asarray(index, dtype=np.int64)
    starts = range(0, len(index), batch_size)
    own = starts[run.rank :: run.world]
    training = net.training
    net.eval()
    features: Tensor | None = None
    try:
        for start in own:
            rows = index[start : start + batch_size]
            with torch.inference_mode(), run.autocast():
                part = net(pixels(images, rows, run)).reshape(len(rows), -1)
            if not bool(torch.isfinite(part).all()):
                raise KinfoldError("the features became NaN or infinite; lower the learning rate or scale the input.")
            if features is None:
                features = torch.zeros(len(index), part.shape[1])
            features[start : start + len(rows)] = part
    finally:
        net.train(training)
    return _complete(features, len(index), run)


def _complete(features: Tensor | None, n: int, run: Runtime) -> Tensor:
    """Join the rows that the processes computed; rows of others are zero, so their sum is exact."""
    if run.world == 1:
        return torch.zeros(n, 0) if features is None else features
    # A process may have had no batch, and then does not know d; the first always has one.
    width = run.agree(0 if features is None else features.shape[1])
    whole = torch.zeros(n, width) if features is None else features
    return run.sum(run.to(whole)).cpu()


def through(front: nn.Module, images: Images, run: Runtime, *, cache: str) -> Images:
    """What a network's fixed first part makes of the images, computed once ``-> n images or n vectors``.

    Parameters
    ----------
    front
        Never trained. Bytes stay bytes where it gives images, else the result is float32.
    cache
        File name in the run folder, so that a run that goes on does not compute it again.

    A first part that does nothing gives the images as they are.
    """
    if isinstance(front, nn.Identity):
        return images
    path = run.cache(cache)
    # The first process decides for all: another may come so late that the file is there already.
    if path is not None and run.agree(int(path.is_file())):
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        return Images(found, names=images.names, labels=images.labels, source=images.source)
    front = run.to(front).eval()
    starts = range(0, len(images), 256)
    run.progress.phase("looking through the fixed first layers", len(images))
    parts = []
    for start in starts:
        rows = np.arange(start, min(start + 256, len(images)))
        with torch.inference_mode(), run.autocast():
            part = front(pixels(images, rows, run)).float().cpu()
        bytes_stay = part.ndim == 4 and images.pixels.dtype == np.uint8
        parts.append((part * 255).round_().to(torch.uint8).numpy() if bytes_stay else part.numpy())
        run.progress.advance(len(rows))
    run.progress.done()
    whole = np.concatenate(parts)
    if path is not None and run.is_main:
        content = io.BytesIO()
        np.save(content, whole, allow_pickle=False)
        write_bytes(path, content.getvalue())
    run.wait()
    return Images(whole, names=images.names, labels=images.labels, source=images.source)


class Looking(Protocol):
    """A network whose first part never learns: `kinfold.nn.backbones.Network`, or one with two heads."""

    front: nn.Module
    pretrained: str | None


def prepared(net: Looking, images: Images, run: Runtime, *, instead: str = "convnet") -> Images:
    """What a network's first part makes of the images, once for all rounds; a pretrained one is not used in silence.

    Parameters
    ----------
    instead
        The backbone that trains from scratch, for the sentence that says so.
    """
    if net.pretrained:
        run.progress.say(
            f"looking with {net.pretrained}, pretrained on other images; backbone={instead!r} does without."
        )
    return through(net.front, images, run, cache="seen.npy")


def passes_over(n: int, *, fewest: int, most: int, seen: int = 300_000) -> int:
    """Passes over n images that show about `seen` of them, so that a small set is looked at often enough.

    Examples
    --------
    >>> [passes_over(n, fewest=10, most=30) for n in (500, 15_000, 70_000)]
    [30, 20, 10]
    """
    return min(max(seen // n, fewest), most)


def half_cosine(done: float, *, last: float = 0.0) -> float:
    """Share of the full learning rate after this share of a run: from 1 along half a cosine to `last`.

    Examples
    --------
    >>> half_cosine(0.0), half_cosine(1.5, last=0.25)
    (1.0, 0.25)
    """
    return last + (1 - last) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def fall_at_the_end(done: float, part: float) -> float:
    """Share of the full learning rate after this share of a run: 1, then half a cosine to 0 over the last `part`.

    Examples
    --------
    >>> fall_at_the_end(0.4, 0.5), round(fall_at_the_end(0.75, 0.5), 3), fall_at_the_end(1.0, 0.0)
    (1.0, 0.5, 1.0)
    """
    left = (1 - done) / part if part > 0 else 1.0
    return 1.0 if left >= 1 else 0.5 * (1 - math.cos(math.pi * left))


def set_rate(optimizer: Optimizer | None, rate: float) -> None:
    """Let all weights learn at this rate from now on; without an optimiser nothing learns."""
    for group in optimizer.param_groups if optimizer is not None else ():
        group["lr"] = rate


def fit_epoch(
    state: Trainable,
    images: Images,
    loss: Loss,
    run: Runtime,
    *,
    batches: Iterable[Index],
    view: View | None = None,
    passes: float = 1.0,
) -> float:
    """Make one pass over `batches`, one optimiser step a batch, and return the mean loss.

    Parameters
    ----------
    state
        Its network is trained by its optimiser.
    loss
        ``loss(net, index, x) -> scalar``. `index` is the global batch; `x` is this process's share of it, so the loss
        calls ``run.gather(net(x))`` for what it computes over the batch.
    batches
        Positions of images, ``(b,)`` int64, one array a global batch.
    view
        ``view(x, generator) -> x``, drawn for the global batch so that the draws do not depend on the processes.
    passes
        How often the batches of a round come to every image, for the time left.

    Raises
    ------
    KinfoldError
        If a loss is not finite.
    """
    optimizer = state.optimizer
    if optimizer is None:
        raise KinfoldError("the state has no optimizer, so there is nothing to step; make one in _start.")
    state.net.train()
    total, count = 0.0, 0
    for batch in batches:
        index = np.asarray(batch, dtype=np.int64)
        if view is None:
            x = pixels(images, run.share(index), run)
        else:
            x = run.share(view(pixels(images, index, run), state.generator))
        optimizer.zero_grad(set_to_none=True)
        with run.autocast(training=x.ndim == 4):
            value = loss(state.net, index, x)
        amount = float(value.detach())
        if not math.isfinite(amount):
            raise KinfoldError(
                f"the loss became {amount} in round {state.round + 1}; lower the learning rate or scale the input."
            )
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total, count = total + amount, count + 1
        run.progress.partly(len(index) / (passes * len(images)))
    return total / count if count else 0.0
