"""JULE: joint unsupervised learning of deep representations and image clusters.

Yang, Parikh, Batra, CVPR 2016, arXiv 1604.03628. Agglomerative clustering is unrolled as a recurrent process; after
each period of merges a convolutional network is trained with triplets of the clusters of the moment, and the next
merges look at its features.

``preset="paper"`` is the schedule, the networks, the constants and the loss of the released code with the gradient
that it intends; `as_released` brings back each of its defects. ``preset="default"`` is our own best. It differs by

- clusters formed anew from every period's features, so that early mistakes are not carried along;
- small stray groups that cannot take up a cluster (`kinfold.ops.agglomerate.agglomerate_sized`);
- two slightly moved views of every image, as strong as the distance to the nearest neighbour allows;
- batches that hold members of one cluster together, all of a batch's triplets, the mean taken over the active ones;
- fewer neighbours for small clusters;
- large images averaged down;
- photographs without a pretrained network: every image is first a cluster of its own, told from the others under strong
  views (NT-Xent, Chen 2020), as the nearest photographs in pixels are no likenesses; that loss then stays beside the
  triplets, and in the end images move to the nearest centre, where that suits their neighbours;
- training on the final clusters until the labels stop moving;
- pixels centred for the first graph where that makes neighbours more mutual;
- Adam with a falling rate, a lower one on pretrained features.

The order in a round is the released code's: learn from the clusters of the moment, then merge. The differences stand
one by one in ``docs/algorithms/jule.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional

from kinfold.data.images import Images
from kinfold.data.pretext import strong
from kinfold.data.sample import by_cluster, in_batches, shuffled
from kinfold.data.views import moved
from kinfold.errors import InputError
from kinfold.estimator import DeepClusterer, Record, State
from kinfold.health import changed
from kinfold.inputs import refuse_defects, refuse_unknown
from kinfold.nn.backbones import Network, measure, network, torch7_init
from kinfold.nn.heads import NeighborVote
from kinfold.ops.affinity import graph_of
from kinfold.ops.agglomerate import (
    MergeTree,
    agglomerate,
    agglomerate_sized,
    by_size,
    initial_clusters,
    join_isolated,
)
from kinfold.ops.batch_norm import measuring
from kinfold.ops.centres import at_centres
from kinfold.ops.estimate import estimate_clusters
from kinfold.ops.knn import Neighbours, neighbours
from kinfold.ops.merge_tree import regrouped
from kinfold.ops.modularity import modularity
from kinfold.ops.pixels import first_graph
from kinfold.ops.triplets import affinity_triplets, sampled_triplets, told_apart, weighted_triplets
from kinfold.runtime import Runtime
from kinfold.train import embed, fit_epoch, half_cosine, pixels, prepared, sampled, set_rate, view_strength

Labels = npt.NDArray[np.int64]
Features = npt.NDArray[np.float32]
SETTLED = 0.001  # share of moved labels under which the final rounds end
SMALL_SET = 4000  # images seen in a period, at least
FEWEST, MOST = 10, 20  # neighbours in the graph, when they follow the cluster size
FROZEN_PACE = 0.2  # of the learning rate, where only a head on a pretrained network learns
VOTERS = 10  # neighbours that decide about a new image
MEASURED = 1000  # images in a batch whose statistics batch norm takes anew
STRONG = 0.8  # views of photographs, of SimCLR's
MANY = 20  # clusters for each wanted one, above which the paper's preset lets no cluster be isolated
DAMPENED_RATE = 0.01  # released; as its optimiser dampens the momentum by 0.9, the steps are those of the preset's rate

RELEASED = ("anchor-gradient", "dampening", "batch-norm", "half-neighbors", "fast-update")

RANGES = {"n_epochs": (0.0, math.inf)}  # parts of a pass, too
PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        "n_periods": 4, "n_epochs": None, "n_final": 6, "batch_size": 256, "learning_rate": 5e-4, "margin": 0.2,
        "gamma": 1.0, "width": 64, "view_strength": "auto", "negatives": "uniform", "center": "auto", "smallest": 0.2,
        "rebuild": True, "n_neighbors": None, "largest_side": 48, "least_epochs": 2.0, "weight_contrast": "auto",
        "warm_epochs": 30, "reassign": "auto",
    },
    "paper": {
        "n_periods": None, "n_epochs": 20, "n_final": 0, "batch_size": 100, "learning_rate": 0.001, "margin": 0.2,
        "gamma": 1.0, "width": 50, "view_strength": 0.0, "negatives": "uniform", "center": False, "smallest": 0.0,
        "rebuild": False, "n_neighbors": 20, "largest_side": None, "weight_contrast": 0.0, "warm_epochs": 0,
        "reassign": False,
    },
}  # fmt: skip
PRESETS["fast"] = PRESETS["default"] | {"n_periods": 2, "n_final": 1, "least_epochs": 1.0, "warm_epochs": 10}


@dataclass
class JuleState(State):
    """What changes while JULE runs.

    Attributes
    ----------
    target : int
        The paper's n*; estimated anew each period when the user gave none.
    strength : float
        Of the views, 0 to 1.
    weight_contrast : float
        Of telling images apart beside the triplets.
    alone : int
        Passes in which every image was a cluster of its own.
    step : int
        Optimiser steps so far, for the learning rate.
    period, final : int
        Periods of merging and rounds on the final clusters so far.
    settled : bool
        Nothing is left to do.
    tree : MergeTree or None
        The merges behind `labels`, and on to one cluster.
    seen : (n, r d) float32 or None
        With `consensus`: features of all images by the networks that clustered from scratch so far.
    variants : dict
        ``sf``: labels when the number of clusters was first reached; ``rc``: clustered again from scratch.
    """

    target: int = 0
    strength: float = 0.0
    weight_contrast: float = 0.0
    alone: int = 0
    step: int = 0
    period: int = 0
    final: int = 0
    settled: bool = False
    tree: MergeTree | None = None
    seen: Tensor | None = None
    variants: dict[str, Labels] = field(default_factory=dict)


class JULE(DeepClusterer[JuleState]):
    """Cluster images by learning features and merging clusters in turn.

    Parameters
    ----------
    n_clusters : int, optional
        How many; None estimates it from the merge tree.
    preset : {"default", "fast", "paper"}
        Where every parameter that is None takes its value from.
    backbone : str
        "auto", "convnet", "perceptron", or a pretrained one ("efficientnet-lite0", "timm:NAME") whose features are
        computed once and frozen.
    image_size : int or (h, w), optional
        Resize images to this.
    n_neighbors : int, optional
        The paper's K_s; None takes a fifteenth of the mean cluster size, between 10 and 20.
    n_local, weight_local : int, float
        The paper's K_c and lambda, see `kinfold.ops.agglomerate`.
    unrolling_rate : float, optional
        The paper's eta: the share of the clusters that one period merges away, 0.2 for faces and 0.9 for everything
        else in the paper. None: so that `n_periods` are needed (0.9 in the paper's preset).
    n_periods : int, optional
        Periods from the initial clusters to the last, when `unrolling_rate` is None.
    n_epochs : float, optional
        Passes over the images in each period; None gives small sets more, 4000 / n and at least two.
    n_final : int
        Most rounds on the final clusters; fewer when under 0.1 % of the labels move. None takes the preset's, and none
        with `weight_contrast`: those clusters are too impure to learn from.
    batch_size : int
    learning_rate : float
        None takes the preset's, a fifth of it for the head on a pretrained network. The paper's preset has a tenth of
        the released 0.01, whose momentum is dampened to a tenth.
    margin, gamma : float
        Of the triplet loss, see `kinfold.ops.triplets.weighted_triplets`.
    loss : {"triplet", "affinity"}
        "affinity" is the loss of the paper's text, which no released code uses, see
        `kinfold.ops.triplets.affinity_triplets`.
    negatives : {"uniform", "nearest", "foreseen"}
        Which images of other clusters are pushed away: all, those of the `n_local` nearest clusters of a batch, or
        those that the merge tree does not join.
    view_strength : float or "auto"
        Of random views; 1 turns by 10 degrees and moves and scales by a tenth, 0 takes images as they are. With
        `weight_contrast` views are those of `kinfold.data.pretext.strong`.
    weight_contrast : float or "auto"
        Of telling every image from those of other clusters, beside the triplets. "auto" takes 1 for colour images that
        are not near-copies of each other and have no pretrained network, else 0.
    warm_epochs : int
        With `weight_contrast`: passes before the first merge in which every image is a cluster of its own.
    center : bool or "auto"
        Subtract the mean image before the first graph.
    width : int
        Maps of each convolution.
    largest_side : int, optional
        Larger images are averaged down to this for the network.
    smallest : float
        Groups below this share of the mean cluster size take up no cluster.
    rebuild : bool
        Form clusters anew from each period's features, else go on with those of the period before.
    reassign : bool or "auto"
        When the wanted number is reached, every image goes to the cluster of the nearest centre, if that raises the
        modularity of the neighbours (`kinfold.ops.modularity.modularity`). "auto": with `weight_contrast` only.
    bandwidth : {"global", "local"}
        Of the affinities: one for all images, or each image its own, see `kinfold.ops.affinity.affinity`.
    recalibrate : bool
        Take batch norm's statistics anew, from all images in random order, before each look at the features.
    consensus : bool
        Cluster from scratch on the features of all networks that did so before too, of every final round, in place of
        the last network's alone.
    as_released : tuple of str
        Defects of the released code to reproduce with ``preset="paper"``: "anchor-gradient" (only anchors get a true
        gradient), "dampening" (of the momentum), "batch-norm" (features of the joint phase in training mode),
        "half-neighbors" (clusters see those before them only, local term above 100 clusters), "fast-update".
    random_state : int, RandomState or None
        Seed.

    Attributes
    ----------
    result_ : Clustering
        With ``variants``: "sf", labels when the number of clusters was first reached, and "rc", clustered again from
        scratch on the final features; `labels_` are the latter.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> x = load_digits().images[:200].astype("float32") / 16
    >>> model = JULE(n_clusters=10, n_periods=1, n_epochs=1, n_final=0, random_state=0).fit(x)
    >>> model.labels_.shape, model.embedding_.shape, model.result_.cut(5).max() + 1
    ((200,), (200, 160), np.int64(5))
    """

    _presets = PRESETS
    _ranges = RANGES

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        preset: str = "default",
        backbone: str = "auto",
        image_size: int | tuple[int, int] | None = None,
        n_neighbors: int | None = None,
        n_local: int = 5,
        weight_local: float = 1.0,
        unrolling_rate: float | None = None,
        n_periods: int | None = None,
        n_epochs: float | None = None,
        n_final: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        margin: float | None = None,
        gamma: float | None = None,
        loss: str = "triplet",
        negatives: str | None = None,
        view_strength: float | str | None = None,
        weight_contrast: float | str | None = None,
        warm_epochs: int | None = None,
        center: bool | str | None = None,
        width: int | None = None,
        largest_side: int | None = None,
        smallest: float | None = None,
        rebuild: bool | None = None,
        reassign: bool | str | None = None,
        bandwidth: str = "global",
        recalibrate: bool = False,
        consensus: bool = False,
        as_released: tuple[str, ...] = (),
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.preset = preset
        self.backbone = backbone
        self.image_size = image_size
        self.n_neighbors = n_neighbors
        self.n_local = n_local
        self.weight_local = weight_local
        self.unrolling_rate = unrolling_rate
        self.n_periods = n_periods
        self.n_epochs = n_epochs
        self.n_final = n_final
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.margin = margin
        self.gamma = gamma
        self.loss = loss
        self.negatives = negatives
        self.view_strength = view_strength
        self.weight_contrast = weight_contrast
        self.warm_epochs = warm_epochs
        self.center = center
        self.width = width
        self.largest_side = largest_side
        self.smallest = smallest
        self.rebuild = rebuild
        self.reassign = reassign
        self.bandwidth = bandwidth
        self.recalibrate = recalibrate
        self.consensus = consensus
        self.as_released = as_released
        self.random_state = random_state

    @classmethod
    def _small(cls) -> dict[str, Any]:
        return {"n_clusters": 3, "n_periods": 1, "n_epochs": 1.0, "n_final": 1, "backbone": "auto", "warm_epochs": 1}

    def _prepare(self, images: Images, run: Runtime) -> Images:
        """Frozen features or smaller images, computed once."""
        return prepared(self._network(images.shape), images, run)

    # -- the four verbs ------------------------------------------------------------------------------------------------

    def _start(self, images: Images, run: Runtime) -> JuleState:
        """A fresh network. Initial clusters: chains of nearest neighbours on the pixels, or every image alone."""
        self._check_choices()
        generator = self._generator()
        net = self._network(self._raw_shape)
        self._begin(net, images, generator, run)
        state = JuleState(net, self._optimizer(net), generator, np.arange(len(images)))
        state.facts["pretrained"] = net.pretrained
        self._choose_views(state, images, run)
        if state.weight_contrast == 0:
            k = self._n_neighbors(len(images))
            pixel, near = first_graph(images.pixels, k, self._set("center"), measured=True)
            state.facts["first_graph"] = {"recall": round(near.recall, 4), "method": near.method}
            if near.recall < 1:
                run.progress.say(f"first graph: {near.method}; it has {near.recall:.1%} of the nearest images.")
            self._chain(state, near, pixel)
        if self._pace_of_merges() is None or (state.tree is not None and self.n_clusters is not None):
            state.planned = self._warm(state) + self._periods(state) + self._last(state)
        return state

    def _round(self, state: JuleState, images: Images, run: Runtime) -> Record:
        if state.alone < self._warm(state):
            return self._tell_apart(state, images, run)
        before, first_time = state.labels, not state.variants
        loss = self._learn(state, images, run)  # backward pass
        released = first_time and "batch-norm" in self.as_released
        near, features = self._look(state, images, run, released=released)
        if first_time:  # forward pass: the next slice of merges
            self._merge_slice(state, near, features)
        if state.variants and (not first_time or self._last(state) == 0):  # once more, from scratch
            if released:
                near, features = self._look(state, images, run)
            self._cluster_again(state, *self._agreed(state, near, features))
            still = before.max() == state.labels.max() and changed(before, state.labels) < SETTLED
            state.settled = still or state.final >= self._last(state)
            state.features = torch.from_numpy(features)
        return Record(loss, int(state.labels.max()) + 1, {"target": state.target, "recall": near.recall})

    def _done(self, state: JuleState) -> bool:
        return state.settled

    def _assign(self, state: State) -> nn.Module:
        """The vote of the nearest fitted images."""
        return NeighborVote.of(cast(Tensor, state.features), state.labels, n_neighbors=VOTERS)

    def _network(self, shape: tuple[int, ...]) -> Network:
        return network(
            self.backbone, shape, width=self._set("width"), largest_side=self._set("largest_side"),
            pooled=self.preset != "paper",
        )  # fmt: skip

    # -- before the first merge ----------------------------------------------------------------------------------------

    def _chain(self, state: JuleState, near: Neighbours, features: Features) -> None:
        """The initial clusters, chains of nearest neighbours, from the largest to the smallest."""
        state.tree, state.target = self._tree(near, features, first=True)
        state.labels = by_size(state.tree.start)
        if state.tree.n_start <= state.target:  # nothing to merge or to learn from
            state.labels, state.settled = state.tree.cut(state.tree.n_start), True
            state.variants = {"sf": state.labels, "rc": state.labels}

    def _tell_apart(self, state: JuleState, images: Images, run: Runtime) -> Record:
        """A pass in which every image is a cluster of its own; after the last, chains of neighbours are clusters."""
        loss = self._learn(state, images, run)
        state.alone += 1
        if state.alone == self._warm(state):
            self._chain(state, *self._look(state, images, run))
        return Record(loss, int(state.labels.max()) + 1)

    # -- forward pass: merge -------------------------------------------------------------------------------------------

    def _merge_slice(self, state: JuleState, near: Neighbours, features: Features) -> None:
        """Merge one period's share of the clusters (the paper's eta)."""
        tree, state.target = self._tree(near, features, None if self._set("rebuild") else state.labels)
        state.period += 1
        n_next = self._next(state)
        state.tree, state.labels = tree, tree.cut(min(n_next, tree.n_start))
        if n_next <= state.target:
            self._reassign(state, near, features)
            state.variants["sf"] = state.labels

    def _next(self, state: JuleState) -> int:
        """Number of clusters after this period."""
        now, rate = int(state.labels.max()) + 1, self._pace_of_merges()
        if rate is not None:
            return merged(now, rate, state.target)
        left = self._set("n_periods") - state.period
        return state.target if left < 1 else max(state.target, round(now * (state.target / now) ** (1 / (left + 1))))

    def _pace_of_merges(self) -> float | None:
        """The paper's eta, where it decides about the periods."""
        return 0.9 if self.unrolling_rate is None and self._set("n_periods") is None else self.unrolling_rate

    def _periods(self, state: JuleState) -> int:
        """How many periods there will be, those that were included."""
        rate, periods = self._pace_of_merges(), state.period
        if rate is None:
            return int(self._set("n_periods"))
        now = int(state.labels.max()) + 1
        while now > state.target:
            now = merged(now, rate, state.target)
            periods += 1
        return periods

    def _cluster_again(self, state: JuleState, near: Neighbours, features: Features) -> None:
        """Forget the labels and cluster from scratch (the paper's RC)."""
        tree, state.target = self._tree(near, features, last=True)
        state.final += 1
        state.tree, state.labels = tree, tree.cut(min(state.target, tree.n_start))
        self._reassign(state, near, features)
        state.variants["rc"] = state.labels

    def _reassign(self, state: JuleState, near: Neighbours, features: Features) -> None:
        """Images go to the nearest centre, if their neighbours then share clusters more; the tree follows."""
        wanted = self._set("reassign")
        if not (state.weight_contrast > 0 if wanted == "auto" else wanted):
            return
        moved = at_centres(features, state.labels)
        if modularity(near.index, moved) > modularity(near.index, state.labels):
            merge = partial(agglomerate, self._graph(near), n_clusters=1, features=features, **self._rule())
            state.tree = regrouped(cast(MergeTree, state.tree), moved, merge)
            state.labels = by_size(moved)

    def _agreed(self, state: JuleState, near: Neighbours, features: Features) -> tuple[Neighbours, Features]:
        """What the last clustering looks at: the last network's features, or with `consensus` those of all rounds."""
        if not self.consensus:
            return near, features
        last = torch.from_numpy(features)
        if state.seen is None:
            state.seen = last
            return near, features
        state.seen = torch.cat([state.seen, last], 1)
        together = functional.normalize(state.seen).numpy()
        return neighbours(together, self._n_neighbors(len(together))), together

    def _tree(
        self,
        near: Neighbours,
        features: Features,
        start: Labels | None = None,
        *,
        first: bool = False,
        last: bool = False,
    ) -> tuple[MergeTree, int]:
        """All merges from `start`, or from chains of neighbours, to one cluster; and how many are wanted.

        While features are young an estimated number is kept on the safe side, at least the square root of n. The
        first chains are taken as they are, also where some are isolated.
        """
        if start is None:
            start = initial_clusters(near.index[:, 0])
            if start.max() + 1 < 2 * (self.n_clusters or 1):  # chains would leave too little to merge
                start = np.arange(len(start))
        graph, options = self._graph(near), self._rule()
        merge = partial(agglomerate, graph, n_clusters=1, features=features, **options)
        wanted, smallest, tree = self.n_clusters, self._set("smallest"), None
        if wanted is None:
            tree = merge(start=start)
            wanted = estimate_clusters(tree)
            if not last:
                wanted = max(wanted, min(math.isqrt(len(start)), tree.n_start // 2))
        if self.preset == "paper" and not first and start.max() + 1 > MANY * wanted:
            start, tree = join_isolated(graph, start, features), None
        if smallest > 0:
            least = max(3.0, smallest * len(start) / wanted)
            return agglomerate_sized(graph, start, wanted, smallest=least, features=features, **options), wanted
        return merge(start=start) if tree is None else tree, wanted

    def _graph(self, near: Neighbours) -> csr_array:
        """Affinities of neighbours."""
        return graph_of(near, local=self.bandwidth == "local")

    def _rule(self) -> dict[str, Any]:
        """Which clusters merge next, for `kinfold.ops.agglomerate`."""
        half = "half-neighbors" in self.as_released
        return {
            "n_local": self.n_local, "weight_local": self.weight_local, "half": half, "local_above": 100 if half else 0,
            "exact": "fast-update" not in self.as_released,
        }  # fmt: skip

    def _look(
        self, state: JuleState, images: Images, run: Runtime, *, released: bool = False
    ) -> tuple[Neighbours, Features]:
        """Features of all images and their neighbours."""
        if self.recalibrate:
            order = torch.randperm(len(images), generator=state.generator).numpy()
            with measuring(state.net), torch.no_grad():
                for batch in np.array_split(order, math.ceil(len(order) / MEASURED)):
                    state.net(pixels(images, run.share(batch), run))
        features = released_features(state.net, images, run) if released else embed(state.net, images, run).numpy()
        return neighbours(features, self._n_neighbors(len(features))), features

    # -- backward pass: learn ------------------------------------------------------------------------------------------

    def _learn(self, state: JuleState, images: Images, run: Runtime) -> float:
        """Train on triplets of the clusters of the moment."""
        apart = state.labels
        if self._set("negatives") == "foreseen" and state.tree is not None:  # where the merges of the moment lead
            apart = state.tree.cut(min(state.target, state.tree.n_start))
        triplets = partial(
            self._triplets, labels=torch.from_numpy(state.labels), apart=torch.from_numpy(apart),
            weight=state.weight_contrast, generator=state.generator, run=run,
        )  # fmt: skip
        change = strong if state.weight_contrast > 0 else moved
        view = None if state.strength == 0 else partial(change, strength=state.strength)
        n = len(images)
        passes = self._epochs(n) * (1 if self.preset == "paper" else 2)
        return fit_epoch(state, images, triplets, run, batches=self._batches(state, n), view=view, passes=passes)

    def _batches(self, state: JuleState, n: int) -> Iterator[Labels]:
        """Batches of a period; the learning rate is set on the way."""
        size, epochs = self._set("batch_size"), self._epochs(n)
        if self.preset == "paper":
            for _ in range(math.ceil(epochs)):
                for batch in shuffled(n, size, state.generator):
                    self._pace(state, (1 + 1e-4 * state.step) ** -0.75)
                    yield batch
            return
        warm = self._warm(state)
        one = 1 / max(epochs, 1.0)  # of a period, a pass
        part, passes = (one, 1.0) if state.alone < warm else (1.0, epochs)
        total = max(1, round(passes * n / size))
        rounds = warm * one + self._periods(state) + self._last(state)
        for i, batch in enumerate(by_cluster(state.labels, size, 2, total, state.generator)):
            done = (state.alone * one + state.period + state.final + part * i / total) / rounds
            self._pace(state, half_cosine(done, last=0.05))
            yield np.concatenate([batch, batch])  # two views of each

    def _pace(self, state: JuleState, factor: float) -> None:
        state.step += 1
        set_rate(state.optimizer, self._rate(state.net) * factor)

    def _triplets(
        self, net: nn.Module, index: Labels, x: Tensor, *, labels: Tensor, apart: Tensor,
        weight: float, generator: torch.Generator, run: Runtime,
    ) -> Tensor:  # fmt: skip
        """Loss of a batch, computed on the features of all processes."""
        features = run.gather(net(x))
        same = labels[index].to(features.device)
        far = apart[index].to(features.device)
        with torch.autocast(features.device.type, enabled=False):
            features = features.float()
            if self.preset == "paper" and self.loss == "triplet":
                return sampled_triplets(
                    features, same, margin=self._set("margin"), gamma=self._set("gamma"), generator=generator,
                    anchors_only="anchor-gradient" in self.as_released,
                )  # fmt: skip
            if self.loss == "affinity":
                loss = affinity_triplets(features, same, gamma=self._set("gamma"), n_local=self.n_local)
            else:
                loss = weighted_triplets(
                    features, same, far, margin=self._set("margin"), gamma=self._set("gamma"), generator=generator,
                    n_nearest=self.n_local if self._set("negatives") == "nearest" else None,
                )  # fmt: skip
            return loss if weight == 0 else loss + weight * told_apart(features, same)

    # -- set-up --------------------------------------------------------------------------------------------------------

    def _n_neighbors(self, n: int) -> int:
        """The paper's K_s: few enough to stay inside a cluster."""
        given = self._set("n_neighbors")
        if given is not None:
            return int(given)
        fifteenth = n / (15 * self.n_clusters) if self.n_clusters else FEWEST
        return int(min(max(fifteenth, FEWEST), MOST))

    def _warm(self, state: JuleState) -> int:
        """Passes before the first merge in which every image is a cluster of its own."""
        return int(self._set("warm_epochs")) if state.weight_contrast > 0 else 0

    def _last(self, state: JuleState) -> int:
        """Most rounds on the final clusters: none for photographs, whose labels would not settle."""
        return 0 if state.weight_contrast > 0 and self.n_final is None else int(self._set("n_final"))

    def _epochs(self, n: int) -> float:
        epochs = self._set("n_epochs")
        return max(self._set("least_epochs"), SMALL_SET / n) if epochs is None else float(epochs)

    def _begin(self, net: nn.Module, images: Images, generator: torch.Generator, run: Runtime) -> None:
        """First weights, and mean and spread of the input."""
        if self.preset == "paper":
            torch7_init(cast(Network, net).body, generator)  # pixels stay as they are
            return
        measure(net, sampled(images, generator, run))

    def _choose_views(self, state: JuleState, images: Images, run: Runtime) -> None:
        """How strong views are, and whether they have to tell images from each other."""
        strength, weight = self._set("view_strength"), self._set("weight_contrast")
        state.strength = view_strength(strength, images, state.generator, run)
        if weight == "auto":
            in_colour = len(images.shape) == 3 and images.shape[0] == 3
            far_apart = state.strength == 1 and strength == "auto"
            weight = float(in_colour and far_apart and not cast(Network, state.net).pretrained)
            if weight > 0 and self._set("warm_epochs") > 0:
                run.progress.say(
                    "photographs, and no pretrained network: it first learns to tell every image from all others, in "
                    f"{self._set('warm_epochs')} passes, then the merging begins."
                )
        state.weight_contrast = float(weight)
        if state.weight_contrast > 0 and strength == "auto":
            state.strength = STRONG

    def _rate(self, net: nn.Module) -> float:
        """The learning rate; a gentle one keeps what a pretrained network knows."""
        dampened = self.learning_rate is None and "dampening" in self.as_released
        gentle = self.learning_rate is None and cast(Network, net).pretrained
        return float((DAMPENED_RATE if dampened else self._set("learning_rate")) * (FROZEN_PACE if gentle else 1.0))

    def _optimizer(self, net: nn.Module) -> torch.optim.Optimizer:
        weights = [w for w in net.parameters() if w.requires_grad]
        if self.preset == "paper":
            damp = 0.9 if "dampening" in self.as_released else 0.0
            return torch.optim.SGD(weights, self._rate(net), momentum=0.9, dampening=damp, weight_decay=5e-5)
        return torch.optim.AdamW(weights, self._rate(net), weight_decay=1e-4)

    def _check_choices(self) -> None:
        """Refuse choices that do not exist, one sentence each."""
        negatives = self._set("negatives")
        refuse_unknown({
            "loss": (self.loss, ("triplet", "affinity")), "negatives": (negatives, ("uniform", "nearest", "foreseen")),
            "bandwidth": (self.bandwidth, ("global", "local")),
            **{name: (self._set(name), (True, False, "auto")) for name in ("center", "reassign")},
        })  # fmt: skip
        if negatives != "uniform" and (self.preset == "paper" or self.loss != "triplet"):
            raise InputError(
                f"negatives is {negatives!r}, which goes with loss='triplet' in the presets 'default' and 'fast' only; "
                "leave it out."
            )
        weight = self._set("weight_contrast")
        if self.preset == "paper" and weight != 0:
            raise InputError(
                f"weight_contrast is {weight} with preset='paper', which takes one view of each image; take 'default'."
            )
        refuse_defects(self.as_released, RELEASED, self.preset)
        if self.unrolling_rate is not None and not 0 < self.unrolling_rate <= 1:
            raise InputError(f"unrolling_rate is {self.unrolling_rate}; expected a share above 0, at most 1.")


def merged(n: int, rate: float, target: int) -> int:
    """Clusters that a period leaves of n, at the paper's eta and no fewer than its n*.

    >>> merged(1762, 0.9, 10), merged(17, 0.9, 10)
    (176, 10)
    """
    return max(target, n - math.ceil(rate * n))


def released_features(net: nn.Module, images: Images, run: Runtime) -> Features:
    """Features in training mode, a hundred images at a time in stored order, as released ``-> (n, d)``.

    Batch norm then uses, and remembers, the statistics of such a batch, in a sorted set those of one class.
    """
    net.train()
    parts = []
    for rows in in_batches(np.arange(len(images)), 100):
        with torch.no_grad(), run.autocast():
            parts.append(net(pixels(images, rows, run)).float().cpu().numpy())
    return np.concatenate(parts)
