"""DeepCluster: deep clustering for unsupervised learning of visual features.

Caron, Bojanowski, Joulin, Douze, ECCV 2018, arXiv 1807.05520 (``variant="v1"``); its second version and the balanced
assignment come from Caron, Misra, Mairal, Goyal, Bojanowski, Joulin, NeurIPS 2020 (``variant="v2"``).

v1: every round embeds all images, clusters the whitened features by k-means or PIC, and trains the network to predict
the clusters through a new linear head. v2: the centroids are the head, nothing is learned anew; features are remembered
from the training pass itself, several numbers of clusters are predicted at once, and with ``assignment="sinkhorn"``
(SwAV) the targets of a batch come from the other view, evenly over the prototypes. ``n_clusters`` clusters are sought
among the features at the end: by a fresh k-means, as the papers evaluate, or in their neighbour graph. What differs:

- images are drawn evenly over pseudo-labels, which the released v1 intends and does not do (`as_released`);
- PCA leaves out components that small sets or small networks do not have;
- PIC climbs on degrees with a bandwidth that follows the data, see `kinfold.ops.pic`;
- convolutions before a batch norm have no bias, which it takes out again;
- crops of all sizes are brought to one size, as the networks here need it;
- ``preset="default"`` has a small network, turned and slanted views of grey images in place of crops, and Adam.

The differences stand one by one in ``docs/algorithms/deepcluster.md``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from kinfold.data.images import Images
from kinfold.data.pretext import recoloured, strong
from kinfold.data.sample import evenly, seed_from, shuffled
from kinfold.data.warp import area_boxes, coin, warp
from kinfold.errors import InputError
from kinfold.estimator import DeepClusterer, Record, State
from kinfold.health import changed
from kinfold.inputs import refuse_unknown
from kinfold.metrics import nmi
from kinfold.nn.backbones import Network, measure
from kinfold.nn.caron import caron
from kinfold.nn.heads import NearestCentre, NeighborVote
from kinfold.ops.kmeans import kmeans
from kinfold.ops.pic import pic
from kinfold.ops.pixels import first_clusters
from kinfold.ops.sinkhorn import sinkhorn
from kinfold.ops.whitening import whitening
from kinfold.runtime import Runtime
from kinfold.train import embed, fit_epoch, half_cosine, passes_over, pixels, prepared, sampled

Labels = npt.NDArray[np.int64]
RESTARTS = 10  # of the k-means that makes the final clusters
VOTERS = 10  # neighbours that decide about a new image, where the graph makes them
FEWEST, MOST = 10, 30  # rounds, when they follow the set's size
SMALLEST = 0.35  # share of the mean size: smaller groups are parts of a cluster, as pseudo-clusters are even
SETTLING = 20  # batches before the first clustering
TEMPERATURE = 0.1  # of the softmax over prototypes
PROJECTED = 128  # dimensions of the sphere
RELEASED = ("sampler",)

# What the papers set, and what we set for small images; by preset and variant.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "default": {
        "v1": {"n_rounds": None, "backbone": "auto", "learning_rate": 1e-3, "batch_size": 256, "sobel": False,
               "n_components": 64, "view_strength": 1.0, "remember": False, "small_crops": 0, "overclustering": (10,),
               "final": "graph"},
        "v2": {"n_rounds": None, "backbone": "auto", "learning_rate": 1e-3, "batch_size": 256, "sobel": False,
               "n_components": 64, "view_strength": 1.0, "remember": False, "small_crops": 0,
               "overclustering": (10, 10, 10), "final": "graph"},
    },
    "paper": {
        "v1": {"n_rounds": 500, "backbone": "alexnet", "learning_rate": 0.05, "batch_size": 256, "sobel": True,
               "n_components": 256, "view_strength": 0.0, "remember": True, "small_crops": 0, "overclustering": (10,),
               "final": "kmeans"},
        "v2": {"n_rounds": 400, "backbone": "auto", "learning_rate": 0.05, "batch_size": 256, "sobel": False,
               "n_components": 256, "view_strength": 0.0, "remember": True, "small_crops": 4,
               "overclustering": (3, 3, 3), "final": "kmeans"},
    },
}  # fmt: skip


@dataclass
class DeepClusterState(State):
    """What changes while DeepCluster runs.

    Attributes
    ----------
    pseudo : (h, n) int64
        Pseudo-labels of each head at the last round; of one head for v1.
    bank : (2, n, 128) float32 or None
        v2: the latest embedding of each image, seen through the first and the second view.
    prototypes : nn.ModuleList or None
        Learned ones, of ``assignment="sinkhorn"``.
    step : int
        Batches so far, for the learning rate.
    """

    pseudo: Labels = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    bank: Tensor | None = None
    prototypes: nn.ModuleList | None = None
    step: int = 0


class DeepCluster(DeepClusterer[DeepClusterState]):
    """Cluster images by learning to predict the clusters of one's own features.

    Parameters
    ----------
    n_clusters : int, optional
        Final clusters, sought on the features; None takes the last pseudo-labels.
    preset : {"default", "paper"}
        Where every parameter that is None takes its value from.
    variant : {"v2", "v1"}
    assignment : {"kmeans", "sinkhorn", "pic"}
        Where pseudo-labels come from: None is "kmeans"; "pic" goes with v1, "sinkhorn" with v2.
    n_pseudo_clusters : int or tuple of int, optional
        Pseudo-labels, one number a head; None takes ten times `n_clusters`; v2 has three such heads.
    backbone : str, optional
        "auto", "small", "alexnet", "vgg16", "perceptron", or a pretrained one, see `kinfold.nn.backbones.network`.
    image_size : int or (h, w), optional
        Resize images to this.
    sobel : bool, optional
        Look at differences of grey values alone, which keeps the first version from clustering by colour.
    final : {"graph", "kmeans"}, optional
        How the final clusters are sought: graph degree linkage, which follows clusters of any form, or k-means, as the
        papers' evaluations do. Rounds before the last are looked at with k-means.
    n_rounds : int, optional
        Rounds of clustering and training on as many images as there are; by default 30, of more than 10,000 images
        fewer, but 10 at least.
    reassign : float
        Rounds a pass: 0.5 clusters twice in a pass over the images.
    n_components : int, optional
        Principal components that v1 clusters.
    batch_size : int, optional
    learning_rate : float, optional
    view_strength : float, optional
        Of the views, see `kinfold.data.pretext.strong`; 0 takes the papers' random crops.
    small_crops : int, optional
        Further views of v2 from small parts of the image.
    remember : bool, optional
        v2 clusters the embeddings remembered from training, which saves a pass over the images; else they are made
        anew.
    width : int
        First maps of the small network.
    as_released : bool or tuple of str
        ("sampler",), or True: v1 draws images as the released code does, not evenly over pseudo-labels.
    random_state : int, RandomState or None
        Seed.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> x = load_digits().images[:120].astype("float32") / 16
    >>> model = DeepCluster(n_clusters=10, n_rounds=2, random_state=0).fit(x)
    >>> model.labels_.shape, model.embedding_.shape, sorted(model.result_.history[-1])[-3:]
    ((120,), (120, 128), ['seconds_cluster', 'seconds_train', 'used'])
    """

    _presets = PRESETS

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        preset: str = "default",
        variant: str = "v2",
        assignment: str | None = None,
        n_pseudo_clusters: int | tuple[int, ...] | None = None,
        final: str | None = None,
        backbone: str | None = None,
        image_size: int | tuple[int, int] | None = None,
        sobel: bool | None = None,
        n_rounds: int | None = None,
        reassign: float = 1.0,
        n_components: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        view_strength: float | None = None,
        small_crops: int | None = None,
        remember: bool | None = None,
        width: int = 32,
        as_released: bool | tuple[str, ...] = (),
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.preset = preset
        self.variant = variant
        self.assignment = assignment
        self.n_pseudo_clusters = n_pseudo_clusters
        self.final = final
        self.backbone = backbone
        self.image_size = image_size
        self.sobel = sobel
        self.n_rounds = n_rounds
        self.reassign = reassign
        self.n_components = n_components
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.view_strength = view_strength
        self.small_crops = small_crops
        self.remember = remember
        self.width = width
        self.as_released = as_released
        self.random_state = random_state

    @classmethod
    def _small(cls) -> dict[str, Any]:
        return {"n_clusters": 3, "n_rounds": 2, "n_pseudo_clusters": 6, "width": 8}

    def _prepare(self, images: Images, run: Runtime) -> Images:
        """Frozen features, computed once."""
        self._check_choices()
        return prepared(self._network(images.shape), images, run, instead="small")

    # -- the four verbs ------------------------------------------------------------------------------------------------

    def _start(self, images: Images, run: Runtime) -> DeepClusterState:
        generator = self._generator()
        net = self._network(self._raw_shape)
        measure(net, sampled(images, generator, run))
        _settle(run.to(net), images, generator, run)
        n = len(images)
        state = DeepClusterState(net, None, generator, np.zeros(n, dtype=np.int64), planned=self._rounds(n))
        state.facts["pretrained"] = net.pretrained
        weights = [w for w in net.parameters() if w.requires_grad]
        if self._by == "sinkhorn":
            state.prototypes = nn.ModuleList(nn.Linear(PROJECTED, k, bias=False) for k in self._pseudo(n))
            weights += list(state.prototypes.parameters())
        state.optimizer = self._optimizer(weights)
        if self.variant == "v2":
            state.bank = embed(net, images, run).expand(2, -1, -1).clone()
            for head in state.prototypes or ():
                _begin_at_centroids(cast(nn.Linear, head), state.bank[0], generator, run)
        return state

    def _round(self, state: DeepClusterState, images: Images, run: Runtime) -> Record:
        began, before = time.perf_counter(), state.pseudo
        centres: list[Tensor] = []
        if self.variant == "v1":
            features = self._relabel(state, images, run)
        else:
            features, centres = self._recluster(state, images, run)
        state.labels = self._fresh(features, state, 1, run)
        middle = time.perf_counter()
        if self.variant == "v1":
            loss = self._learn_labels(state, images, run)
        else:
            loss = self._learn_prototypes(state, images, run, centres=centres)
        after = time.perf_counter()
        if state.round + 1 >= self._rounds(len(images)):
            state.features = embed(state.net, images, run)
            state.labels = self._last(state.features.numpy(), state, run)
        extra: dict[str, float | int | str] = {
            "nmi_previous": nmi(before[0], state.pseudo[0]) if before.size else 0.0,
            "reassigned": changed(before[0], state.pseudo[0]) if before.size else 1.0,
            "pseudo_clusters": int(np.unique(state.pseudo[0]).size),
            "seconds_cluster": middle - began + time.perf_counter() - after,
            "seconds_train": after - middle,
        }
        return Record(loss, int(state.labels.max()) + 1, extra)

    def _done(self, state: DeepClusterState) -> bool:
        return state.round >= self._rounds(len(state.labels))

    def _assign(self, state: State) -> nn.Module:
        """The nearest centre of the final clusters, or the vote of their nearest images."""
        features = cast(Tensor, state.features)
        if self._by_graph:
            return NeighborVote.of(features, state.labels, n_neighbors=VOTERS)
        return NearestCentre.of(features, state.labels)

    def _network(self, shape: tuple[int, ...]) -> Network:
        return caron(
            self._set("backbone"), shape, sobel=len(shape) == 3 and self._set("sobel"),
            width=self.width, n_features=256, n_projected=PROJECTED if self.variant == "v2" else None,
        )  # fmt: skip

    # -- clustering ----------------------------------------------------------------------------------------------------

    def _relabel(self, state: DeepClusterState, images: Images, run: Runtime) -> npt.NDArray[np.float32]:
        """v1: embed, whiten, cluster; pseudo-labels without gaps. The features come back as they were."""
        features = embed(state.net, images, run).numpy()
        # With as many components as images, whitened images are all equally far apart.
        most = max(2, len(features) // 5)
        white = whitening(features, min(self._set("n_components"), most), run=run)(features)
        if self._by == "pic":
            found = pic(white)
        else:
            k, seed = self._pseudo(len(images))[0], seed_from(state.generator)
            found = kmeans(white, k, growing=False, start="random", seed=seed, run=run).labels
        state.pseudo = np.unique(found, return_inverse=True)[1].astype(np.int64)[None]
        return features

    def _recluster(
        self, state: DeepClusterState, images: Images, run: Runtime
    ) -> tuple[npt.NDArray[np.float32], list[Tensor]]:
        """v2: directions of the embeddings, the two remembered views in turn."""
        bank = cast(Tensor, state.bank)
        if not self._set("remember"):
            bank[:] = embed(state.net, images, run)
        if state.prototypes is not None:
            heads = [cast(nn.Linear, head).weight.detach().cpu() for head in state.prototypes]
            state.pseudo = np.stack([(bank[0] @ head.T).argmax(1).numpy() for head in heads])
            return bank[0].numpy(), []
        found = [
            kmeans(bank[i % 2].numpy(), k, form="spherical", n_iterations=10, growing=False, start="random",
                   seed=seed_from(state.generator), run=run)
            for i, k in enumerate(self._pseudo(bank.shape[1]))
        ]  # fmt: skip
        state.pseudo = np.stack([each.labels for each in found])
        return bank[0].numpy(), [torch.from_numpy(each.centres) for each in found]

    def _fresh(self, features: npt.NDArray[np.float32], state: DeepClusterState, restarts: int, run: Runtime) -> Labels:
        """Fresh clusters of the features by k-means, or the pseudo-labels where no number is wanted."""
        if self.n_clusters is None:
            return np.asarray(state.pseudo[0])
        return kmeans(features, self.n_clusters, n_starts=restarts, seed=seed_from(state.generator), run=run).labels

    def _last(self, features: npt.NDArray[np.float32], state: DeepClusterState, run: Runtime) -> Labels:
        """The clusters of the run."""
        if self._by_graph:
            return first_clusters(features, cast(int, self.n_clusters), smallest=SMALLEST)
        return self._fresh(features, state, RESTARTS, run)

    # -- learning ------------------------------------------------------------------------------------------------------

    def _learn_labels(self, state: DeepClusterState, images: Images, run: Runtime) -> float:
        """v1: one pass through a head made anew, drawn evenly over the pseudo-labels."""
        labels = state.pseudo[0]
        last = [layer for layer in state.net.modules() if isinstance(layer, nn.Linear)][-1]
        head = nn.Linear(last.out_features, int(labels.max()) + 1)
        nn.init.normal_(head.weight, 0.0, 0.01)
        nn.init.zeros_(head.bias)
        run.to(head)
        optimizer = cast(torch.optim.Optimizer, state.optimizer)
        # The released code has an optimiser of its own for the head, without momentum: the same as a group without it.
        optimizer.add_param_group({"params": list(head.parameters()), **self._head_options()})
        drawn = evenly(labels, max(1, int(self.reassign * len(images))), state.generator, released=self._released)
        targets = torch.from_numpy(labels)
        loss = partial(pseudo_label_loss, head=head, targets=targets, run=run)
        try:
            batches = self._batches(drawn, state, 1)
            return fit_epoch(state, images, loss, run, batches=batches, view=self._view(), passes=self.reassign)
        finally:
            optimizer.param_groups.pop()
            for weight in head.parameters():
                optimizer.state.pop(weight, None)

    def _learn_prototypes(
        self, state: DeepClusterState, images: Images, run: Runtime, *, centres: list[Tensor]
    ) -> float:
        """v2: one pass over two views or more of every image; the bank is filled on the way."""
        order = np.concatenate(list(shuffled(len(images), len(images), state.generator)))
        drawn = order[: max(2, int(self.reassign * len(images)))]
        n_views = 2 + self._set("small_crops")
        batches = self._batches(drawn, state, n_views)
        loss = partial(
            self._prototype_loss, state=state, centres=[run.to(c) for c in centres], n_views=n_views, run=run
        )
        passes = n_views * self.reassign
        return fit_epoch(state, images, loss, run, batches=batches, view=self._view(n_views), passes=passes)

    def _prototype_loss(
        self, net: nn.Module, index: Labels, x: Tensor, *, state: DeepClusterState, centres: list[Tensor],
        n_views: int, run: Runtime,
    ) -> Tensor:  # fmt: skip
        """Loss of a batch of views, ``n_views * b`` rows, view by view."""
        z = run.gather(net(x)).float()
        b = len(z) // n_views
        rows = torch.from_numpy(index[:b])
        with torch.autocast(z.device.type, enabled=False):
            bank = cast(Tensor, state.bank)
            bank[:, rows] = z[: 2 * b].detach().view(2, b, -1).cpu()
            if state.prototypes is not None:
                heads = [functional.normalize(cast(nn.Linear, head).weight, dim=1) for head in state.prototypes]
                if state.round == 0:  # as SwAV does: first the network finds the prototypes
                    heads = [head.detach() for head in heads]
                return torch.stack([swapped_loss(z, head, n_views) for head in heads]).mean()
            targets = torch.from_numpy(state.pseudo)[:, rows].to(z.device)
            return torch.stack([centroid_loss(z, c, t, n_views) for c, t in zip(centres, targets, strict=True)]).mean()

    def _batches(self, drawn: Labels, state: DeepClusterState, n_views: int) -> Iterator[Labels]:
        """Batches, each repeated for its views; a last one too small for batch norm is left out."""
        size = self._set("batch_size")
        total = max(1, self._rounds(len(state.labels)) * math.ceil(len(drawn) / size))
        for start in range(0, len(drawn), size):
            batch = drawn[start : start + size]
            if len(batch) < min(size, 16) and start:
                return
            if self.preset != "paper":
                rate = self._set("learning_rate") * half_cosine(state.step / total, last=0.05)
                # Of the body only: a head made anew has all to learn in every round.
                cast(torch.optim.Optimizer, state.optimizer).param_groups[0]["lr"] = rate
            state.step += 1
            yield np.tile(batch, n_views)

    def _view(self, n_views: int = 1) -> Any:
        return partial(views, strength=self._set("view_strength"), n_views=n_views)

    # -- set-up --------------------------------------------------------------------------------------------------------

    def _standing(self) -> Mapping[str, Any]:
        return PRESETS[self.preset][self.variant]

    @property
    def _by(self) -> str:
        return self.assignment or "kmeans"

    @property
    def _by_graph(self) -> bool:
        """Whether the graph makes the final clusters; where no number is wanted there are none to make."""
        return self.n_clusters is not None and bool(self._set("final") == "graph")

    @property
    def _released(self) -> bool:
        return self.as_released is True or "sampler" in (self.as_released or ())

    def _rounds(self, n: int) -> int:
        """Rounds over n images: as many as are set, or so many that a small set is looked at often enough."""
        given = self._set("n_rounds")
        return passes_over(n, fewest=FEWEST, most=MOST) if given is None else int(given)

    def _pseudo(self, n: int) -> tuple[int, ...]:
        """Pseudo-labels of each head; at most half as many as images."""
        given = self.n_pseudo_clusters
        if given is None:
            wanted = tuple(times * (self.n_clusters or 10) for times in self._set("overclustering"))
        else:
            wanted = (given,) if isinstance(given, int) else tuple(given)
        return tuple(max(1, min(k, n // 2)) for k in wanted)

    def _optimizer(self, weights: list[nn.Parameter]) -> torch.optim.Optimizer:
        if self.preset == "paper":
            return torch.optim.SGD(weights, self._set("learning_rate"), momentum=0.9, weight_decay=1e-5)
        return torch.optim.AdamW(weights, self._set("learning_rate"), weight_decay=1e-4)

    def _head_options(self) -> dict[str, Any]:
        return {"momentum": 0.0} if self.preset == "paper" else {}

    def _check_choices(self) -> None:
        """Refuse choices that do not exist, one sentence each."""
        refuse_unknown({"variant": (self.variant, ("v1", "v2"))})
        known = ("kmeans", "pic" if self.variant == "v1" else "sinkhorn")
        refuse_unknown({
            f"assignment for {self.variant}": (self._by, known), "final": (self._set("final"), ("graph", "kmeans")),
        })  # fmt: skip
        if self.as_released is not True and set(self.as_released or ()) - set(RELEASED):
            raise InputError(f"as_released is {self.as_released!r}; expected True or some of {list(RELEASED)}.")
        if self._released and self.variant != "v1":
            raise InputError("as_released goes with variant='v1', but variant is 'v2'.")
        if not 0 < self.reassign <= 1:
            raise InputError(f"reassign is {self.reassign}; expected a share above 0, at most 1.")
        given = self.n_pseudo_clusters
        heads = (given,) if given is None or isinstance(given, int) else tuple(given)
        if not heads or any(k is not None and k < 1 for k in heads) or (self.variant == "v1" and len(heads) > 1):
            raise InputError(f"n_pseudo_clusters is {self.n_pseudo_clusters}; expected numbers from 1 on, one for v1.")


# -- the equations -----------------------------------------------------------------------------------------------------


def pseudo_label_loss(
    net: nn.Module, index: Labels, x: Tensor, *, head: nn.Module, targets: Tensor, run: Runtime
) -> Tensor:
    """Cross-entropy of a batch with its pseudo-labels, through the rectifier that clustering leaves out ``-> ()``.

    Parameters
    ----------
    head : nn.Module
        ``(b, d) -> (b, k)`` logits.
    targets : (n,) int64
        Pseudo-label of every image.
    """
    logits = run.gather(head(functional.relu(net(x))))
    with torch.autocast(logits.device.type, enabled=False):
        return functional.cross_entropy(logits.float(), targets[torch.from_numpy(index)].to(logits.device))


def centroid_loss(z: Tensor, centres: Tensor, targets: Tensor, n_views: int) -> Tensor:
    """Cross-entropy of all views with the images' clusters; centroids are the head ``(v b, d), (k, d), (b,) -> ()``.

    Examples
    --------
    >>> z = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> float(centroid_loss(z, z, torch.tensor([0, 1]), 1))
    4.5...e-05
    """
    return functional.cross_entropy(z @ centres.T / TEMPERATURE, targets.repeat(n_views))


def swapped_loss(z: Tensor, prototypes: Tensor, n_views: int, *, epsilon: float = 0.05) -> Tensor:
    """SwAV: a view predicts the balanced soft assignment of each of the first two others ``(v b, d), (k, d) -> ()``.

    Parameters
    ----------
    z : (v b, d) of unit length
        View by view.
    prototypes : (k, d) of unit length
    n_views : int
    epsilon : float
        Softness of the assignment, see `kinfold.ops.sinkhorn`.
    """
    scores = (z @ prototypes.T).view(n_views, -1, len(prototypes))
    log = (scores / TEMPERATURE).log_softmax(2)
    terms = []
    for from_view in range(min(2, n_views)):
        code = sinkhorn(scores[from_view].detach(), epsilon=epsilon)
        terms += [-(code * log[view]).sum(1).mean() for view in range(n_views) if view != from_view]
    return torch.stack(terms).mean()


def views(x: Tensor, generator: torch.Generator, *, strength: float, n_views: int) -> Tensor:
    """Random views of a batch that holds each image once a view ``(v b, ...) -> (v b, ...)``.

    Parameters
    ----------
    strength : float
        See `kinfold.data.pretext.strong`. 0 takes random crops: of 8 % of the area and more for one view, else of 14 %
        and more for the first two and of 5 to 14 % for the others, with SimCLR's colours.
    n_views : int
    """
    if strength or x.ndim == 2:
        return strong(x, generator, strength=strength or 1.0)
    colour = x.shape[1] == 3
    shares = [(0.08, 1.0)] if n_views == 1 else [(0.14, 1.0)] * 2 + [(0.05, 0.14)] * (n_views - 2)
    boxes = torch.cat([area_boxes(len(x) // n_views, x.shape, generator, scale=share) for share in shares])
    x = warp(x, (x.shape[2], x.shape[3]), box=boxes, mirrored=coin(len(x), generator, 0.5 if colour else 0.0))
    return recoloured(x, generator, strength=2.0) if colour and n_views > 1 else x


def _settle(net: nn.Module, images: Images, generator: torch.Generator, run: Runtime) -> None:
    """Let batch norm see the images before the first clustering, which reads the features in evaluation mode."""
    if len(images) < 2:
        return
    net.train()
    for _ in range(SETTLING):
        some = torch.randperm(len(images), generator=generator)[:128].numpy()
        with torch.no_grad():
            net(pixels(images, some, run))


def _begin_at_centroids(head: nn.Linear, z: Tensor, generator: torch.Generator, run: Runtime) -> None:
    """First prototypes: centroids of the first embeddings, in place of random ones."""
    found = kmeans(z.numpy(), head.out_features, form="spherical", growing=False, seed=seed_from(generator), run=run)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(found.centres))
