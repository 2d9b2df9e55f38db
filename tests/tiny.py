"""The smallest real algorithm: k-means labels, and a loss that pulls images to the centre of their cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn

from kinfold.data.images import Images
from kinfold.estimator import DeepClusterer, Record, State
from kinfold.runtime import Runtime
from kinfold.train import embed, fit_epoch


@dataclass
class TinyState(State):
    """A state with one field of each kind a checkpoint holds."""

    centres: Tensor | None = None
    seen: list[int] = field(default_factory=list)
    moments: dict[str, Any] = field(default_factory=dict)


class Nearest(nn.Module):
    """Softmax over the distances to the centres."""

    def __init__(self, centres: Tensor) -> None:
        super().__init__()
        self.register_buffer("centres", centres)

    def forward(self, features: Tensor) -> Tensor:
        distances = (features.double()[:, None] - self.centres.double()).square().sum(2)
        return torch.softmax(-distances, 1)


class Double(nn.Module):
    """Float64 from here on, ``(b, ...) -> (b, ...)``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.double()


class Tiny(DeepClusterer):
    """k-means on the output of a small network, which is trained between the rounds.

    >>> Tiny(n_clusters=2, random_state=0).fit([[0.0, 1.0], [0.1, 1.0], [5.0, 0.0], [5.1, 0.0]]).n_clusters_
    2
    """

    _presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"default": {}, "wide": {}}

    def __init__(
        self,
        n_clusters: int = 3,
        *,
        preset: str = "default",
        n_rounds: int = 3,
        batch_size: int = 32,
        dropout: float = 0.0,
        double: bool = False,
        pause: float = 0.0,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.preset = preset
        self.n_rounds = n_rounds
        self.batch_size = batch_size
        self.dropout = dropout
        self.double = double
        self.pause = pause
        self.random_state = random_state

    @classmethod
    def _small(cls) -> dict[str, Any]:
        return {"n_clusters": 3, "n_rounds": 2}

    def _start(self, images: Images, run: Runtime) -> TinyState:
        generator = self._generator()
        net = self._network(images.shape)
        if self.double:  # whoever compares sums in another order wants more digits
            net = nn.Sequential(Double(), net.double())
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9)
        labels = np.zeros(len(images), dtype=np.int64)
        return TinyState(net, optimizer, generator, labels, planned=self.n_rounds)

    def _round(self, state: State, images: Images, run: Runtime) -> Record:
        assert isinstance(state, TinyState)
        features = embed(state.net, images, run)
        seed = int(torch.randint(2**31 - 1, (1,), generator=state.generator))
        means = KMeans(self.n_clusters, n_init=1, random_state=seed).fit(features.numpy())
        state.labels = means.labels_.astype(np.int64)
        state.centres = torch.from_numpy(means.cluster_centers_.astype(np.float32))
        centres, labels = state.centres, torch.from_numpy(state.labels)

        def loss(net: nn.Module, index: Any, x: Tensor) -> Tensor:
            time.sleep(self.pause)
            out = run.gather(net(x))
            near = (out - centres[labels[index]]).square().mean()
            return near - 0.1 * torch.log(out.var(0).mean() + 1e-6)

        value = fit_epoch(state, images, loss, run, batches=self._batches(state, len(images)))
        state.seen.append(state.round)
        state.moments = {"mean": features.mean(0), "rounds": np.arange(state.round)}
        return Record(loss=value, n_clusters=self.n_clusters)

    def _batches(self, state: TinyState, n: int) -> Iterator[np.ndarray[Any, Any]]:
        order = torch.randperm(n, generator=state.generator).numpy()
        yield from np.array_split(order, max(n // self.batch_size, 1))

    def _done(self, state: State) -> bool:
        return state.round >= self.n_rounds

    def _assign(self, state: State) -> nn.Module:
        assert state.features is not None
        labels = torch.from_numpy(state.labels)
        known = state.features
        return Nearest(torch.stack([known[labels == k].mean(0) for k in range(int(labels.max()) + 1)]))

    def _network(self, shape: tuple[int, ...]) -> nn.Module:
        # A bias before a batch norm has no gradient but rounding errors.
        d = int(np.prod(shape))
        width = 16 if self.preset == "wide" else 8
        if len(shape) == 3:
            inner = (shape[1] - 2) * (shape[2] - 2)
            convolution = [nn.Conv2d(shape[0], width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            return nn.Sequential(*convolution, nn.Dropout(self.dropout), nn.Flatten(), nn.Linear(width * inner, 4))
        return nn.Sequential(
            nn.Flatten(), nn.Linear(d, width, bias=False), nn.BatchNorm1d(width), nn.LeakyReLU(), nn.Linear(width, 4)
        )
