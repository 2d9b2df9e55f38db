"""The experimental study: IMSAT's and IIC's information, crossed with every transformation, inside it or beside it.

Peng, Desrosiers, Pedersoli, "Information based Deep Clustering: An experimental study", arXiv 1910.01665. IMSAT asks
what clusters tell about images, IIC what they tell about the clusters of a changed copy. A change is a function here,
and either makes the copy inside IIC's information or holds two predictions together as a weighted divergence beside
the information.

``preset="paper"`` has the study's network, batches, weights and schedule, and starts nothing over, so that collapses
can be counted. ``preset="default"`` differs by

- a narrower network, larger batches, fewer second views, a rate that falls along a cosine;
- features brought to mean nought and spread one before the head, which begins with clusters apart;
- restarts of dead and collapsed runs, found without labels.

In both, a first view goes through the network once, however many copies it is compared with; what the study's code
computes otherwise than its text says is computed as the text says (``docs/algorithms/information_study.md``); and the
last epoch is the result, where the study reports the best epoch by labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from kinfold.data import photometric
from kinfold.data.images import Images
from kinfold.data.sample import even
from kinfold.data.study_views import crop_and_size, kind, strong, weak
from kinfold.data.views import jitter
from kinfold.errors import InputError
from kinfold.estimator import DeepClusterer, Record, State
from kinfold.inputs import refuse_unknown
from kinfold.nn.backbones import Shrink, Standardize, net6c, perceptron, shrunk
from kinfold.nn.ranges import UnitRange
from kinfold.nn.residual import net5g
from kinfold.nn.two_heads import Answer, CentralCrop, TwoHeads, first_weights
from kinfold.ops.adversarial import adversarial_directions, pushed, random_directions
from kinfold.ops.batch_norm import probing
from kinfold.ops.information import conditional_entropy, kl, marginal_entropy, verdict
from kinfold.ops.joint import joint_table, table_information
from kinfold.runtime import Runtime
from kinfold.train import embed, fit_epoch, half_cosine, pixels, prepared, sampled, set_rate

Index = npt.NDArray[np.int64]
EPS = 1e-16  # inside the logarithms of the divergences
WEIGHT, WEIGHT_MARGINAL = 0.1, 4.0  # of IMSAT's information, and of H(Y) in it
RADIUS = {"grey": 2.0, "colour": 0.625, "vector": 2.0}  # of the adversarial change: 8 and 2.5 times 0.25
LARGEST_SIDE = 48  # larger images are averaged down
FEWEST = 10  # images of a batch for each cluster, below which shares are noise
MOST_RESTARTS = 3
LEAST_STEPS = 600  # of the default preset, where n_epochs is not given
GAIN = 2.0  # spread of the first logits in the default preset
PATIENCE = 200  # steps after which a run must say something
OBJECTIVES = ("imsat", "iic", "imsat+iic")

PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        "n_epochs": 30, "batch_size": 250, "n_repeats": 2, "learning_rate": 2e-3, "width": 32,
        "restarts": MOST_RESTARTS,
    },
    "paper": {
        "n_epochs": 2000, "batch_size": 100, "n_repeats": 4, "learning_rate": 2e-3, "width": 64, "restarts": 0,
    },
}  # fmt: skip


# -- transformations ---------------------------------------------------------------------------------------------------


@dataclass
class Batch:
    """What a transformation sees: the whole batch, on every process.

    Attributes
    ----------
    source : (b, c, H, W)
        Images as they are, pixels in [0, 1]; or vectors of unit spread, (b, d).
    x : (b, c, h, w)
        The view of them that was looked at.
    p : (b, k)
        What the network says of it; constant.
    answers : callable
        ``(b, c, h, w) -> (b, k)``: what the network says of other images. Batch norm does not remember them, and a
        process fills in the gradient of its own share of the rows only.
    generator : torch.Generator
        The only source of chance.
    """

    source: Tensor
    x: Tensor
    p: Tensor
    answers: Callable[[Tensor], Tensor]
    generator: torch.Generator


@dataclass
class View:
    """What a transformation gives, where images alone do not say it.

    Attributes
    ----------
    images : (b, c, h, w)
    target : (b, k), optional
        What the network should say of them beside the information; None for ``batch.p``.
    measure : {"kl", "mi"}
        How a side term compares: by divergence from the target, or by the information shared with it.
    remembered : bool
        Whether batch norm takes these images into its running statistics.
    """

    images: Tensor
    target: Tensor | None = None
    measure: Literal["kl", "mi"] = "kl"
    remembered: bool = True


Transformation = Callable[[Batch], Tensor | View]


def geometric(batch: Batch) -> Tensor:
    """Turn, crop, resize and recolour: the study's strong view. Vectors get noise of 0.3 times their spread."""
    return strong(batch.source, batch.generator)


def adversarial(batch: Batch, *, distance: Literal["kl", "mi"] = "kl") -> View:
    """The worst change of a fixed length (VAT): a direction found by one step of power iteration, probe length 10.

    Parameters
    ----------
    distance : {"kl", "mi"}
        What the direction makes worst: the divergence from the prediction, or the information shared with it.
    """
    start = random_directions(batch.x.shape, batch.generator).to(batch.x)
    worse = partial(apart, batch.p, measure=distance)
    directions = adversarial_directions(batch.answers, batch.x, start, worse)
    return View(pushed(batch.x, directions, RADIUS[kind(batch.source.shape[1:])]), None, distance, remembered=False)


def mixup(batch: Batch) -> View:
    """Each image mixed with its partner in the reversed batch, its target with the partner's."""
    images, share = photometric.mixup(batch.x, batch.generator)
    target = share[:, None] * batch.p + (1 - share[:, None]) * batch.p.flip(0)
    return View(images, target)


def gaussian(batch: Batch, *, spread: float = 0.1) -> Tensor:
    """Noise on every pixel, N(0, spread^2)."""
    return jitter(batch.x, batch.generator, spread=spread)


def cutout(batch: Batch) -> Tensor:
    """A black square of 6 to 12 pixels of 24, its side even, at a random place."""
    side = min(batch.x.shape[-2:])
    return photometric.cutout(batch.x, batch.generator, sides=(max(2, side // 4), max(2, side // 2)))


TRANSFORMATIONS: dict[str, Transformation] = {
    "geometric": geometric,
    "vat-kl": adversarial,
    "vat-mi": partial(adversarial, distance="mi"),
    "mixup": mixup,
    "gaussian": gaussian,
    "gaussian-mild": partial(gaussian, spread=0.05),
    "cutout": cutout,
}


# -- the estimator -----------------------------------------------------------------------------------------------------


@dataclass
class StudyState(State):
    """What changes while the study runs.

    Attributes
    ----------
    step, epoch : int
        Optimiser steps and epochs since the last start.
    restarts : int
        How often the run was started over.
    """

    step: int = 0
    epoch: int = 0
    restarts: int = 0


class InformationStudy(DeepClusterer[StudyState]):
    """Cluster images by IMSAT's or IIC's information, with any transformations inside it or beside it.

    Parameters
    ----------
    n_clusters : int
    preset : {"default", "paper"}
        Where every parameter that is None takes its value from.
    objective : {"iic", "imsat", "imsat+iic"}
        "imsat" is ``0.1 (H(Y|X) - 4 H(Y))`` on the plain view; "iic" is minus the information between the plain view
        and each of `views`, summed.
    views : tuple of str or functions
        Transformations inside IIC's information: names of `TRANSFORMATIONS`, or functions of a `Batch`.
    side : tuple of str or functions
        Transformations held to the plain prediction, beside the information.
    side_weight : float, optional
        Of each of them; None takes the study's 1 beside IMSAT and 0.001 beside IIC alone.
    side_on : {"plain", "both"}
        Whether side terms start from the plain view only or from a geometric one too.
    backbone : {"auto", "net6c", "net5g", "perceptron"}
        "auto" takes net6c for images (in the paper's preset net5g for colour) and a perceptron for vectors.
    image_size : int or (h, w), optional
        Resize images to this.
    n_epochs, batch_size : int, optional
        The default preset gives small sets as many epochs as make 600 steps.
    n_repeats : int, optional
        Second views of each image in a batch.
    learning_rate : float, optional
    width : int, optional
        Maps of the first convolution.
    restarts : int, optional
        Most restarts of a dead or collapsed run; the study has none.
    random_state : int, RandomState or None
        Seed.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> x = load_digits().images[:100]
    >>> model = InformationStudy(10, side=("vat-kl",), n_epochs=1, width=2, random_state=0).fit(x)
    >>> model.labels_.shape, model.predict_proba(x[:3]).shape
    ((100,), (3, 10))
    """

    _presets = PRESETS

    def __init__(
        self,
        n_clusters: int = 10,
        *,
        preset: str = "default",
        objective: str = "iic",
        views: Sequence[str | Transformation] = ("geometric",),
        side: Sequence[str | Transformation] = (),
        side_weight: float | None = None,
        side_on: str = "plain",
        backbone: str = "auto",
        image_size: int | tuple[int, int] | None = None,
        n_epochs: int | None = None,
        batch_size: int | None = None,
        n_repeats: int | None = None,
        learning_rate: float | None = None,
        width: int | None = None,
        restarts: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.preset = preset
        self.objective = objective
        self.views = views
        self.side = side
        self.side_weight = side_weight
        self.side_on = side_on
        self.backbone = backbone
        self.image_size = image_size
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.n_repeats = n_repeats
        self.learning_rate = learning_rate
        self.width = width
        self.restarts = restarts
        self.random_state = random_state

    @classmethod
    def _small(cls) -> dict[str, Any]:
        return {"n_clusters": 3, "n_epochs": 6, "width": 4, "batch_size": 30, "side": ("gaussian", "mixup")}

    def _prepare(self, images: Images, run: Runtime) -> Images:
        """Large images averaged down, once."""
        self._check_choices(images)
        return prepared(self._network(images.shape), images, run)

    # -- the four verbs ------------------------------------------------------------------------------------------------

    def _start(self, images: Images, run: Runtime) -> StudyState:
        generator = self._generator()
        net, optimizer = self._begin(images, generator, run)
        n = len(images)
        return StudyState(net, optimizer, generator, np.zeros(n, dtype=np.int64), planned=self._epochs(n))

    def _round(self, state: StudyState, images: Images, run: Runtime) -> Record:
        """One epoch, and a look at all images."""
        done = self._advice(state, len(images))
        loss = fit_epoch(
            state, images, partial(self._loss, images=images, generator=state.generator, run=run), run,
            batches=self._batches(state, len(images)),
        )  # fmt: skip
        state.epoch += 1
        logits = embed(state.net, images, run)
        p = self._assign(state)(logits)
        state.labels, state.features = p.argmax(1).numpy(), logits
        known = {"marginal": float(marginal_entropy(p)), "conditional": float(conditional_entropy(p))}
        found = verdict(known["marginal"], known["conditional"], self.n_clusters)
        if found != "well" and state.restarts < self._set("restarts") and state.step >= PATIENCE:
            done.append(f"the run was {found} after {state.epoch} epochs and was restarted with new weights")
            net, optimizer = self._begin(images, state.generator, run)
            state.net, state.optimizer = run.wrap(net, optimizer), optimizer
            state.step, state.epoch, state.restarts = 0, 0, state.restarts + 1
            return Record(loss, self.n_clusters, {**known, "verdict": found, "restarts": 1}, done)
        return Record(loss, self.n_clusters, {**known, "verdict": found}, done)

    def _done(self, state: StudyState) -> bool:
        return state.epoch >= self._epochs(len(state.labels))

    def _assign(self, state: State) -> nn.Module:
        return Answer(0, self.n_clusters)

    def _network(self, shape: tuple[int, ...]) -> TwoHeads:
        front: nn.Module = nn.Identity()
        seen = shape
        if len(shape) == 1:
            look = nn.Sequential(Standardize(shape))
            trunk = nn.Sequential(*perceptron(shape[0])[1:-2])
        else:
            c, h, w = shrunk((shape[0], shape[1], shape[2]), LARGEST_SIDE)
            seen = (c, h, w)
            front = Shrink((h, w)) if seen != shape else front
            look = nn.Sequential(UnitRange(), CentralCrop(*crop_and_size(seen)), Grey())
            trunk = self._trunk(seen)
        return TwoHeads(
            front, look, trunk, seen, n_clusters=self.n_clusters, n_over=0, n_heads=1,
            normalize=self.preset == "default",
        )  # fmt: skip

    def _trunk(self, seen: tuple[int, ...]) -> nn.Sequential:
        """The network that looks at grey views."""
        name = self.backbone
        if name == "auto":
            name = "net5g" if kind(seen) == "colour" and self.preset == "paper" else "net6c"
        if name == "perceptron":
            return nn.Sequential(nn.Flatten(), *perceptron(crop_and_size(seen)[1] ** 2)[1:-2])
        return (net6c if name == "net6c" else net5g)(1, width=self._set("width"))

    # -- the loss ------------------------------------------------------------------------------------------------------

    def _loss(
        self, net: nn.Module, index: Index, x: Tensor, *, images: Images, generator: torch.Generator, run: Runtime
    ) -> Tensor:
        """Information and side terms of a batch; views are made of the whole batch, the network sees a share."""
        known = cast(TwoHeads, net)
        look = partial(probabilities, known, run)
        with torch.autocast(x.device.type, enabled=False):  # of views and sums; the network turns it on for itself
            source = cast(nn.Sequential, known.look)[0](pixels(images, index, run))
            plain = weak(source, generator)
            p = look(plain)
            batch = Batch(source, plain, p.detach(), partial(quiet_probabilities, known, run), generator)
            total = imsat_loss(p) if "imsat" in self.objective else p.sum() * 0
            for change in self._named(self.views) if "iic" in self.objective else ():
                answers = [look(as_view(change(batch))) for _ in range(self._set("n_repeats"))]
                total = total + apart(p, torch.stack(answers).mean(0), measure="mi")
            for change in self._named(self.side):
                total = total + self._weight() * self._side_term(change, batch, look)
                if self.side_on == "both":
                    total = total + self._weight() * self._side_term(change, self._geometric(batch, look), look)
        return total

    def _side_term(self, change: Transformation, batch: Batch, look: Callable[[View], Tensor]) -> Tensor:
        """How far the prediction of a changed copy is from where it should be."""
        view = as_view(change(batch))
        return apart(batch.p if view.target is None else view.target, look(view), measure=view.measure)

    @staticmethod
    def _geometric(batch: Batch, look: Callable[[View], Tensor]) -> Batch:
        """The same images, begun from a geometric view."""
        x = geometric(batch)
        with torch.no_grad():
            p = look(View(x, remembered=False))
        return Batch(batch.source, x, p, batch.answers, batch.generator)

    # -- set-up --------------------------------------------------------------------------------------------------------

    def _epochs(self, n: int) -> int:
        """As many as were asked for; the default preset gives small sets more."""
        if self.n_epochs is not None or self.preset == "paper":
            return int(self._set("n_epochs"))
        steps = math.ceil(n / int(self._set("batch_size")))
        return max(int(self._set("n_epochs")), math.ceil(LEAST_STEPS / steps))

    def _weight(self) -> float:
        """Of a side term."""
        if self.side_weight is not None:
            return self.side_weight
        return 1.0 if "imsat" in self.objective else 0.001

    def _named(self, changes: Sequence[str | Transformation]) -> list[Transformation]:
        return [TRANSFORMATIONS[each] if isinstance(each, str) else each for each in changes]

    def _begin(
        self, images: Images, generator: torch.Generator, run: Runtime
    ) -> tuple[TwoHeads, torch.optim.Optimizer]:
        """A fresh network that knows the range of the pixels, and its optimiser."""
        net = self._network(self._raw_shape)
        first_weights(net, gain=GAIN if self.preset == "default" else None)
        first = cast(nn.Sequential, net.look)[0]
        cast(UnitRange | Standardize, first).measure(sampled(images, generator, run, most=10_000))
        return net, torch.optim.Adam(net.parameters(), self._set("learning_rate"))

    def _batches(self, state: StudyState, n: int) -> Iterator[Index]:
        """Batches of an epoch; the learning rate is set on the way."""
        size, n_epochs = self._set("batch_size"), self._epochs(n)
        for batch in even(n, size, state.generator):
            state.step += 1
            factor = 0.5 ** (state.epoch // 100)
            if self.preset == "default":
                factor = half_cosine(state.step / (n_epochs * math.ceil(n / size)), last=0.02)
            set_rate(state.optimizer, self._set("learning_rate") * factor)
            yield batch

    def _advice(self, state: StudyState, n: int) -> list[str]:
        held = min(self._set("batch_size"), n)
        if state.round or held >= FEWEST * self.n_clusters:
            return []
        return [
            f"a batch holds {held} images for {self.n_clusters} clusters; with fewer than {FEWEST} a cluster their "
            "shares are noise: raise batch_size, or bring more images"
        ]

    def _check_choices(self, images: Images) -> None:
        """Refuse what does not exist or cannot go together, one sentence each."""
        refuse_unknown({
            "objective": (self.objective, OBJECTIVES), "side_on": (self.side_on, ("plain", "both")),
            "backbone": (self.backbone, ("auto", "net6c", "net5g", "perceptron")),
        })  # fmt: skip
        for each in (*self.views, *self.side):
            if not callable(each) and each not in TRANSFORMATIONS:
                raise InputError(
                    f"there is no transformation {each!r}; expected {', '.join(TRANSFORMATIONS)}, or a function."
                )
            if images.is_vectors and each == "cutout":
                raise InputError("cutout needs images, but vectors came; leave it out.")
        if "iic" in self.objective and not self.views:
            raise InputError(f"objective is {self.objective!r} and views is empty; expected a transformation.")
        if images.is_vectors and self.backbone in ("net6c", "net5g"):
            raise InputError(f"backbone {self.backbone!r} needs images, but vectors came; use 'perceptron'.")


# -- the equations -----------------------------------------------------------------------------------------------------


def imsat_loss(p: Tensor) -> Tensor:
    """IMSAT's information with the study's weights ``(b, k) -> ()``: ``0.1 (H(Y|X) - 4 H(Y))``.

    Examples
    --------
    >>> imsat_loss(torch.eye(2))
    tensor(-0.2773)
    """
    return WEIGHT * (conditional_entropy(p) - WEIGHT_MARGINAL * marginal_entropy(p))


def apart(target: Tensor, p: Tensor, *, measure: Literal["kl", "mi"]) -> Tensor:
    """How far predictions are from a target ``(b, k), (b, k) -> ()``: their divergence, or minus what they share.

    The divergence's target is constant; information is symmetric, and gradients reach whatever carries them.

    Examples
    --------
    >>> sure = torch.eye(2)
    >>> apart(sure, sure, measure="kl"), apart(sure, sure, measure="mi")
    (tensor(0.), tensor(-0.6931))
    """
    if measure == "kl":
        return kl(target, p, eps=EPS)
    return -table_information(joint_table(target[:, None], p[:, None])).mean()


def as_view(found: Tensor | View) -> View:
    """What a transformation gave, as a view."""
    return found if isinstance(found, View) else View(found)


def probabilities(net: TwoHeads, run: Runtime, view: Tensor | View) -> Tensor:
    """Soft clusters of views, of all processes ``(b, ...) -> (b, k)`` float32."""
    view = as_view(view)
    if not view.remembered:
        return quiet_probabilities(net, run, view.images)
    with run.autocast(training=view.images.ndim == 4):
        logits = net.logits(run.share(view.images))["main"]
    return run.gather(logits[:, 0].float().softmax(1))


def quiet_probabilities(net: TwoHeads, run: Runtime, images: Tensor) -> Tensor:
    """The same, without batch norm remembering it."""
    with probing(net):
        return probabilities(net, run, View(images))


class Grey(nn.Module):
    """Luminance ``(b, c, h, w) -> (b, 1, h, w)``."""

    def forward(self, x: Tensor) -> Tensor:
        return photometric.grey(x)
