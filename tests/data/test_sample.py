"""Orders of images: nothing lost, nothing twice in a pass, and members of a cluster together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfold.data.sample import by_cluster, evenly, full_batches, shuffled, stand_ins


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 60), size=st.integers(1, 20))
def test_a_pass_holds_every_image_once(n: int, size: int) -> None:
    order = np.concatenate(list(shuffled(n, size, torch.Generator().manual_seed(0))))
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


@settings(max_examples=50, deadline=None)
@given(
    labels=st.lists(st.integers(0, 6), min_size=2, max_size=60), per_cluster=st.integers(1, 5), seed=st.integers(0, 9)
)
def test_a_pass_by_cluster_holds_every_image_once(labels: list[int], per_cluster: int, seed: int) -> None:
    """A batch of n is a pass: the groups of one pass are a partition, in which only lone images are alone."""
    y = np.array(labels)
    generator = torch.Generator().manual_seed(seed)
    (batch,) = by_cluster(y, len(y), per_cluster, 1, generator)
    np.testing.assert_array_equal(np.sort(batch), np.arange(len(y)))
    if per_cluster > 1:
        for place, image in enumerate(batch):
            company = {y[batch[other]] for other in (place - 1, place + 1) if 0 <= other < len(batch)}
            assert y[image] in company or (y == y[image]).sum() == 1


def test_whole_batches_hold_all_but_the_left_over() -> None:
    for n, size in ((7, 3), (8, 3), (9, 3), (6, 6)):
        batches = list(full_batches(n, size, n // size, torch.Generator().manual_seed(0), anew=False))
        assert [len(batch) for batch in batches] == [size] * (n // size)
        assert len(np.unique(np.concatenate(batches))) == size * (n // size)


def test_batches_are_full_and_as_many_as_asked() -> None:
    y = np.repeat(np.arange(50), 4)
    batches = list(by_cluster(y, 32, 2, 9, torch.Generator().manual_seed(0)))
    assert len(batches) == 9
    assert all(len(batch) == 32 for batch in batches)
    assert all(np.unique(y[batch], return_counts=True)[1].min() >= 2 for batch in batches)


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(1, 60), min_size=1, max_size=6), size=st.integers(10, 400), seed=st.integers(0, 9))
def test_every_cluster_is_drawn_as_often(counts: list[int], size: int, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    drawn = evenly(labels, size, torch.Generator().manual_seed(seed))
    assert len(drawn) == size
    found = np.bincount(labels[drawn], minlength=len(counts))
    assert found.max() <= size // len(counts) + 1  # cut at random, so short of it by chance only
    assert found.sum() == size


def test_the_released_sampler_is_not_even() -> None:
    """Clusters of 900 and 100 images: half and half is meant, nine to one comes out."""
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1], [900, 100]))
    shares = [
        (labels[evenly(labels, 1000, torch.Generator().manual_seed(0), released=released)] == 1).mean()
        for released in (False, True)
    ]
    assert abs(shares[0] - 0.5) < 0.01
    assert shares[1] < 0.2


def test_empty_clusters_are_passed_over() -> None:
    labels = np.array([0, 0, 5, 5])
    assert set(labels[evenly(labels, 40, torch.Generator())].tolist()) == {0, 5}


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_neighbours_take_the_place_of_their_share(share: float) -> None:
    index = np.arange(0, 1000, 2)
    near = np.arange(1000)[:, None] * 10_000 + np.arange(1, 4)  # of image i: i0001, i0002, i0003
    found = stand_ins(index, near, torch.Generator(), share=share)
    taken = found != index
    assert abs(taken.mean() - share) < 0.1
    assert (found[taken] // 10_000).tolist() == index[taken].tolist()
    assert set(found[taken] % 10_000) == {1, 2, 3}
    assert stand_ins(index, near[:, :0], torch.Generator()).tolist() == index.tolist()
