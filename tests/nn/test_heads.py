"""The vote of the nearest fitted images, and the nearest centre."""

from __future__ import annotations

import numpy as np
import torch

from kinfold.nn.heads import NearestCentre, NeighborVote


def groups() -> tuple[torch.Tensor, np.ndarray]:  # type: ignore[type-arg]
    generator = torch.Generator().manual_seed(0)
    labels = np.repeat(np.arange(3), 20)
    centres = torch.eye(3)
    return centres[torch.from_numpy(labels)] + 0.05 * torch.randn(60, 3, generator=generator), labels


def test_two_voters_by_hand() -> None:
    """Votes exp(0) and exp(-4) at bandwidth 1, and the pseudo-votes of the two centres at the same places."""
    vote = NeighborVote(torch.tensor([[0.0], [2.0]]), torch.tensor([0, 1]), 2, n_neighbors=2, bandwidth=1.0)
    share = 1 / (1 + np.exp(-4))
    torch.testing.assert_close(vote(torch.tensor([[0.0]])), torch.tensor([[share, 1 - share]], dtype=torch.float32))


def test_rows_add_up_and_members_go_home() -> None:
    features, labels = groups()
    probabilities = NeighborVote.of(features, labels, n_neighbors=5)(features)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(60))
    np.testing.assert_array_equal(probabilities.argmax(1).numpy(), labels)


def test_the_middle_is_less_sure_than_a_centre() -> None:
    features, labels = groups()
    vote = NeighborVote.of(features, labels, n_neighbors=10)
    middle = vote(torch.tensor([[0.5, 0.5, 0.0]])).max()
    centre = vote(torch.tensor([[1.0, 0.0, 0.0]])).max()
    assert float(middle) < float(centre)


def test_many_images_are_sampled_and_one_is_enough() -> None:
    features, labels = groups()
    vote = NeighborVote.of(features, labels, n_neighbors=5, most=30)
    assert len(vote.features) == 30
    n, k = 400, 8  # cluster by cluster in turns, so that every step-th image is of the same few
    corners = torch.eye(k).repeat(n // k, 1)
    vote = NeighborVote.of(corners, np.arange(n) % k, n_neighbors=3, most=100)
    np.testing.assert_array_equal(vote(corners).argmax(1), np.arange(n) % k)
    rare = np.append(np.zeros(n - 1, dtype=np.int64), 1)  # a cluster smaller than the share
    vote = NeighborVote.of(torch.cat([corners[:-1] * 0, corners[-1:]]), rare, n_neighbors=3, most=100)
    assert vote.votes.sum(0).tolist() == [99.0, 1.0] or vote.votes.sum(0).tolist() == [100.0, 1.0]
    single = NeighborVote.of(features[:1], labels[:1], n_neighbors=5)
    torch.testing.assert_close(single(features[:2]), torch.ones(2, 1))


def test_far_away_is_still_a_distribution() -> None:
    features, labels = groups()
    row = NeighborVote.of(features, labels, n_neighbors=5)(torch.full((1, 3), 1e4))
    assert bool(torch.isfinite(row).all())
    torch.testing.assert_close(row.sum(), torch.tensor(1.0))


def test_the_nearest_centre_by_hand() -> None:
    """Centres 0 and 4, no image of cluster 1; the leads are 24, 8, 8 and 24, their lower median 8."""
    features, labels = torch.tensor([[-1.0], [1.0], [3.0], [5.0]]), np.array([0, 0, 2, 2])
    found = NearestCentre.of(features, labels)(torch.tensor([[1.0], [1e4]]))
    odds = float(np.e)  # squared distances 1 and 9 at the gap of 8
    np.testing.assert_allclose(found[0], [odds / (1 + odds), 0, 1 / (1 + odds)], rtol=1e-5)
    torch.testing.assert_close(found.sum(1), torch.ones(2))
    assert int(found[1].argmax()) == 2


def test_fitted_images_are_nearest_to_their_own_centre() -> None:
    features, labels = groups()
    found = NearestCentre.of(features, labels)(features)
    np.testing.assert_array_equal(found.argmax(1).numpy(), labels)
    alike = NearestCentre.of(features[:1].repeat(3, 1), np.zeros(3, dtype=np.int64))(features[:2])
    torch.testing.assert_close(alike, torch.ones(2, 1))
