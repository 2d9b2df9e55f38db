"""IIC: invariant information clustering.

Ji, Henriques, Vedaldi, ICCV 2019, arXiv 1807.06653. A network gives each image soft clusters; the mutual information
between the clusters of two random views of the same image is maximised, so that certain, equally used clusters survive
what a view changes. A second head with more clusters than wanted learns beside it and forms the features.

``preset="paper"`` is the schedule, networks, views and constants of the released scripts, one set of them for each
kind of image; `as_released` brings back their defects. ``preset="default"`` is our own best. It differs by

- both heads learning in the same step, from the same views;
- a network of a fortieth of the multiplications, and fewer second views of more images;
- views that turn, shift, stretch and slant the whole image in place of crops, for grey images;
- half of the second views being of a near neighbour (an idea of SCAN, Van Gansbeke et al. 2020), for grey images and
  vectors: two ways of drawing one digit, which no view joins, have neighbours in between;
- a larger rate that falls, and images in new order every epoch;
- features of unit spread and heads that begin apart, so that no brightness takes all clusters;
- all main sub-heads but the best made anew once, from clusters of the overclustering that images wander between;
- starts that learn nothing being repeated; no label is looked at for either.

In both, each first view goes through the network once and its outcome is compared with all its second views (equal
gradients, by a test), batches are of even size, and the sub-head that answers is the one whose information is highest
over a full pass. The differences stand one by one in ``docs/algorithms/iic.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from kinfold.data import views
from kinfold.data.images import Images
from kinfold.data.sample import even, stand_ins
from kinfold.errors import InputError
from kinfold.estimator import DeepClusterer, Record, State
from kinfold.inputs import refuse_defects, refuse_unknown
from kinfold.nn.backbones import PHOTOGRAPH, Shrink, Sphere, Standardize, chosen, net6c, network, perceptron, shrunk
from kinfold.nn.edges import Sobel
from kinfold.nn.residual import net5g
from kinfold.nn.two_heads import Answer, CentralCrop, TwoHeads, first_weights, linear_answer
from kinfold.ops.batch_norm import measuring
from kinfold.ops.information import entropy, verdict
from kinfold.ops.joint import coarsened, joint_table, paired_table, table_information
from kinfold.ops.knn import neighbours
from kinfold.parameters import refuse_no_count
from kinfold.runtime import Runtime
from kinfold.train import embed, fit_epoch, flat, half_cosine, pixels, prepared, set_rate, through, view_strength

Index = npt.NDArray[np.int64]
View = Callable[[Tensor, torch.Generator], Tensor]
Tables = dict[str, Tensor]

RELEASED = ("no-overclustering", "fixed-order")
HEADS = {"A": ("over",), "B": ("main",), "together": ("main", "over")}
PATIENCE = 200  # steps after which a run must have learnt something
MOST_RESTARTS = 3
FEWEST = 10  # images of a batch for each cluster, below which its table is noise
WARM_UP = 100  # steps to the full rate
MEASURED = 10_000  # images from which batch norm takes its statistics
MOST_ROUNDS = 25  # looks at all images, where the number of epochs is ours to choose
BESIDE = 0.5  # share of second views that are of a neighbour
JOINED_AT = 0.3  # share of a run at which the overclustering is joined into the main head
GAIN = 2.0  # spread of the first logits, on features of unit spread

# What the released commands set for each kind of image: grey (MNIST), colour under 64 pixels (CIFAR), larger (STL-10).
# A batch of 700 pairs with 5 second views of each is 140 images. Epochs: as many as the published runs really took.
# Crops: shares of the shorter side, the first for the plain view. Nothing was published for vectors.
PAPER: dict[str, dict[str, Any]] = {
    "grey": {
        "backbone": "net6c", "n_epochs": 462, "batch_size": 140, "n_repeats": 5, "passes": "BBA", "over": 5,
        "batchnorm_track": False, "views": "crops", "sobel": False, "crops": (20 / 28, 16 / 28, 24 / 28), "size": 24,
    },
    "colour": {
        "backbone": "net5g", "n_epochs": 1447, "batch_size": 220, "n_repeats": 3, "passes": "ABB", "over": 7,
        "batchnorm_track": False, "views": "crops", "sobel": True, "crops": (20 / 32,), "size": 32,
    },
    "photograph": {
        "backbone": "net5g", "n_epochs": 388, "batch_size": 140, "n_repeats": 5, "passes": "AB", "over": 7,
        "batchnorm_track": True, "views": "crops", "sobel": True, "crops": (64 / 96,), "size": 64,
    },
    "vector": {
        "backbone": "perceptron", "n_epochs": 100, "batch_size": 140, "n_repeats": 5, "passes": "BBA", "over": 5,
        "batchnorm_track": True, "views": "swayed", "sobel": False, "crops": (), "size": 0,
    },
}  # fmt: skip
ALWAYS: dict[str, dict[str, Any]] = {
    "paper": {
        "learning_rate": 1e-4, "n_heads": 5, "width": 64, "kernel": 5, "largest_side": 96, "least_steps": 0,
        "normalize": False, "n_positives": 0,
    },
    "default": {
        "learning_rate": 2e-3, "n_heads": 5, "width": 16, "kernel": 3, "largest_side": 48, "batch_size": 250,
        "n_repeats": 2, "passes": "together", "batchnorm_track": False, "n_epochs": None, "least_steps": 2000,
        "normalize": True, "n_positives": 0,
    },
}  # fmt: skip
OURS: dict[str, dict[str, Any]] = {
    "grey": {"views": "swayed", "n_positives": 5},
    "colour": {"width": 32},
    "photograph": {"width": 32, "largest_side": 96},
    "vector": {"n_positives": 5},
}
PRESETS = {
    "default": {kind: PAPER[kind] | ALWAYS["default"] | OURS[kind] for kind in PAPER},
    "paper": {kind: PAPER[kind] | ALWAYS["paper"] for kind in PAPER},
}


@dataclass
class IICState(State):
    """What changes while IIC runs.

    Attributes
    ----------
    positives : (n, m) int64
        Nearest neighbours, of which second views may be.
    epoch, step : int
        Since the last start: how often all heads have been passed, and optimiser steps.
    restarts : int
        Starts that learnt nothing.
    strength : float
        Of our views, 0 to 1.
    """

    positives: Index = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))
    epoch: int = 0
    step: int = 0
    restarts: int = 0
    strength: float = 1.0


class IIC(DeepClusterer[IICState]):
    """Cluster images so that two views of one image tell the most about each other.

    Parameters
    ----------
    n_clusters : int
        How many; with one there is nothing to learn.
    preset : {"default", "paper"}
        Where every parameter that is None takes its value from, for the kind of image at hand.
    backbone : str
        "net6c" (digits), "net5g" (small colour images), "convnet" (two convolutions, as the other algorithms of this
        package have), "perceptron" (vectors), or a pretrained one
        ("efficientnet-lite0", "timm:NAME") whose features are computed once and frozen. "auto" decides by the images.
    image_size : int or (h, w), optional
        Resize images to this.
    n_overclusters : int, optional
        Clusters of the auxiliary head; None takes 5 times `n_clusters` for grey images and vectors, 7 times for
        colour; 0 goes without.
    n_heads : int, optional
        Sub-heads of each head, of which one answers.
    passes : str, optional
        "together": both heads learn in each step; or the paper's order of epochs, such as "BBA": twice the main head
        (the paper's B), then once the overclustering (A).
    n_epochs : int, optional
        How often `passes` are gone through; None takes as many as give 2000 steps.
    batch_size : int, optional
        Different images of a batch. The released scripts count pairs: 700 are 140 images with 5 second views each.
    n_repeats : int, optional
        Second views of each image of a batch.
    n_positives : int, optional
        Half of the second views are of one of so many nearest neighbours; 0 makes all of the image itself. None takes 5
        for grey images and vectors, whose distances say something, and 0 for others.
    learning_rate : float, optional
    marginal_weight : float
        The paper's lambda, see `kinfold.ops.joint.table_information`.
    width : int, optional
        Maps of the first convolution.
    views : {"crops", "swayed"}, optional
        The paper's crops and colours, or our own, see `kinfold.data.views.swayed`.
    view_strength : float or "auto"
        Of our views; "auto" makes them as strong as the distance to the nearest neighbour allows.
    sobel : bool, optional
        Look at edges in place of colours.
    batchnorm_track : bool, optional
        Evaluate with the running averages of training; else with statistics measured on evaluated views.
    as_released : tuple of str
        Defects of the released code to reproduce with ``preset="paper"``: "no-overclustering" (the script for MNIST
        trains the main head in every pass), "fixed-order" (every epoch has the same batches, in stored order).
    random_state : int, RandomState or None
        Seed.

    Attributes
    ----------
    embedding_ : (n, d) float32
        Logits of all sub-heads, main head first: what each of them makes of an image.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> x = load_digits().images[:200].astype("float32") / 16
    >>> model = IIC(n_clusters=10, n_epochs=2, n_heads=2, random_state=0).fit(x)
    >>> model.labels_.shape, model.embedding_.shape, model.predict(x[:3]).shape
    ((200,), (200, 120), (3,))
    """

    _presets = PRESETS

    def __init__(
        self,
        n_clusters: int = 10,
        *,
        preset: str = "default",
        backbone: str = "auto",
        image_size: int | tuple[int, int] | None = None,
        n_overclusters: int | None = None,
        n_heads: int | None = None,
        passes: str | None = None,
        n_epochs: int | None = None,
        batch_size: int | None = None,
        n_repeats: int | None = None,
        n_positives: int | None = None,
        learning_rate: float | None = None,
        marginal_weight: float = 1.0,
        width: int | None = None,
        views: str | None = None,
        view_strength: float | str = "auto",
        sobel: bool | None = None,
        batchnorm_track: bool | None = None,
        as_released: tuple[str, ...] = (),
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.preset = preset
        self.backbone = backbone
        self.image_size = image_size
        self.n_overclusters = n_overclusters
        self.n_heads = n_heads
        self.passes = passes
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.n_repeats = n_repeats
        self.n_positives = n_positives
        self.learning_rate = learning_rate
        self.marginal_weight = marginal_weight
        self.width = width
        self.views = views
        self.view_strength = view_strength
        self.sobel = sobel
        self.batchnorm_track = batchnorm_track
        self.as_released = as_released
        self.random_state = random_state

    @classmethod
    def _small(cls) -> dict[str, Any]:
        return {"n_clusters": 3, "n_epochs": 3, "n_heads": 2, "width": 4, "batch_size": 30}

    def _prepare(self, images: Images, run: Runtime) -> Images:
        """Frozen features or smaller images, computed once."""
        self._check_choices(images)
        return prepared(self._network(images.shape), images, run, instead="net5g")

    # -- the four verbs ------------------------------------------------------------------------------------------------

    def _start(self, images: Images, run: Runtime) -> IICState:
        generator, n = self._generator(), len(images)
        net = self._network(self._raw_shape)
        first_weights(net, gain=GAIN if self.preset == "default" else None)
        some = torch.randperm(n, generator=generator)[:10_000].numpy()
        x = pixels(images, some, run).cpu()
        looked = Sobel()(net.look(x)) if self._set("sobel") else net.look(x)
        for layer in net.trunk.modules():
            if isinstance(layer, Standardize):
                layer.measure(looked.flatten(1) if layer.mean.ndim == 1 else looked)
        weights = [w for name, w in net.named_parameters() if not name.startswith("front.")]
        optimizer = torch.optim.Adam(weights, self._set("learning_rate"))
        state = IICState(net, optimizer, generator, np.zeros(n, dtype=np.int64))
        state.strength = view_strength(self.view_strength, images, generator, run, x=x)
        state.facts["pretrained"] = net.pretrained
        if self._set("n_positives") > 0:
            near = neighbours(flat(images), self._set("n_positives"))
            state.positives, state.facts["recall"] = near.index, near.recall
        state.planned = math.ceil(self._epochs(n) / self._span(n))
        return state

    def _round(self, state: IICState, images: Images, run: Runtime) -> Record:
        """Pass the heads; then let the best main sub-head say what cluster each image is in."""
        if self.n_clusters == 1:
            state.epoch = self._epochs(len(images))
            return Record(None, 1, done=["nothing was learnt: in one cluster, views can tell nothing about each other"])
        done = self._advice(state, images)
        losses: dict[str, float] = {}
        tables: Tables = {}
        for _ in range(min(self._span(len(images)), self._epochs(len(images)) - state.epoch)):
            for letter in self._order():
                losses[letter] = self._learn(state, images, run, HEADS[letter], tables)
            state.epoch += 1
        net = cast(TwoHeads, state.net)
        information = table_information(tables["main"], marginal_weight=self.marginal_weight)
        net.chosen.fill_(int(information.argmax()))
        if self.preset == "default":
            done += self._repair(state, images, tables, run)
        if not self._set("batchnorm_track"):
            self._measure(state, images, run)
        logits, last = embed(net, images, run), self._done(state)
        if last:
            net.chosen.fill_(int(self._weigh(state, images, logits, run).argmax()))
            state.features = logits
        state.labels = self._assign(state)(logits).argmax(1).numpy()
        extra: dict[str, float | int | str] = {
            "head": int(net.chosen), "information": float(information.max()), "behind": float(information.min()),
        }  # fmt: skip
        if "over" in tables:
            extra["information_over"] = float(table_information(tables["over"]).mean())
        return Record(losses.get("B", losses.get("together")), self.n_clusters, extra, done)

    def _done(self, state: IICState) -> bool:
        return state.epoch >= self._epochs(len(state.labels))

    def _assign(self, state: State) -> nn.Module:
        """The main sub-head of highest information."""
        return Answer(int(cast(TwoHeads, state.net).chosen), self.n_clusters)

    def _network(self, shape: tuple[int, ...]) -> TwoHeads:
        name, front, seen, pretrained = self._backbone(shape), cast(nn.Module, nn.Identity()), shape, None
        sobel, width = self._set("sobel"), self._set("width")
        if name.startswith(("efficientnet", "timm:")):
            from kinfold.nn.pretrained import frozen

            extractor = frozen(name)
            front, seen, pretrained = nn.Sequential(extractor, Sphere()), (extractor.n_features,), name
        elif len(shape) == 3:
            seen = shrunk((shape[0], shape[1], shape[2]), self._set("largest_side"))
            front = Shrink(seen[1:]) if seen != shape else front
        look: nn.Module = nn.Identity()
        if self._set("views") == "crops" and len(seen) == 3:
            look = CentralCrop(sides(self._set("crops"), seen)[0], self._set("size"))
        trunk: list[nn.Module] = []
        n_channels = 2 if sobel else seen[0]
        if name in ("net6c", "net5g"):
            trunk += [Sobel()] if sobel else [Standardize((seen[0], 1, 1))] if self._set("normalize") else []
            trunk += net6c(n_channels, width=width, kernel=self._set("kernel")) if name == "net6c" else []
            trunk += net5g(n_channels, width=width) if name == "net5g" else []
        elif name == "convnet":
            looked = look(torch.zeros(1, *seen)).shape[2:]
            trunk += [Sobel()] if sobel else []
            trunk.append(network(name, (n_channels, *looked), width=width).body)
        else:
            trunk += [nn.Flatten(), *perceptron(look(torch.zeros(1, *seen)).numel())[:-2]]
        over = self.n_clusters * self._set("over") if self.n_overclusters is None else self.n_overclusters
        return TwoHeads(
            front, look, nn.Sequential(*trunk), seen, n_clusters=self.n_clusters, n_over=over,
            n_heads=self._set("n_heads"), normalize=self._set("normalize"), pretrained=pretrained,
        )  # fmt: skip

    def opinions(self, X: Any, *, runtime: Runtime | None = None) -> list[npt.NDArray[np.float32]]:
        """Probabilities by every sub-head, those of the main head first ``-> [(m, k), ..., (m, K), ...]``.

        The overclustering is for those who know a few labels, see `kinfold.fewlabels`.
        """
        logits = torch.from_numpy(self.transform(X, runtime=runtime))
        net = cast(TwoHeads, self.state_.net)
        widths = [head.n_clusters for head in (net.main, net.over) if head is not None for _ in range(head.n_heads)]
        return [part.softmax(1).numpy() for part in torch.split(logits, widths, dim=1)]

    def second_view(self) -> View:
        """The view that the plain one was compared with, ``view(x, generator) -> x``."""
        shape = cast(TwoHeads, self.state_.net).seen
        return self._views(shape, getattr(self.state_, "strength", 1.0))[1]

    def seen(self, X: Any, *, runtime: Runtime | None = None) -> Images:
        """Images as the trunk is given them: through what never learns."""
        run = runtime or Runtime()
        images, front = self._images(X, run, fitting=False), cast(TwoHeads, self.state_.net).front
        return through(front, images, replace(run, folder=None), cache="")

    # -- learning ------------------------------------------------------------------------------------------------------

    def _learn(self, state: IICState, images: Images, run: Runtime, heads: tuple[str, ...], tables: Tables) -> float:
        """One pass of these heads over all images; their mean tables go into `tables`."""
        if cast(TwoHeads, state.net).over is None:
            heads = ("main",)
        plain, other = self._views(images.shape, state.strength)
        heard: dict[str, list[Tensor]] = {name: [] for name in heads}
        n, n_repeats = len(images), self._set("n_repeats")
        loss = fit_epoch(
            state, images, partial(self._loss, run=run, heard=heard), run, batches=self._batches(state, n),
            view=partial(pair, plain=plain, other=other, n_repeats=n_repeats),
            passes=self._span(n) * len(self._order()) * (1 + n_repeats),
        )  # fmt: skip
        tables.update({name: torch.stack(found).mean(0).cpu() for name, found in heard.items()})
        return loss

    def _loss(self, net: nn.Module, index: Index, x: Tensor, *, run: Runtime, heard: dict[str, list[Tensor]]) -> Tensor:
        """Negative information of each head's tables, the mean over its sub-heads, summed over the heads."""
        n = len(index) // (1 + self._set("n_repeats"))
        own = len(run.share(index[:n]))
        # One pass for each half, so that each has batch statistics of its own.
        first, second = (cast(TwoHeads, net).logits(part, tuple(heard)) for part in (x[:own], x[own:]))
        total = torch.zeros((), device=x.device)
        for name, found in heard.items():
            table = paired_table(run.gather(torch.cat([first[name], second[name]]).softmax(2)), n)
            found.append(table.detach())
            total = total - table_information(table, marginal_weight=self.marginal_weight).mean()
        return total

    def _batches(self, state: IICState, n: int) -> Iterator[Index]:
        """Batches of one pass, each with the images of its second views; the learning rate is set on the way."""
        size, generator = self._set("batch_size"), None if "fixed-order" in self.as_released else state.generator
        total = self._epochs(n) * math.ceil(n / size)
        for batch in even(n, size, generator):
            state.step += 1
            factor = 1.0
            if self.preset == "default":
                warm = min(1.0, state.step / min(WARM_UP, max(1, total // 10)))
                factor = warm * half_cosine(state.step / total, last=0.02)
            set_rate(state.optimizer, self._set("learning_rate") * factor)
            partners = np.tile(batch, self._set("n_repeats"))
            yield np.concatenate([batch, stand_ins(partners, state.positives, state.generator, share=BESIDE)])

    def _views(self, shape: tuple[int, ...], strength: float) -> tuple[View, View]:
        """The plain view and the other."""
        if self._set("views") == "swayed":
            gentle = partial(views.moved, strength=0.5 * strength)
            return gentle, partial(views.swayed, strength=strength)
        crops, size = sides(self._set("crops"), shape), self._set("size")
        if self._kind(self._shape) == "grey":
            return (
                partial(views.iic_mnist_plain, crop=crops[0], size=size),
                partial(views.iic_mnist_transformed, crops=crops, size=size),
            )
        return (
            partial(views.iic_colour_plain, crop=crops[0], size=size),
            partial(views.iic_colour_transformed, crop=crops[0], size=size),
        )

    # -- looking -------------------------------------------------------------------------------------------------------

    def _measure(self, state: IICState, images: Images, run: Runtime) -> None:
        """Batch-norm statistics of evaluated views, from up to 10,000 images."""
        net = cast(TwoHeads, state.net)
        some = torch.randperm(len(images), generator=state.generator)[:MEASURED].numpy()
        with measuring(net.trunk), torch.no_grad():
            for batch in np.array_split(some, math.ceil(len(some) / 1000)):
                net.features(pixels(images, run.share(batch), run))

    def _weigh(self, state: IICState, images: Images, logits: Tensor, run: Runtime) -> Tensor:
        """Information of every main sub-head over all images, each with another view ``-> (s,)``.

        A view of one of the image's neighbours, where those are known: views of the image itself may tell as much where
        two kinds of image share a cluster.
        """
        net, (_, other) = cast(TwoHeads, state.net), self._views(images.shape, state.strength)
        k, n_heads = self.n_clusters, net.main.n_heads
        net.eval()
        total = torch.zeros(n_heads, k, k)
        for rows in np.array_split(np.arange(len(images)), math.ceil(len(images) / 1000)):
            partners = stand_ins(rows, state.positives, state.generator)
            view = other(pixels(images, partners, run), state.generator)
            with torch.no_grad():
                second = net.logits(run.share(view))["main"].softmax(2)
            first = run.share(logits[rows][:, : n_heads * k].reshape(-1, n_heads, k)).to(second).softmax(2)
            total += run.sum(joint_table(first, second) * len(first)).cpu()
        return table_information(total / len(images), marginal_weight=self.marginal_weight)

    # -- what is done against trouble, without labels ------------------------------------------------------------------

    def _advice(self, state: IICState, images: Images) -> list[str]:
        """A sentence about batches that are too small, in the first round."""
        held = min(self._set("batch_size"), len(images))
        if state.round > 0 or held >= FEWEST * self.n_clusters:
            return []
        return [
            f"a batch holds {held} different images for {self.n_clusters} clusters; with fewer than {FEWEST} a cluster "
            "its table is noise: raise batch_size, or bring more images"
        ]

    def _repair(self, state: IICState, images: Images, tables: Tables, run: Runtime) -> list[str]:
        """Start anew what has learnt nothing; at fixed points give the main head what the overclustering has found."""
        table, n = tables["main"], len(images)
        information = table_information(table)
        best = int(information.argmax())
        spread = float(entropy(table[best].sum(1)))
        found = verdict(spread, spread - float(information[best]), self.n_clusters)
        if found != "well" and state.step >= PATIENCE and state.restarts < MOST_RESTARTS:
            first_weights(cast(TwoHeads, state.net), gain=GAIN)
            self._forget(state)
            state.restarts, steps, state.step, state.epoch = state.restarts + 1, state.step, 0, 0
            return [f"restarted, as the network was {found} after {steps} steps"]
        total, span = self._epochs(n), self._span(n)
        if "over" in tables and state.epoch - span < JOINED_AT * total <= state.epoch < total:
            self._join(state, images, tables["over"], best, run)
        return []

    def _join(self, state: IICState, images: Images, tables: Tensor, best: int, run: Runtime) -> None:
        """Make all main sub-heads but the best anew: each answers as one overclustering does with clusters joined."""
        net = cast(TwoHeads, state.net)
        self._measure(state, images, run)
        net.eval()
        some = torch.randperm(len(images), generator=state.generator)[:MEASURED].numpy()
        parts = np.array_split(some, math.ceil(len(some) / 1000))
        with torch.no_grad():
            features = torch.cat([net.features(pixels(images, rows, run)) for rows in parts]).float()
            over = cast(nn.Module, net.over)(features).softmax(2)
        for head in set(range(net.main.n_heads)) - {best}:
            names = coarsened(tables[head], self.n_clusters).to(over.device)
            joined = over[:, head] @ nn.functional.one_hot(names, self.n_clusters).to(over)
            net.main.set(head, *linear_answer(features, joined))
        self._forget(state, net.main)

    def _forget(self, state: IICState, layer: nn.Module | None = None) -> None:
        """Let the optimiser begin anew with a layer's weights, or with all."""
        if state.optimizer is None:
            return
        if layer is None:
            state.optimizer.state.clear()
            return
        for weight in layer.parameters():
            state.optimizer.state.pop(weight, None)

    # -- set-up --------------------------------------------------------------------------------------------------------

    def _kind(self, shape: tuple[int, ...]) -> str:
        """Which of the paper's kinds of image this is."""
        if len(shape) == 1:
            return "vector"
        if shape[0] == 1:
            return "grey"
        return "colour" if min(shape[1:]) < PHOTOGRAPH else "photograph"

    def _backbone(self, shape: tuple[int, ...]) -> str:
        if self.backbone != "auto":
            return self.backbone
        if self.preset == "default" and self._kind(shape) == "photograph" and chosen(shape) != "convnet":
            return chosen(shape)
        return str(PRESETS[self.preset][self._kind(shape)]["backbone"])

    def _standing(self) -> Mapping[str, Any]:
        """The preset for this kind of image."""
        pretrained = self._backbone(self._shape).startswith(("efficientnet", "timm:"))
        return PRESETS[self.preset]["vector" if pretrained else self._kind(self._shape)]

    @property
    def _shape(self) -> tuple[int, ...]:
        """Of the images that came, in a fit or in the one that was loaded."""
        found: tuple[int, ...] = getattr(self, "_raw_shape", None) or self.images_shape_
        return found

    def _epochs(self, n: int) -> int:
        given = self._set("n_epochs")
        return (
            math.ceil(self._set("least_steps") / math.ceil(n / self._set("batch_size")))
            if given is None
            else int(given)
        )

    def _span(self, n: int) -> int:
        """Epochs of a round."""
        return 1 if self._set("n_epochs") is not None else math.ceil(self._epochs(n) / MOST_ROUNDS)

    def _order(self) -> tuple[str, ...]:
        """Which heads learn, epoch by epoch."""
        passes = str(self._set("passes"))
        if passes == "together":
            return (passes,)
        return tuple("B" if "no-overclustering" in self.as_released else letter for letter in passes)

    def _check_choices(self, images: Images) -> None:
        """Refuse what cannot be meant, in one sentence each."""
        refuse_no_count(self)
        passes = self._set("passes")
        if passes != "together" and (not passes or set(passes) - set("AB") or "B" not in passes):
            raise InputError(f"passes is {passes!r}; expected 'together', or letters A and B such as 'BBA'.")
        refuse_unknown({"views": (self._set("views"), ("crops", "swayed"))})
        name = self._backbone(images.shape)
        if name not in ("net6c", "net5g", "convnet", "perceptron", "efficientnet-lite0") and not name.startswith(
            "timm:"
        ):
            raise InputError(
                f"backbone is {name!r}; expected 'auto', 'net6c', 'net5g', 'convnet', 'perceptron', "
                "'efficientnet-lite0' or 'timm:NAME'."
            )
        if images.is_vectors and (name != "perceptron" or self._set("views") == "crops" or self._set("sobel")):
            raise InputError(
                f"vectors of {images.shape[0]} numbers came; expected images for backbone {name!r}, views 'crops' and "
                "sobel: leave these three as they are."
            )
        refuse_defects(self.as_released, RELEASED, self.preset)
        if self.n_overclusters not in (None, 0) and self.n_overclusters <= self.n_clusters:
            raise InputError(
                f"n_overclusters is {self.n_overclusters}; expected more than the {self.n_clusters} clusters, or 0."
            )


# -- the equations -----------------------------------------------------------------------------------------------------


def sides(shares: tuple[float, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Sides of the crops in pixels, for images of this shape.

    Examples
    --------
    >>> sides(PAPER["grey"]["crops"], (1, 28, 28)), sides(PAPER["colour"]["crops"], (3, 32, 32))
    ((20, 16, 24), (20,))
    """
    return tuple(max(1, round(share * min(shape[1:]))) for share in shares)


def pair(x: Tensor, generator: torch.Generator, *, plain: View, other: View, n_repeats: int) -> Tensor:
    """The plain view of a batch, the other of what stands beside it ``(b (1 + r), ...) -> (b (1 + r), ...)``.

    Rows i, b + i, 2 b + i, ... belong together.
    """
    n = len(x) // (1 + n_repeats)
    return torch.cat([plain(x[:n], generator), other(x[n:], generator)])
