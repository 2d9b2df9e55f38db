"""Losses on triplets: by hand, against plain restatements in loss and gradient, and what they do not depend on."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.references.triplets import active_triplets, paper_loss, released_triplets

from kinfold.ops.triplets import affinity_triplets, bordering, sampled_triplets, told_apart, weighted_triplets


def sphere(n: int, d: int = 4, seed: int = 0) -> torch.Tensor:
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(x, dim=1).requires_grad_()


# -- a value worked out by hand ----------------------------------------------------------------------------------------


def test_one_triplet_by_hand() -> None:
    x = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    y = torch.tensor([0, 0, 1])
    # |a - p|^2 = 0.8; |a - n|^2 = 2; |p - n|^2 = 0.4: only (p, a, n) is active, 0.8 - 0.4 + 0.2.
    value = weighted_triplets(x, y, y, margin=0.2, gamma=1.0, generator=torch.Generator())
    torch.testing.assert_close(value, torch.tensor(0.6))


# -- loss and gradient against the restatement -------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=4, max_size=9),
    gamma=st.sampled_from([1.0, 2.0]),
    seed=st.integers(0, 99),
)
def test_weighted_triplets_equal_the_loops(labels: list[int], gamma: float, seed: int) -> None:
    far = [label // 2 for label in labels]
    for differs in (labels, far):
        x, z = sphere(len(labels), seed=seed), sphere(len(labels), seed=seed)
        ours = weighted_triplets(
            x, torch.tensor(labels), torch.tensor(differs), margin=0.2, gamma=gamma, generator=torch.Generator()
        )
        theirs = active_triplets(z, labels, differs, 0.2, gamma)
        torch.testing.assert_close(ours, theirs)
        ours.backward()
        theirs.backward()
        torch.testing.assert_close(tangent(x), tangent(z))


def tangent(x: torch.Tensor) -> torch.Tensor:
    """The part of a gradient along the sphere; the rest is lost in the normalisation."""
    assert x.grad is not None
    unit = x.detach()
    return x.grad - (x.grad * unit).sum(1, keepdim=True) * unit


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 2, 3, 3]])
def test_sampled_triplets_equal_the_loops(labels: list[int]) -> None:
    x, z = sphere(len(labels)), sphere(len(labels))
    n_negatives = min(20, len(set(labels)) - 1)
    n_pairs = sum(labels.count(c) * (labels.count(c) - 1) // 2 for c in set(labels))
    chance = torch.rand(n_pairs, len(labels), generator=torch.Generator().manual_seed(3))
    ours = sampled_triplets(x, torch.tensor(labels), margin=0.2, gamma=1.0, generator=torch.Generator().manual_seed(3))
    theirs = released_triplets(z, labels, chance.tolist(), n_negatives, 0.2, 1.0)
    torch.testing.assert_close(ours, theirs)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(tangent(x), tangent(z))


@pytest.mark.parametrize(("gamma", "share"), [(1.0, 0.0), (1.5, 0.5), (2.0, 1.0)])
def test_the_released_gradient_reaches_anchors_only(gamma: float, share: float) -> None:
    """Positives and negatives get (gamma - 1) times the true gradient; anchors all of it."""
    y = torch.tensor([0, 0, 1])  # one pair: image 0 is the anchor, 1 the positive, 2 the negative
    gradients = []
    for anchors_only in (False, True):
        x = sphere(3, seed=5)
        sampled_triplets(
            x, y, margin=2.0, gamma=gamma, generator=torch.Generator().manual_seed(0), anchors_only=anchors_only
        ).backward()
        gradients.append(tangent(x))
    true, released = gradients
    torch.testing.assert_close(released[0], true[0])
    torch.testing.assert_close(released[1:], share * true[1:])


def test_negatives_of_the_nearest_clusters_by_hand() -> None:
    """Clusters on a line at 0, 1 and 3: the first two border each other, the third borders the second, not back."""
    x = torch.tensor([[0.0], [0.2], [1.0], [1.0], [3.0]])
    y = torch.tensor([4, 4, 9, 9, 2])
    one = torch.tensor([[0, 0, 1, 1, 0], [0, 0, 1, 1, 0], [1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 0]])
    torch.testing.assert_close(bordering(x, y, 1).int(), one.int())
    for many in (2, 5):
        torch.testing.assert_close(bordering(x, y, many), y[:, None] != y)
    torch.testing.assert_close(bordering(x, torch.zeros(5, dtype=torch.int64), 3), torch.zeros(5, 5, dtype=torch.bool))


@pytest.mark.parametrize("n_nearest", [1, 2, 3])
def test_triplets_with_near_clusters_equal_the_loops(n_nearest: int) -> None:
    labels = [0, 0, 1, 1, 2, 2, 3]
    x, z = sphere(7, seed=3), sphere(7, seed=3)
    y = torch.tensor(labels)
    ours = weighted_triplets(x, y, y, margin=0.5, gamma=1.0, generator=torch.Generator(), n_nearest=n_nearest)
    theirs = active_triplets(z, labels, labels, 0.5, 1.0, n_nearest)
    torch.testing.assert_close(ours, theirs)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(tangent(x), tangent(z))
    assert float(ours.detach()) > 0


def test_affinity_triplets_equal_the_loops() -> None:
    labels = [0, 0, 1, 1, 1, 2]
    x, z = sphere(6), sphere(6)
    ours, theirs = affinity_triplets(x, torch.tensor(labels), gamma=2.0, n_local=3), paper_loss(z, labels, 2.0, 2)
    torch.testing.assert_close(ours, theirs)
    ours.backward()
    theirs.backward()
    torch.testing.assert_close(tangent(x), tangent(z))


def test_a_batch_without_pairs_costs_nothing() -> None:
    y = torch.arange(4)
    for value in (
        weighted_triplets(sphere(4), y, y, margin=0.2, gamma=1.0, generator=torch.Generator()),
        sampled_triplets(sphere(4), y, margin=0.2, gamma=1.0, generator=torch.Generator()),
        affinity_triplets(sphere(4), y, gamma=1.0, n_local=5),
    ):
        assert float(value.detach()) == 0.0


# -- invariances -------------------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(labels=st.lists(st.integers(0, 3), min_size=4, max_size=9), shift=st.integers(1, 5))
def test_names_of_clusters_do_not_matter(labels: list[int], shift: int) -> None:
    x = sphere(len(labels))
    y = torch.tensor(labels)
    first = weighted_triplets(x, y, y, margin=0.2, gamma=1.0, generator=torch.Generator())
    again = weighted_triplets(x, 9 - y, y + shift, margin=0.2, gamma=1.0, generator=torch.Generator())
    torch.testing.assert_close(first, again)


def test_rows_of_a_batch_find_their_other_view() -> None:
    """First views of three images, then second views: 0 with 3, 1 with 4, 2 with 5; images 0 and 1 share a cluster."""
    x = sphere(6).detach()
    cosines = x @ x.T / 0.3
    away = {0: [2, 5], 1: [2, 5], 2: [0, 1, 3, 4]}
    terms = [
        torch.logsumexp(cosines[row, [(row + 3) % 6, *away[row % 3]]], 0) - cosines[row, (row + 3) % 6]
        for row in range(6)
    ]
    torch.testing.assert_close(told_apart(x, torch.tensor([8, 8, 2] * 2)), torch.stack(terms).mean())
