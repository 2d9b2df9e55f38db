"""Orders of images: nothing lost, nothing twice in a pass, and members of a cluster together."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kinfold.data.sample import by_cluster, shuffled


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


def test_batches_are_full_and_as_many_as_asked() -> None:
    y = np.repeat(np.arange(50), 4)
    batches = list(by_cluster(y, 32, 2, 9, torch.Generator().manual_seed(0)))
    assert len(batches) == 9
    assert all(len(batch) == 32 for batch in batches)
    assert all(np.unique(y[batch], return_counts=True)[1].min() >= 2 for batch in batches)
