"""From features to clusters, as modules that predict and export: learnt heads, and the vote of the nearest images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


class WithHead(nn.Module):
    """A trunk and a head on it; the output is the trunk's, the embedding ``(b, c, h, w) -> (b, d)``.

    Weights of both are saved together, so a loaded network still knows its clusters.

    Parameters
    ----------
    trunk : nn.Module
        ``(b, ...) -> (b, d)``.
    head : nn.Module
        ``(b, d) -> (b, k)`` logits.

    Examples
    --------
    >>> net = WithHead(nn.Flatten(), nn.Linear(4, 3))
    >>> x = torch.zeros(2, 1, 2, 2)
    >>> net(x).shape, net.logits(x).shape, net.probabilities(net(x)).shape
    (torch.Size([2, 4]), torch.Size([2, 3]), torch.Size([2, 3]))
    """

    def __init__(self, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.trunk(x)
        return features

    def logits(self, x: Tensor) -> Tensor:
        """Head on trunk ``(b, ...) -> (b, k)``."""
        scores: Tensor = self.head(self.trunk(x))
        return scores

    def probabilities(self, features: Tensor) -> Tensor:
        """Softmax of the head ``(b, d) -> (b, k)``."""
        scores: Tensor = self.head(features)
        return scores.float().softmax(1)


class Heads(nn.Module):
    """Several linear heads on the same features, of which one answers ``(b, d) -> (b, k)`` logits.

    Heads that start apart end in different optima of one loss; the best is chosen by that loss, without labels.

    Parameters
    ----------
    n_features, n_clusters, n_heads : int
    gain : float
        What features are multiplied by: of unit length they need it, or logits stay small for long.

    Attributes
    ----------
    chosen : () int64
        The head that answers; saved with the weights.

    Examples
    --------
    >>> heads = Heads(4, 3, 5)
    >>> heads(torch.zeros(2, 4)).shape, heads.all(torch.zeros(2, 4)).shape, heads.answering()
    (torch.Size([2, 3]), torch.Size([2, 5, 3]), Linear(in_features=4, out_features=3, bias=True))
    """

    chosen: Tensor

    def __init__(self, n_features: int, n_clusters: int, n_heads: int = 1, *, gain: float = 1.0) -> None:
        super().__init__()
        self.n_clusters, self.n_heads, self.gain = n_clusters, n_heads, gain
        self.linear = nn.Linear(n_features, n_clusters * n_heads)
        self.register_buffer("chosen", torch.zeros((), dtype=torch.int64))

    def forward(self, features: Tensor) -> Tensor:
        return self.all(features)[:, int(self.chosen)]

    def all(self, features: Tensor) -> Tensor:
        """Logits of every head ``(b, d) -> (b, h, k)``, in float32."""
        logits: Tensor = self.linear(features * self.gain)
        return logits.float().view(-1, self.n_heads, self.n_clusters)

    def answering(self) -> nn.Linear:
        """The chosen head as a layer of its own ``(b, d) -> (b, k)``."""
        start = int(self.chosen) * self.n_clusters
        rows = slice(start, start + self.n_clusters)
        layer: nn.Linear = nn.utils.skip_init(nn.Linear, self.linear.in_features, self.n_clusters)  # type: ignore[no-untyped-call]
        layer.load_state_dict({"weight": self.linear.weight[rows] * self.gain, "bias": self.linear.bias[rows]})
        return layer.to(self.linear.weight.device)


class NearestCentre(nn.Module):
    """Probability of each cluster by the distance to its centre ``(b, d) -> (b, k)``.

    ``softmax(-d^2 / gap)``, where gap is the median lead of the nearest centre over the next among the fitted images:
    such an image has odds of e.

    Parameters
    ----------
    centres : (k, d)
    used : (k,) bool
        A cluster that is not used has probability zero.
    gap : float

    Examples
    --------
    >>> features, labels = torch.tensor([[0.0], [0.2], [5.0], [5.2]]), np.array([0, 0, 1, 1])
    >>> NearestCentre.of(features, labels)(torch.tensor([[0.3], [4.0]])).argmax(1)
    tensor([0, 1])
    """

    centres: Tensor
    used: Tensor

    def __init__(self, centres: Tensor, used: Tensor, gap: float) -> None:
        super().__init__()
        self.register_buffer("centres", centres)
        self.register_buffer("used", used)
        self.gap = max(gap, 1e-6)

    @classmethod
    def of(cls, features: Tensor, labels: npt.NDArray[np.int64], *, most: int = 5000) -> NearestCentre:
        """Centres of fitted images ``(n, d), (n,)``; the gap is that of an even sample of at most `most`."""
        chosen = torch.from_numpy(labels)
        k = int(labels.max(initial=0)) + 1
        sums = torch.zeros(k, features.shape[1], dtype=torch.float64).index_add_(0, chosen, features.double())
        counts = torch.bincount(chosen, minlength=k)
        centres, used, gap = (sums / counts.clamp(min=1)[:, None]).float(), counts > 0, 1.0
        if int(used.sum()) > 1:
            some = features[:: max(1, -(-len(features) // most))].double()
            nearest = torch.cdist(some, centres[used].double()).square().topk(2, dim=1, largest=False).values
            gap = float((nearest[:, 1] - nearest[:, 0]).median())
        return cls(centres, used, gap)

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        squared = x.square().sum(1, keepdim=True) + self.centres.square().sum(1) - 2 * x @ self.centres.T
        return (-squared / self.gap).masked_fill(~self.used, -torch.inf).softmax(1)


class NeighborVote(nn.Module):
    """Probability of each cluster by a weighted vote of the nearest fitted images ``(b, d) -> (b, k)``.

    A neighbour at squared distance d^2 weighs exp(-d^2 / bandwidth); one pseudo-vote a cluster, at the distance of
    its centre, keeps images far from everything undecided. Our own addition: JULE's released code assigns no new image.

    Parameters
    ----------
    features : (n, d) float32
        Fitted images.
    labels : (n,) int64
        Their clusters.
    n_clusters : int
    n_neighbors : int
        Voters.
    bandwidth : float
        Squared distance at which a vote has lost a factor e; four times the mean squared distance of fitted images to
        their centre when None, so that an image between two clusters hears both.
    """

    features: Tensor
    votes: Tensor
    centres: Tensor

    def __init__(
        self,
        features: Tensor,
        labels: Tensor,
        n_clusters: int,
        *,
        n_neighbors: int = 20,
        bandwidth: float | None = None,
    ) -> None:
        super().__init__()
        self.n_neighbors = min(n_neighbors, len(features))
        self.register_buffer("features", features.float())
        self.register_buffer("votes", nn.functional.one_hot(labels.long(), n_clusters).float())
        count = self.votes.sum(0).clamp(min=1)[:, None]
        self.register_buffer("centres", self.votes.T @ features.float() / count)
        if bandwidth is None:
            bandwidth = 4 * float((self.features - self.centres[labels.long()]).square().sum(1).mean())
        self.bandwidth = max(bandwidth, 1e-12)

    @classmethod
    def of(
        cls,
        features: Tensor,
        labels: npt.NDArray[np.int64],
        *,
        n_neighbors: int,
        n_clusters: int | None = None,
        most: int = 20000,
    ) -> NeighborVote:
        """Vote of fitted images; where there are more than `most`, of that share of each cluster, at least of one."""
        by_cluster = np.argsort(labels, kind="stable")
        firsts = np.unique(labels, return_index=True)[1]
        chosen = np.union1d(by_cluster[:: max(1, -(-len(labels) // most))], firsts)
        votes = torch.from_numpy(labels[chosen])
        n_clusters = n_clusters or int(labels.max()) + 1
        return cls(features[torch.from_numpy(chosen)], votes, n_clusters, n_neighbors=n_neighbors)

    @staticmethod
    def _squared(x: Tensor, y: Tensor) -> Tensor:
        return (x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * x @ y.T).clamp(min=0)

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        near = self._squared(x, self.features).topk(self.n_neighbors, dim=1, largest=False)
        # Relative to the nearest voter, so that an image far from all still gets numbers that add up.
        centre = self._squared(x, self.centres) / self.bandwidth
        voters = near.values / self.bandwidth
        shift = torch.minimum(voters[:, :1], centre.min(1, keepdim=True).values)
        weight = torch.exp(shift - voters)
        mass = (weight[:, :, None] * self.votes[near.indices]).sum(1) + torch.exp(shift - centre)
        return mass / mass.sum(1, keepdim=True)
