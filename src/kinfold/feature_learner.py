"""What algorithms have in common that learn features first and find the clusters in them with k-means.

RotNet, SimCLR and ClusterFit differ in what they teach a network; how the network is made, looked with after every
epoch and asked for the clusters of new images is the same, and stands here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from kinfold.data.images import Images
from kinfold.data.sample import seed_from, shuffled
from kinfold.estimator import DeepClusterer, State
from kinfold.nn.backbones import Network, measure, network
from kinfold.nn.heads import NearestCentre
from kinfold.ops.kmeans import kmeans
from kinfold.runtime import Runtime
from kinfold.train import embed, half_cosine, prepared, sampled, set_rate

N_FEATURES = 160
STARTS = 5  # of k-means, of which the best counts

S = TypeVar("S", bound=State)


@dataclass
class CountedState(State):
    """A state that counts its optimiser steps, for a learning rate that falls with them."""

    step: int = 0


class FeatureLearner(DeepClusterer[S]):
    """Learns features; clusters are those of k-means on them. For subclasses, which state their own parameters."""

    n_clusters: int | None
    backbone: str
    n_epochs: int
    batch_size: int
    learning_rate: float
    width: int
    largest_side: int | None

    @classmethod
    def _small(cls) -> dict[str, Any]:
        return {"n_clusters": 3, "n_epochs": 2, "batch_size": 20, "width": 8}

    def _prepare(self, images: Images, run: Runtime) -> Images:
        """Frozen features or smaller images, computed once."""
        return prepared(self._network(images.shape), images, run)

    def _done(self, state: S) -> bool:
        return state.round >= self.n_epochs

    def _assign(self, state: State) -> nn.Module:
        """The nearest centre."""
        return NearestCentre.of(cast(Tensor, state.features), state.labels)

    def _network(self, shape: tuple[int, ...]) -> Network:
        return network(self.backbone, shape, width=self.width, largest_side=self.largest_side, n_features=N_FEATURES)

    def _fresh(self, images: Images, generator: torch.Generator, run: Runtime) -> Network:
        """A network that knows mean and spread of its input, and nothing else."""
        net = self._network(self._raw_shape)
        measure(net, sampled(images, generator, run))
        return net

    def _cluster(self, state: S, images: Images, run: Runtime) -> None:
        """Labels by k-means on the features as they are now; the last features are kept."""
        features = embed(state.net, images, run)
        seed = seed_from(state.generator)
        state.labels = kmeans(features.numpy(), self._k, n_starts=STARTS, seed=seed, run=run).labels
        if state.round + 1 == self.n_epochs:
            state.features = features

    def _falling(self, state: CountedState, n: int) -> Iterator[npt.NDArray[np.int64]]:
        """Batches of an epoch, none of a single image; the rate falls along a cosine on the way, step by step."""
        total = self.n_epochs * math.ceil(n / self.batch_size)
        for batch in shuffled(n, self.batch_size, state.generator):
            set_rate(state.optimizer, self.learning_rate * half_cosine(state.step / total))
            state.step += 1
            if len(batch) > 1:  # batch norm has nothing to say about a single row, and one image has no other
                yield batch

    @property
    def _k(self) -> int:
        return cast(int, self.n_clusters)
