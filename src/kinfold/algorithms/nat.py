"""NAT: noise as targets, and the form of it that clusters.

Bojanowski, Joulin, ICML 2017, arXiv 1704.05310 (``variant="sphere"``); Shiran, Weinshall, "Multi-Modal Deep
Clustering", ICPR 2020, arXiv 1912.02678 (``variant="clusters"``). Every image holds a target that was drawn before
anything was learnt. Training pulls images to their targets, and now and then the images of a batch exchange theirs so
that the pull is least. The targets, and so the features, cannot collapse.

"sphere" has one target an image, uniform on the sphere; clusters are k-means on the features. "clusters" has the k
corners of a simplex as targets, each held by n / k images; who holds which is the clustering. Towards its end the
targets are no longer exchanged but given by k-means on the outputs, so that clusters need not be equal. Differences:

- our networks for small images, without the fixed edge filter, dropout or sizes of the papers';
- views as strong in both variants as the second paper's, but images are not cropped to be evaluated: grey images
  are turned, moved and stretched about their own size;
- the exchange is solved exactly in floating point, where the first code rounded to integers;
- Adam with a falling rate in place of momentum with steps ("clusters"), and the mean over a batch in place of the sum;
- the last third of the epochs takes targets from k-means, in place of the last eighth;
- quarter turns are told apart in alternate epochs ("clusters") for colour images only: half of the digits look right
  either way up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from kinfold.data.images import Images
from kinfold.data.pretext import beside, quarter_turns, strong
from kinfold.data.sample import seed_from, shuffled
from kinfold.errors import InputError
from kinfold.estimator import DeepClusterer, Record, State
from kinfold.inputs import refuse_unknown
from kinfold.nn.backbones import Network, Sphere, measure, network
from kinfold.nn.heads import NearestCentre, WithHead
from kinfold.ops.assignment import best_assignment, renaming
from kinfold.ops.kmeans import kmeans
from kinfold.ops.rotation import together, turn_loss
from kinfold.parameters import refuse_no_count
from kinfold.runtime import Runtime
from kinfold.train import embed, fit_epoch, half_cosine, passes_over, prepared, sampled, set_rate

Labels = npt.NDArray[np.int64]
N_FEATURES = 160
FEWEST, MOST = 15, 100  # epochs, when they follow the set's size
GAIN = 10.0  # features and outputs have unit length; a softmax of them needs more room

VARIANTS: dict[str, dict[str, Any]] = {
    "clusters": {"reassign_every": 1, "learning_rate": 1e-3, "batch_size": 256},
    "sphere": {"reassign_every": 3, "learning_rate": 1e-3, "batch_size": 256},
}


@dataclass
class NatState(State):
    """What changes while NAT runs.

    Attributes
    ----------
    held : (n,) int64
        Target of every image: its cluster, or a row of `targets`.
    targets : (t, d) float32
        Corners or noise, of unit length.
    turns : Module or None
        Tells the four orientations from the features.
    step : int
        Optimiser steps so far, for the learning rate.
    """

    held: Labels | None = None
    targets: Tensor | None = None
    turns: nn.Module | None = None
    step: int = 0


class NAT(DeepClusterer[NatState]):
    """Cluster images by exchanging fixed targets between them.

    Parameters
    ----------
    n_clusters : int
        How many; there is no estimate.
    variant : {"clusters", "sphere"}
        Targets that are clusters of equal size, or noise on the sphere with k-means behind it.
    backbone : str
        "auto", "convnet", "perceptron", or a pretrained one, see `kinfold.nn.backbones.network`.
    image_size : int or (h, w), optional
        Resize images to this.
    n_target_dims : int
        Dimensions of the noise ("sphere"); 2048 in the paper.
    n_epochs : int, optional
        Passes in which targets pull, the last `n_refine` of them with targets from k-means; None gives small sets more,
        300,000 / n, between 15 and 100.
    n_refine : int, optional
        A third of the epochs for "clusters", none for "sphere".
    reassign_every : int, optional
        Targets are exchanged in every epoch of that number: 1 for "clusters", 3 for "sphere"; 0 never exchanges.
    rotation : bool or "auto"
        An epoch of telling quarter turns apart before each epoch; "auto" for colour images with "clusters".
    batch_size : int, optional
    learning_rate : float, optional
    view_strength : float
        Of the random view that is pulled, see `kinfold.data.pretext.strong`; the exchange sees images as they are.
    width : int
        Maps of each convolution.
    largest_side : int, optional
        Larger images are averaged down to this for the network.
    initial : str, Path, Clustering or state dict, optional
        Begin with the trunk of another run, see `kinfold.warm_start`.
    random_state : int, RandomState or None
        Seed.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> x = load_digits().images[:200].astype("float32") / 16
    >>> model = NAT(n_clusters=10, n_epochs=2, n_refine=1, random_state=0).fit(x)
    >>> model.labels_.shape, model.predict_proba(x[:3]).shape
    ((200,), (3, 10))
    """

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        variant: str = "clusters",
        backbone: str = "auto",
        image_size: int | tuple[int, int] | None = None,
        n_target_dims: int = 64,
        n_epochs: int | None = None,
        n_refine: int | None = None,
        reassign_every: int | None = None,
        rotation: bool | str = "auto",
        batch_size: int | None = None,
        learning_rate: float | None = None,
        view_strength: float = 1.0,
        width: int = 64,
        largest_side: int | None = 48,
        initial: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.variant = variant
        self.backbone = backbone
        self.image_size = image_size
        self.n_target_dims = n_target_dims
        self.n_epochs = n_epochs
        self.n_refine = n_refine
        self.reassign_every = reassign_every
        self.rotation = rotation
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.view_strength = view_strength
        self.width = width
        self.largest_side = largest_side
        self.initial = initial
        self.random_state = random_state

    @classmethod
    def _small(cls) -> dict[str, Any]:
        return {"n_clusters": 3, "n_epochs": 3, "n_refine": 1, "batch_size": 32, "width": 8, "rotation": True}

    def _prepare(self, images: Images, run: Runtime) -> Images:
        """Frozen features or smaller images, computed once."""
        self._check_choices(self._epochs(len(images)))
        return prepared(cast(Network, self._network(images.shape).trunk), images, run)

    # -- the four verbs ------------------------------------------------------------------------------------------------

    def _start(self, images: Images, run: Runtime) -> NatState:
        """Targets, dealt out at random, and a fresh network."""
        generator, n = self._generator(), len(images)
        net = self._network(self._raw_shape)
        measure(net, sampled(images, generator, run))
        targets = corners(self._k) if self._clusters else noise(n, self.n_target_dims, generator)
        held = torch.randperm(n, generator=generator).numpy()
        if self._clusters:
            held = held % self._k
        turns = nn.Linear(N_FEATURES, 4) if self._turning(images.shape) else None
        weights = [w for part in (net, turns) if part is not None for w in part.parameters() if w.requires_grad]
        optimizer = torch.optim.AdamW(weights, self._set("learning_rate"), weight_decay=1e-4)
        state = NatState(net, optimizer, generator, held % self._k, held=held, targets=targets, turns=turns)
        state.facts["pretrained"] = cast(Network, net.trunk).pretrained
        state.planned = self._epochs(n)
        return state

    def _round(self, state: NatState, images: Images, run: Runtime) -> Record:
        n_epochs = self._epochs(len(images))
        last, refining = state.round + 1 == n_epochs, state.round >= n_epochs - self._refinements(n_epochs)
        extra: dict[str, float | int | str] = {}
        if state.turns is not None:
            extra["rotation_loss"] = self._tell_turns(state, images, run)
        if refining and self._clusters:
            self._refine(state, images, run)
        before = cast(Labels, state.held).copy()
        loss = self._pull(state, images, run, exchange=not refining and self._exchanging(state))
        extra["exchanged"] = float((before != state.held).mean())
        if self._clusters:
            state.labels = cast(Labels, state.held).copy()
        if last or not self._clusters:
            self._look(state, images, run, last=last)
        return Record(loss, self._k, extra)

    def _done(self, state: NatState) -> bool:
        return state.round >= self._epochs(len(state.labels))

    def _assign(self, state: State) -> nn.Module:
        """The nearest corner, or the nearest centre of the features' clusters."""
        if self._clusters:
            return Corners(cast(WithHead, state.net).head)
        return NearestCentre.of(cast(Tensor, state.features), state.labels)

    def _network(self, shape: tuple[int, ...]) -> WithHead:
        trunk = network(self.backbone, shape, width=self.width, largest_side=self.largest_side)
        n_dims = self._k if self._clusters else self.n_target_dims
        return WithHead(trunk, nn.Sequential(nn.Linear(N_FEATURES, n_dims, bias=False), Sphere()))

    @property
    def _k(self) -> int:
        return cast(int, self.n_clusters)

    # -- one epoch -----------------------------------------------------------------------------------------------------

    def _pull(self, state: NatState, images: Images, run: Runtime, *, exchange: bool) -> float:
        """Pull the views of all images to their targets, which their batch exchanges before if it is time."""

        def loss(net: nn.Module, index: Labels, x: Tensor) -> Tensor:
            held, targets = cast(Labels, state.held), cast(Tensor, state.targets)
            clean, view = x.chunk(2, 1)
            if exchange:
                seen = run.gather(outputs(net, clean))
                if bool(torch.isfinite(seen).all()):  # else the loss is not finite either, and says so
                    held[index] = exchanged(seen, targets, held[index])
            logits = run.gather(cast(WithHead, net).logits(view))
            with torch.autocast(logits.device.type, enabled=False):
                return pull(logits.float(), targets[held[index]].to(logits.device))

        strength = self.view_strength
        return fit_epoch(
            state, images, loss, run, batches=self._batches(state, len(images)),
            view=lambda x, generator: beside(x, strong(x, generator, strength=strength)), passes=self._passes(state),
        )  # fmt: skip

    def _tell_turns(self, state: NatState, images: Images, run: Runtime) -> float:
        """One epoch of the rotation pretext on the shared trunk."""
        turns = cast(nn.Module, state.turns)

        def loss(net: nn.Module, index: Labels, x: Tensor) -> Tensor:
            features = together(net(quarter_turns(x)), run, copies=4)
            with torch.autocast(features.device.type, enabled=False):
                return turn_loss(turns(GAIN * features.float()))

        view = partial(strong, strength=self.view_strength / 2)
        batches = self._batches(state, len(images))
        return fit_epoch(state, images, loss, run, batches=batches, view=view, passes=self._passes(state))

    def _refine(self, state: NatState, images: Images, run: Runtime) -> None:
        """Targets from k-means on the outputs, each cluster under the corner that most of it held."""
        found = self._outputs(state, images, run)
        seed = seed_from(state.generator)
        clusters = kmeans(found.numpy(), self._k, start=cast(Tensor, state.targets).numpy(), seed=seed).labels
        state.held = renaming(clusters, cast(Labels, state.held), self._k)[clusters]

    def _look(self, state: NatState, images: Images, run: Runtime, *, last: bool) -> None:
        """Labels of the features as they are now."""
        features = embed(state.net, images, run)
        if self._clusters:
            assign = self._assign(state)
            state.labels = torch.cat([assign(part).argmax(1) for part in torch.split(features, 4096)]).numpy()
        else:
            seed = seed_from(state.generator)
            state.labels = kmeans(features.numpy(), self._k, n_starts=5, seed=seed, run=run).labels
        if last:
            state.features = features

    def _outputs(self, state: NatState, images: Images, run: Runtime) -> Tensor:
        """Where all images are between the targets ``-> (n, d)``."""
        net = cast(WithHead, state.net)
        return embed(nn.Sequential(net.trunk, net.head), images, run)

    def _batches(self, state: NatState, n: int) -> Iterator[Labels]:
        """Batches of an epoch; the learning rate falls to nothing along a cosine on the way."""
        size = self._set("batch_size")
        total = self._epochs(n) * self._passes(state) * math.ceil(n / size)
        for batch in shuffled(n, size, state.generator):
            set_rate(state.optimizer, self._set("learning_rate") * half_cosine(state.step / total))
            state.step += 1
            if len(batch) > 1:  # batch norm has nothing to say about a single row
                yield batch

    def _passes(self, state: NatState) -> int:
        """Over the images, in an epoch."""
        return 1 if state.turns is None else 2

    # -- set-up --------------------------------------------------------------------------------------------------------

    @property
    def _clusters(self) -> bool:
        return self.variant == "clusters"

    def _standing(self) -> Mapping[str, Any]:
        return VARIANTS[self.variant]

    def _epochs(self, n: int) -> int:
        """Passes over n images: `n_epochs`, or so many that a small set is looked at often enough."""
        return passes_over(n, fewest=FEWEST, most=MOST) if self.n_epochs is None else int(self.n_epochs)

    def _refinements(self, n_epochs: int) -> int:
        """Epochs with targets from k-means, the last ones."""
        if self.n_refine is None:
            return n_epochs // 3 if self._clusters else 0
        return int(self.n_refine)

    def _turning(self, shape: tuple[int, ...]) -> bool:
        if self.rotation == "auto":
            return self._clusters and len(shape) == 3 and shape[0] == 3
        return bool(self.rotation)

    def _exchanging(self, state: NatState) -> bool:
        every = int(self._set("reassign_every"))
        return every > 0 and state.round % every == 0

    def _check_choices(self, n_epochs: int) -> None:
        """Refuse choices that do not exist, one sentence each."""
        refuse_no_count(self)
        refuse_unknown({
            "variant": (self.variant, VARIANTS), "rotation": (self.rotation, (True, False, "auto")),
        })  # fmt: skip
        if not 0 <= self._refinements(n_epochs) <= n_epochs:
            raise InputError(f"n_refine is {self.n_refine}; expected 0 to n_epochs, {n_epochs}.")
        if not self._clusters and self._refinements(n_epochs):
            raise InputError("n_refine goes with variant='clusters', but variant is 'sphere'.")


# -- the equations -----------------------------------------------------------------------------------------------------


class Corners(nn.Module):
    """Probability of each corner ``(b, d) -> (b, k)``: a softmax of ten times the outputs.

    Parameters
    ----------
    head : nn.Module
        Features to outputs of unit length.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.head(x.float())
        return (GAIN * outputs).softmax(1)


def corners(k: int) -> Tensor:
    """One target a cluster, all equally far apart ``-> (k, k)``."""
    return torch.eye(k)


def noise(n: int, d: int, generator: torch.Generator) -> Tensor:
    """Targets uniform on the sphere ``-> (n, d)``."""
    return functional.normalize(torch.randn(n, d, generator=generator), dim=1)


def pull(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean squared distance of outputs to their targets, all of unit length ``(b, d), (b, d) -> ()``.

    Examples
    --------
    >>> pull(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.eye(2))
    tensor(1.)
    """
    return (outputs - targets).square().sum(1).mean()


@torch.no_grad()
def outputs(net: nn.Module, x: Tensor) -> Tensor:
    """Where images are now: evaluation mode, no gradient ``(b, ...) -> (b, d)``, float32."""
    training = net.training
    net.eval()
    found = cast(WithHead, net).logits(x).float()
    net.train(training)
    return found


def exchanged(outputs: Tensor, targets: Tensor, held: Labels) -> Labels:
    """Who holds which of a batch's targets so that the sum of distances is least ``(b, d), (t, d), (b,) -> (b,)``.

    The targets that the batch holds are dealt out anew among it; between vectors of unit length the least sum of
    squared distances is the largest sum of products.

    Examples
    --------
    >>> exchanged(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), torch.eye(2), np.array([0, 1]))
    array([1, 0])
    """
    return held[best_assignment(outputs.cpu().double() @ targets[held].double().T)]
