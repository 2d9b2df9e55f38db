"""Orders of images for training: shuffled, several members of each cluster together, evenly over clusters."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

Index = npt.NDArray[np.int64]


def seed_from(generator: torch.Generator) -> int:
    """A new seed, for what draws from numpy."""
    return int(torch.randint(2**31 - 1, (1,), generator=generator))


def in_batches(order: Index, batch_size: int) -> list[Index]:
    """Batches in this order, the last one shorter; one image alone, of which batch norm learns nothing, joins others.

    Examples
    --------
    >>> [len(batch) for batch in in_batches(np.arange(8), 3)], [len(batch) for batch in in_batches(np.arange(7), 3)]
    ([3, 3, 2], [3, 4])
    """
    cuts = range(batch_size, max(len(order) - (batch_size > 1), 1), batch_size)
    return np.split(order, list(cuts))


def shuffled(n: int, batch_size: int, generator: torch.Generator) -> Iterator[Index]:
    """One pass over n images in random order, in batches as `in_batches` makes them ``-> (b,), ...``."""
    yield from in_batches(torch.randperm(n, generator=generator).numpy(), batch_size)


def drawn(n: int, batch_size: int, n_batches: int, generator: torch.Generator) -> Iterator[Index]:
    """Batches each drawn anew from all n images, without repeats inside a batch ``-> (b,), ...``.

    Examples
    --------
    >>> [len(batch) for batch in drawn(5, 3, 4, torch.Generator())]
    [3, 3, 3, 3]
    """
    for _ in range(n_batches):
        yield torch.randperm(n, generator=generator)[:batch_size].numpy()


def full_batches(n: int, batch_size: int, n_batches: int, generator: torch.Generator, *, anew: bool) -> Iterator[Index]:
    """So many batches, all of one size: a shorter one would have shares and statistics of its own ``-> (b,), ...``.

    Parameters
    ----------
    anew : bool
        Draw each batch from all n images; else pass over them in random order, again as often as needed, and leave the
        left-over of a pass out.

    Examples
    --------
    >>> [len(batch) for batch in full_batches(5, 3, 2, torch.Generator(), anew=False)]
    [3, 3]
    """
    size, given = min(batch_size, n), 0
    while given < n_batches:
        for batch in drawn(n, size, n_batches, generator) if anew else _whole_batches(n, size, generator):
            if given < n_batches:
                given += 1
                yield batch


def _whole_batches(n: int, size: int, generator: torch.Generator) -> Iterator[Index]:
    """One pass in random order without its left-over ``-> (size,), ...``."""
    order = torch.randperm(n, generator=generator).numpy()
    yield from order[: n - n % size].reshape(-1, size)


def by_cluster(
    labels: npt.NDArray[np.integer], batch_size: int, per_cluster: int, n_batches: int, generator: torch.Generator
) -> Iterator[Index]:
    """Batches made of groups of `per_cluster` members of one cluster ``-> (b,), ...``.

    Every pass shuffles each cluster, cuts it into groups, shuffles the groups and deals them out; each image appears at
    most once a pass, whose unfinished last batch is left out. A random batch of thousands of small clusters would hold
    next to no two members of the same one.

    Parameters
    ----------
    labels : (n,) int
    batch_size : int
        A batch ends when it has at least this many images.
    per_cluster : int
        Members of a cluster that come together; a single left-over joins the group before.
    n_batches : int
        How many batches to give, starting new passes as needed.

    Examples
    --------
    >>> batches = by_cluster(np.array([0, 0, 1, 1]), 2, 2, 3, torch.Generator().manual_seed(0))
    >>> [len(b) for b in batches]
    [2, 2, 2]
    """
    given = 0
    while given < n_batches:
        batch: list[Index] = []
        count = 0
        for group in _groups(labels, per_cluster, generator):
            batch.append(group)
            count += len(group)
            if count >= min(batch_size, len(labels)):
                yield np.concatenate(batch)
                given += 1
                batch, count = [], 0
                if given == n_batches:
                    return


def _groups(labels: npt.NDArray[np.integer], per_cluster: int, generator: torch.Generator) -> list[Index]:
    n = len(labels)
    shuffle = torch.randperm(n, generator=generator).numpy()
    order = shuffle[np.argsort(labels[shuffle], kind="stable")]
    ordered = labels[order]
    new_cluster = np.r_[True, ordered[1:] != ordered[:-1]]
    first = np.maximum.accumulate(np.where(new_cluster, np.arange(n), 0))
    rank = np.arange(n) - first  # place within the own cluster
    begins = rank % per_cluster == 0
    last = np.r_[begins[1:], True]
    begins &= ~(last & (rank > 0) & (per_cluster > 1))  # a left-over of one joins the group before
    cuts = np.flatnonzero(begins)
    groups = np.split(order, cuts[1:])
    return [groups[i] for i in torch.randperm(len(groups), generator=generator).tolist()]


def even(n: int, batch_size: int, generator: torch.Generator | None) -> Iterator[Index]:
    """One pass over n images in batches of nearly equal size, at most `batch_size` ``-> (b,), ...``.

    No batch is a left-over of a few images, whose statistics would be noise.

    Parameters
    ----------
    generator
        Shuffles; None keeps the stored order.

    Examples
    --------
    >>> [len(batch) for batch in even(10, 4, None)]
    [4, 3, 3]
    """
    order = np.arange(n) if generator is None else torch.randperm(n, generator=generator).numpy()
    yield from np.array_split(order, -(-n // batch_size))


def stand_ins(index: Index, positives: Index, generator: torch.Generator, *, share: float = 1.0) -> Index:
    """For each of these images one of its neighbours ``(b,), (n, m) -> (b,)``; itself where none are known.

    Parameters
    ----------
    positives : (n, m)
        Neighbours of all images.
    share : float
        Of the images that a neighbour takes the place of; the others stay.

    Examples
    --------
    >>> stand_ins(np.array([2, 0]), np.array([[1], [2], [0]]), torch.Generator())
    array([0, 1])
    """
    if not positives.shape[1]:
        return index
    moved = (torch.rand(len(index), generator=generator) < share).numpy() if share < 1 else np.ones(len(index), bool)
    place = torch.randint(positives.shape[1], (len(index),), generator=generator).numpy()
    return np.where(moved, positives[index, place], index)


def evenly(labels: npt.NDArray[np.int64], size: int, generator: torch.Generator, *, released: bool = False) -> Index:
    """Draw images evenly over their labels ``(n,) -> (size,)``; DeepCluster, Caron et al. 2018.

    Every cluster gives ``size // k + 1`` images, with repetition where it has no more than that; the whole is shuffled
    and cut.

    Parameters
    ----------
    labels : (n,) int64
    size : int
    released : bool
        As DeepCluster's released code: the drawn positions are looked up in the list of images that stands in the order
        of the clusters, so that a drawn image is another one than was meant, and nothing is even.

    Examples
    --------
    >>> labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    >>> np.bincount(labels[evenly(labels, 1000, torch.Generator())]) // 10
    array([50, 50])
    """
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    each = size // len(counts) + 1
    drawn = []
    for members in np.split(order, np.cumsum(counts)[:-1]):
        if len(members) <= each:
            chosen = torch.randint(len(members), (each,), generator=generator)
        else:
            chosen = torch.randperm(len(members), generator=generator)[:each]
        drawn.append(members[chosen.numpy()])
    whole = np.concatenate(drawn)
    whole = whole[torch.randperm(len(whole), generator=generator).numpy()[:size]]
    return np.asarray(order[whole] if released else whole, dtype=np.int64)
