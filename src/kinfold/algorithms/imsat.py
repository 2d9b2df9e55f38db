"""IMSAT: clusters that tell the most about the images and survive small changes of them.

Hu, Miyato, Tokui, Matsumoto, Sugiyama, ICML 2017, arXiv 1702.08720. A network gives each image a distribution over the
clusters; its mutual information with the images is maximised, and self-augmented training (SAT) holds the prediction
of an image and of its changed copy together, the change being random (RPT) or the worst of its length (VAT).

``preset="paper"`` is the released code: network, first weights, constants, the radius from the neighbours, batches
drawn anew each step. ``preset="default"`` is our own best. It differs by

- a small convolutional network for images, a pretrained one for photographs;
- images are changed by turning, shifting and stretching them, or by taking one of their neighbours, beside or in place
  of the adversarial change;
- half of several heads on one trunk begin with the clusters of the neighbour graph (graph degree linkage), the others
  undecided; the one of lowest loss answers;
- from time to time the neighbour graph of the learnt features is consulted, and its clusters are held before every
  head: information alone leaves heads in optima where two classes share a cluster; in the end it answers;
- a rate that falls at the end;
- restarts of dead and collapsed runs, found without labels.

In both, biases before a batch norm are off (they do nothing but gather rounding errors), one clean pass serves the
information and the target of SAT (the released code makes two, with equal results), and the probe's gradient is taken
for the direction only. The differences stand one by one in ``docs/algorithms/imsat.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from kinfold.data.images import Images
from kinfold.data.sample import drawn, full_batches, stand_ins
from kinfold.data.views import moved
from kinfold.errors import InputError
from kinfold.estimator import DeepClusterer, Record, State
from kinfold.inputs import refuse_unknown
from kinfold.nn.backbones import Network, measure, network
from kinfold.nn.heads import Heads, NeighborVote, WithHead
from kinfold.nn.perceptrons import input_scale, quiet_init, wide_network
from kinfold.ops.adversarial import TENTH, changed, neighbour_radius, random_directions
from kinfold.ops.assignment import renaming
from kinfold.ops.batch_norm import probing
from kinfold.ops.information import as_prior, divergence, entropy, kl_to_prior, marginal, used_clusters, verdict
from kinfold.ops.knn import neighbours
from kinfold.ops.pixels import first_clusters
from kinfold.parameters import refuse_no_count
from kinfold.runtime import Runtime
from kinfold.train import embed, fall_at_the_end, fit_epoch, flat, pixels, prepared, sampled, set_rate, view_strength

Index = npt.NDArray[np.int64]

PATIENCE = 500  # steps after which a run must be alive
MOST_RESTARTS = 3
RAISE = 1.5  # of the penalty, each round in which the constraint does not hold
ENOUGH = 2800  # steps of a run on many images
ROUNDS = (8, 20)  # and the fewest and most rounds that they make
PER_CLUSTER = 25  # images of a batch for each cluster
FEWEST = 10  # and at least, or their shares are noise
VOTERS = 10  # neighbours that decide about a new image, where the graph makes the clusters
N_FEATURES = 160
GAIN = 16.0  # of the heads on features of unit length

PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        "n_epochs": None, "batch_size": None, "learning_rate": 2e-3, "weight_information": 0.4, "weight_marginal": 4.0,
        "slack": 0.0, "reach": 0.1, "n_heads": 6, "n_positives": 0, "warm_steps": 100, "view_strength": "auto",
        "marginal_rate": 1.0, "anneal": 0.5, "width": 32, "largest_side": 48, "least_steps": 40, "n_graphs": 4,
        "weight_graph": 1.0, "final": "graph",
    },
    "paper": {
        "n_epochs": 50, "batch_size": 250, "learning_rate": 2e-3, "weight_information": 0.1, "weight_marginal": 4.0,
        "slack": 0.0, "reach": 0.25, "n_heads": 1, "n_positives": 0, "warm_steps": 0, "view_strength": 0.0,
        "marginal_rate": 1.0, "anneal": 0.0, "width": 1200, "largest_side": None, "least_steps": 1, "n_graphs": 0,
        "weight_graph": 0.0, "final": "head",
    },
}  # fmt: skip


@dataclass
class ImsatState(State):
    """What changes while IMSAT runs.

    Attributes
    ----------
    radius : (n,) float32
        Length of each image's adversarial or random change, in the unit of the pixels.
    positives : (n, m) int64
        Nearest neighbours that stand in for an image in its second view.
    strength : float
        Of the views, 0 to 1.
    weight_marginal : float
        The paper's mu, raised while the constraint does not hold.
    step, epoch : int
        Since the last start.
    shares : (h, k) or None
        Running share of each cluster.
    terms : (3, h)
        Sums over the round's steps, by head: loss, SAT, and one.
    restarts : int
        How often the run was started over.
    warm : bool
        `labels` are clusters of the neighbour graph, to begin with.
    guide : (n,) int64
        Clusters of the neighbour graph of the learnt features; none before it was consulted.
    names : (h, k) int64
        What each head calls them.
    variants : dict
        In the end, "head": labels of the head of lowest loss, where the graph was asked for the result.
    """

    radius: Tensor = field(default_factory=lambda: torch.zeros(0))
    positives: Index = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    strength: float = 0.0
    weight_marginal: float = 0.0
    step: int = 0
    epoch: int = 0
    shares: Tensor | None = None
    terms: Tensor = field(default_factory=lambda: torch.zeros(0))
    restarts: int = 0
    warm: bool = False
    guide: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    names: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.int64))
    variants: dict[str, Index] = field(default_factory=dict)


class IMSAT(DeepClusterer[ImsatState]):
    """Cluster images by information that survives small changes.

    Parameters
    ----------
    n_clusters : int
        How many; there is no estimate.
    preset : {"default", "paper"}
        Where every parameter that is None takes its value from.
    backbone : str
        "auto" (in the paper's preset its perceptron, also for images), "convnet", "perceptron", or a pretrained one
        ("efficientnet-lite0", "timm:NAME") whose features are computed once and frozen.
    image_size : int or (h, w), optional
        Resize images to this.
    regularizer : {"adversarial", "random"}
        The change of SAT: the paper's VAT or RPT.
    prior : sequence of k floats, optional
        Expected shares of the clusters, in any order, for data whose classes are not equally large; None is equal
        shares.
    slack : float, optional
        Let the shares differ from the prior by a divergence up to this part of log k, and raise the penalty until they
        do not differ more: the paper's constraint, there 0.01, which no code was released for. A slack of 0.1 suits
        unequal clusters of unknown sizes. 0 penalises every difference with a fixed weight, as the released code does.
    weight_information : float
        The paper's lambda: weight of the information against SAT.
    weight_marginal : float
        The paper's mu: weight of the shares against decidedness.
    reach : float
        The paper's alpha: length of a change, in distances to the eleventh neighbour.
    n_epochs : int
        Passes over the images; None takes 20, on more than 35,000 images as many as give 2800 steps, 8 at least.
    batch_size : int
        None takes 250 images, more for more than ten clusters.
    least_steps : int
        A round on a small set passes over it as often as this many steps need.
    learning_rate : float
        Of Adam.
    anneal : float
        Part of the epochs, at the end, over which the rate falls to nothing.
    n_heads : int
        Heads on the trunk; the one of lowest loss answers.
    n_positives : int
        The second view is made of one of so many nearest neighbours; 0 makes it of the image itself.
    warm_steps : int
        Steps in which half of the heads learn the clusters of the neighbour graph, before anything else; 0 makes none.
    n_graphs : int
        How often the neighbour graph of the learnt features is consulted.
    weight_graph : float
        Of its clusters before every head.
    final : {"graph", "head"}, optional
        Who answers in the end: the clusters of that graph, new images going where their nearest ones are, or the head
        of lowest loss, whose clusters are also kept where the graph's sizes are far from those expected. Labels of
        the head stay beside the result, as ``result_.variants["head"]``.
    view_strength : float or "auto"
        Of second views; 1 turns by up to 10 degrees and moves and scales by a tenth, 0 makes none.
    marginal_rate : float
        Weight of a batch in the running shares of the clusters; 1 takes those of the batch.
    width : int
        Maps of each convolution, or units of the paper's hidden layers.
    largest_side : int, optional
        Larger images are averaged down to this for a convolutional network.
    random_state : int, RandomState or None
        Seed.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> x = load_digits().images[:200].astype("float32") / 16
    >>> model = IMSAT(n_clusters=10, n_epochs=2, random_state=0).fit(x)
    >>> model.labels_.shape, model.embedding_.shape, model.predict_proba(x[:3]).shape
    ((200,), (200, 160), (3, 10))
    """

    _presets = PRESETS

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        preset: str = "default",
        backbone: str = "auto",
        image_size: int | tuple[int, int] | None = None,
        regularizer: str = "adversarial",
        prior: Sequence[float] | None = None,
        slack: float | None = None,
        weight_information: float | None = None,
        weight_marginal: float | None = None,
        reach: float | None = None,
        n_epochs: int | None = None,
        batch_size: int | None = None,
        least_steps: int | None = None,
        learning_rate: float | None = None,
        anneal: float | None = None,
        n_heads: int | None = None,
        n_positives: int | None = None,
        warm_steps: int | None = None,
        n_graphs: int | None = None,
        weight_graph: float | None = None,
        final: str | None = None,
        view_strength: float | str | None = None,
        marginal_rate: float | None = None,
        width: int | None = None,
        largest_side: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.preset = preset
        self.backbone = backbone
        self.image_size = image_size
        self.regularizer = regularizer
        self.prior = prior
        self.slack = slack
        self.weight_information = weight_information
        self.weight_marginal = weight_marginal
        self.reach = reach
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.least_steps = least_steps
        self.learning_rate = learning_rate
        self.anneal = anneal
        self.n_heads = n_heads
        self.n_positives = n_positives
        self.warm_steps = warm_steps
        self.n_graphs = n_graphs
        self.weight_graph = weight_graph
        self.final = final
        self.view_strength = view_strength
        self.marginal_rate = marginal_rate
        self.width = width
        self.largest_side = largest_side
        self.random_state = random_state

    @classmethod
    def _small(cls) -> dict[str, Any]:
        return {"n_clusters": 3, "n_epochs": 2, "least_steps": 3, "warm_steps": 3, "n_heads": 2, "width": 8}

    def _prepare(self, images: Images, run: Runtime) -> Images:
        """Frozen features or smaller images, computed once."""
        self._check_choices()
        return prepared(self._trunk(images.shape), images, run)

    # -- the four verbs ------------------------------------------------------------------------------------------------

    def _start(self, images: Images, run: Runtime) -> ImsatState:
        """A fresh network, and how far each image may be changed."""
        generator = self._generator()
        net = self._network(self._raw_shape)
        state = ImsatState(net, self._optimizer(net), generator, np.zeros(len(images), dtype=np.int64))
        state.planned = self._plan(len(images))[1]
        state.facts["pretrained"] = cast(Network, net.trunk).pretrained
        if self._set("reach") > 0 or self._set("n_positives") > 0:
            near = neighbours(flat(images), max(TENTH + 1, self._set("n_positives")))
            distance, mended = neighbour_radius(near.distance)
            state.radius, state.positives = self._set("reach") * distance, near.index[:, : self._set("n_positives")]
            state.facts["recall"] = near.recall
            if mended:
                run.progress.say(f"{mended} images have exact duplicates for neighbours; they get the others' radius.")
        self._begin(state, images, run)
        state.strength = view_strength(self._set("view_strength"), images, generator, run)
        if self._set("warm_steps") > 0 and self._k > 1:
            self._first_labels(state, images, run)
        return state

    def _round(self, state: ImsatState, images: Images, run: Runtime) -> Record:
        """Pass over the images, then look at all of them."""
        if state.warm:
            self._imitate(state, images, run)
        if state.epoch in self._graph_epochs(len(images)):
            self._consult(state, images, run)
        value = self._learn(state, images, run)
        state.epoch += 1
        head(state).chosen.fill_(int(state.terms[0].argmin()))
        p = embed(nn.Sequential(state.net, said(state)), images, run)
        state.labels = p.argmax(1).numpy()
        extra, done = self._judge(state, p, images, run)
        if self._by_graph and self._done(state):
            self._answer(state, images, run)
        return Record(value, self._k, extra | {"graph": int(len(state.guide) > 0)}, done)

    def _done(self, state: ImsatState) -> bool:
        return state.epoch >= self._plan(len(state.labels))[1]

    def _assign(self, state: State) -> nn.Module:
        """The head of lowest loss, or the vote of the nearest fitted images."""
        if self._by_graph:
            return NeighborVote.of(cast(Tensor, state.features), state.labels, n_neighbors=VOTERS, n_clusters=self._k)
        return said(state)

    def _network(self, shape: tuple[int, ...]) -> WithHead:
        trunk = self._trunk(shape)
        if not self._is_released:
            return WithHead(trunk, Heads(N_FEATURES, self._k, self._set("n_heads"), gain=GAIN))
        heads = Heads(self._set("width"), self._k, self._set("n_heads"))
        quiet_init(trunk.body, heads.linear)
        return WithHead(trunk, heads)

    # -- the neighbour graph -------------------------------------------------------------------------------------------

    def _first_labels(self, state: ImsatState, images: Images, run: Runtime) -> None:
        """Clusters of the neighbour graph, unless they are so unequal that they would lead astray."""
        state.labels = first_clusters(images.pixels, self._k)
        state.warm = self._of_wanted_sizes(state.labels)
        if not state.warm:
            run.progress.say("the neighbour graph has no clusters of the wanted sizes; all heads begin undecided.")

    def _imitate(self, state: ImsatState, images: Images, run: Runtime) -> None:
        """Half of the heads learn the first clusters; the trunk they form serves the others too."""
        state.warm = False
        size, labels = min(self._batch_size, len(images)), torch.from_numpy(state.labels)
        view = partial(moved, strength=state.strength) if state.strength > 0 else None
        loss = partial(imitation, labels=labels, n_heads=-(-self._set("n_heads") // 2), run=run)
        batches = drawn(len(images), size, self._set("warm_steps"), state.generator)
        fit_epoch(state, images, loss, run, batches=batches, view=view, passes=math.inf)  # beside the round's own

    def _consult(self, state: ImsatState, images: Images, run: Runtime) -> None:
        """Clusters of the learnt features by their neighbour graph, and what each head calls them."""
        features = embed(state.net, images, run)
        found = first_clusters(features.numpy(), self._k)
        state.guide = torch.zeros(0, dtype=torch.int64)
        if self._of_wanted_sizes(found):
            parts = torch.split(features, 8192)
            named = torch.cat([head(state).all(part.to(run.device_name)).argmax(-1).cpu() for part in parts])
            state.guide = torch.from_numpy(found)
            state.names = torch.stack(
                [torch.from_numpy(renaming(found, column, self._k)) for column in named.T.numpy()]
            )

    def _answer(self, state: ImsatState, images: Images, run: Runtime) -> None:
        """Take the clusters of the graph for the result, under the names that the head gives them; keep the head's."""
        state.variants = {"head": state.labels}
        state.features = embed(state.net, images, run)
        found = first_clusters(state.features.numpy(), self._k)
        if self._of_wanted_sizes(found):
            state.labels = renaming(found, state.labels, self._k)[found]

    def _of_wanted_sizes(self, labels: Index) -> bool:
        """Whether sizes are near enough to those expected for the clusters to lead."""
        spread = float(entropy(torch.from_numpy(np.bincount(labels, minlength=self._k) / len(labels))))
        return verdict(spread, 0.0, self._k, expected=float(entropy(self._prior))) == "well"

    def _graph_epochs(self, n: int) -> set[int]:
        """Epochs before which the graph of n images is consulted."""
        times = self._set("n_graphs") if self._set("weight_graph") > 0 and self._k > 1 else 0
        return {self._plan(n)[1] * (i + 1) // (times + 1) for i in range(times)} - {0}

    # -- one pass ------------------------------------------------------------------------------------------------------

    def _learn(self, state: ImsatState, images: Images, run: Runtime) -> float:
        """Information and SAT of every batch; what each head's came to is summed in `state.terms`."""
        state.terms = torch.zeros(3, self._set("n_heads"))
        loss = partial(self._loss, state=state, images=images, run=run)
        n = len(images)
        passes = self._plan(n)[0] * min(self._batch_size, n) / n
        return fit_epoch(state, images, loss, run, batches=self._batches(state, n), passes=passes)

    # -- the loss of a batch -------------------------------------------------------------------------------------------

    def _loss(
        self, net: nn.Module, index: Index, x: Tensor, *, state: ImsatState, images: Images, run: Runtime
    ) -> Tensor:
        """SAT and information of a batch, from one clean pass; the mean over the heads."""

        def outputs(x: Tensor) -> Tensor:
            return run.gather(probabilities(cast(WithHead, net), x))  # (b, h, k)

        p = outputs(x)
        sat = torch.zeros(p.shape[1], device=p.device)
        with probing(net):
            q = p
            if state.strength > 0 or state.positives.shape[1]:
                q = outputs(run.share(self._second_view(index, state, images, run)))
                sat = sat + self_augmented(p, q)
            if self._set("reach") > 0:
                radius = run.share(state.radius[index]).to(x)
                start = run.share(random_directions((len(index), *x.shape[1:]), state.generator)).to(x)
                scale = input_scale(x.shape[1:]) if self.preset == "paper" else None
                far = changed(
                    outputs, x, start, radius, lambda q: self_augmented(p, q).sum(),
                    regularizer=self.regularizer, scale=scale,
                )  # fmt: skip
                sat = sat + self_augmented(p, outputs(far))
        shares = marginal(p, state.shares, rate=self._set("marginal_rate"))
        away = kl_to_prior(shares, self._prior)
        told = information(p, away, weight=state.weight_marginal, allowed=self._allowed)
        losses: Tensor = sat + self._set("weight_information") * told
        if len(state.guide):
            named = state.names[:, state.guide[index]].T.to(q.device)
            losses = losses + self._set("weight_graph") * disagreement(q, named)
        state.shares, state.step = shares.detach().cpu(), state.step + 1
        state.terms += torch.stack([losses, sat, torch.ones_like(sat)]).detach().cpu()
        return losses.mean()

    def _second_view(self, index: Index, state: ImsatState, images: Images, run: Runtime) -> Tensor:
        """Each image, or one of its neighbours, moved ``(b,) -> (b, ...)``, for the whole batch."""
        index = stand_ins(index, state.positives, state.generator)
        with torch.autocast(run.device_name.split(":")[0], enabled=False):
            return moved(pixels(images, index, run), state.generator, strength=state.strength)

    def _batches(self, state: ImsatState, n: int) -> Iterator[Index]:
        """Batches of a round; the learning rate is set on the way."""
        steps, rounds = self._plan(n)
        for batch in full_batches(n, self._batch_size, steps, state.generator, anew=self.preset == "paper"):
            fall = fall_at_the_end(state.step / (steps * rounds), self._set("anneal"))
            set_rate(state.optimizer, self._set("learning_rate") * fall)
            yield batch

    def _plan(self, n: int) -> tuple[int, int]:
        """Steps of a round over n images, and rounds."""
        steps = max(n // min(self._batch_size, n), self._set("least_steps"))
        given = self._set("n_epochs")
        return steps, int(min(max(ENOUGH // steps, ROUNDS[0]), ROUNDS[1]) if given is None else given)

    # -- is it well? ---------------------------------------------------------------------------------------------------

    def _judge(
        self, state: ImsatState, p: Tensor, images: Images, run: Runtime
    ) -> tuple[dict[str, float | int | str], list[str]]:
        """Measure the answers of all images ``(n, k)``, raise the penalty, start over: columns and sentences."""
        shares, chosen = p.mean(0), int(head(state).chosen)
        spread, undecided = float(entropy(shares)), float(entropy(p).mean())
        away = float(kl_to_prior(shares, self._prior))
        extra: dict[str, float | int | str] = {
            "h_y": spread, "h_y_x": undecided, "kl_prior": away, "mu": state.weight_marginal, "head": chosen,
            "sat": float(state.terms[1, chosen]) / max(1.0, float(state.terms[2, 0])),
        }  # fmt: skip
        if 0 < self._allowed < away:
            state.weight_marginal *= RAISE
        expected = max(float(entropy(self._prior)) - self._allowed, 0.0)
        word = verdict(spread, undecided, self._k, expected=expected)
        if word == "well" or state.step < PATIENCE or state.restarts >= MOST_RESTARTS or self._done(state):
            return extra, []
        n_used, steps = used_clusters(state.labels, self._k), state.step
        self._start_over(state, images, run)
        what = f"had collapsed into {n_used}" if word == "collapsed" else "told nothing about the images"
        return extra, [f"restarted after {steps} steps, as the {self._k} clusters {what}"]

    def _start_over(self, state: ImsatState, images: Images, run: Runtime) -> None:
        """New weights; everything counts from nought again."""
        state.net.load_state_dict(self._network(self._raw_shape).state_dict())
        cast(torch.optim.Optimizer, state.optimizer).state.clear()
        state.step, state.epoch, state.shares, state.restarts = 0, 0, None, state.restarts + 1
        self._begin(state, images, run)

    # -- set-up --------------------------------------------------------------------------------------------------------

    @property
    def _k(self) -> int:
        return int(cast(int, self.n_clusters))

    @property
    def _prior(self) -> Tensor:
        return as_prior(self.prior, self._k)

    @property
    def _allowed(self) -> float:
        """The paper's delta: how far the shares may be from the prior, in nats."""
        return float(self._set("slack") * math.log(self._k))

    @property
    def _by_graph(self) -> bool:
        """Whether the neighbour graph of the features has the last word."""
        return self._k > 1 and bool(self._set("final") == "graph")

    @property
    def _batch_size(self) -> int:
        given = self._set("batch_size")
        return max(250, PER_CLUSTER * self._k) if given is None else int(given)

    @property
    def _is_released(self) -> bool:
        """Whether the network is the released code's."""
        return self.preset == "paper" and self.backbone != "convnet"

    def _trunk(self, shape: tuple[int, ...]) -> Network:
        if self._is_released:
            return wide_network(self.backbone, shape, self._set("width"))
        width, side = self.width or PRESETS["default"]["width"], self._set("largest_side")
        return network(self.backbone, shape, width=width, n_features=N_FEATURES, largest_side=side)

    def _begin(self, state: ImsatState, images: Images, run: Runtime) -> None:
        """Mean and spread of the input, and the first weight of the shares."""
        state.weight_marginal = self._set("weight_marginal")
        measure(state.net, sampled(images, state.generator, run))

    def _optimizer(self, net: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam([w for w in net.parameters() if w.requires_grad], self._set("learning_rate"))

    def _check_choices(self) -> None:
        """Refuse choices that do not exist, one sentence each."""
        refuse_no_count(self)
        as_prior(self.prior, self._k)
        final = self._set("final")
        refuse_unknown({
            "regularizer": (self.regularizer, ("adversarial", "random")), "final": (final, ("graph", "head")),
        })  # fmt: skip
        least = FEWEST * self._k
        if self.batch_size is not None and self.batch_size < least and self._set("marginal_rate") == 1:
            raise InputError(
                f"batch_size is {self.batch_size} for {self._k} clusters; expected at least {least}, or their shares "
                "cannot be told from a batch: raise it, or set marginal_rate to 0.1."
            )


# -- the equations -----------------------------------------------------------------------------------------------------


def probabilities(net: WithHead, x: Tensor) -> Tensor:
    """What each head says about images ``(b, ...) -> (b, h, k)``, in float32."""
    logits = cast(Heads, net.head).all(net(x))
    with torch.autocast(logits.device.type, enabled=False):
        return logits.float().softmax(-1)


def imitation(net: nn.Module, index: Index, x: Tensor, *, labels: Tensor, n_heads: int, run: Runtime) -> Tensor:
    """Cross entropy of the first heads to given clusters, a tenth of it to all alike ``(b,), (b, ...) -> ()``."""
    logits = run.gather(cast(Heads, cast(WithHead, net).head).all(net(x)))[:, :n_heads]
    target = labels[index].to(x.device).repeat_interleave(n_heads)
    with torch.autocast(x.device.type, enabled=False):
        return functional.cross_entropy(logits.float().flatten(0, 1), target, label_smoothing=0.1)


def self_augmented(target: Tensor, p: Tensor) -> Tensor:
    """SAT: mean divergence of the changed images' predictions from the clean ones, a constant ``(b, h, k) -> (h,)``.

    The paper states the cross entropy; the released code's divergence has the same gradient.

    Examples
    --------
    >>> self_augmented(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.5, 0.5]]]))
    tensor([0.6931])
    """
    return divergence(target.detach(), p).mean(0)


def disagreement(p: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of each head to its labels, a tenth of it to all alike ``(b, h, k), (b, h) -> (h,)``.

    Examples
    --------
    >>> disagreement(torch.tensor([[[0.9, 0.1]]]), torch.tensor([[0]]))
    tensor([0.2152])
    """
    log = p.clamp(min=1e-6).log()
    said = log.gather(-1, labels[..., None]).squeeze(-1)
    return -(0.9 * said + 0.1 * log.mean(-1)).mean(0)


def information(p: Tensor, away: Tensor, *, weight: float, allowed: float = 0.0) -> Tensor:
    """What is minimised for information ``(b, h, k), (h,) -> (h,)``: H(Y|X) + mu * max(0, KL(p(y) || q(y)) - delta).

    For equal stated shares and no delta it is the released code's H(Y|X) - mu * H(Y), but for a constant, mu * log k.

    Parameters
    ----------
    away : (h,)
        Divergence of the clusters' shares from the prior, see `kinfold.ops.information.kl_to_prior`.
    weight : float
        The paper's mu.
    allowed : float
        The paper's delta, in nats.

    Examples
    --------
    >>> information(torch.tensor([[[0.5, 0.5]]]), torch.tensor([0.3]), weight=4.0, allowed=0.1)
    tensor([1.4931])
    """
    beyond = torch.relu(away - allowed) if allowed > 0 else away
    return entropy(p).mean(0) + weight * beyond


# -- small parts -------------------------------------------------------------------------------------------------------


def head(state: State) -> Heads:
    """The heads of a state's network."""
    return cast(Heads, cast(WithHead, state.net).head)


def said(state: State) -> nn.Module:
    """What the head of lowest loss says of features ``(b, d) -> (b, k)``."""
    return nn.Sequential(head(state).answering(), nn.Softmax(1))
