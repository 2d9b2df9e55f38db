"""IMSAT for hashing: short binary codes that tell the most about the images and survive small changes of them.

Hu, Miyato, Tokui, Matsumoto, Sugiyama, ICML 2017, arXiv 1702.08720. Every bit is a sigmoid of its own. The
information of the bits, up to second order, is maximised: each bit decided and balanced, no two alike; self-augmented
training (SAT) holds the code of an image and of its changed copy together.

``preset="paper"`` is the released code: a perceptron of 400 and 400 units, its first weights, constants and radius.
``preset="default"`` puts a small convolutional network on images, adds a second change beside the adversarial one (the
image turned, shifted and stretched) and lets the rate fall at the end. In both, biases before a batch norm are off and
one clean pass serves the information and the target of SAT.

The clusters of this estimator are the distinct codes that it finds, so that run folders, resuming, several processes
and loading are those of every other algorithm; `transform` gives the bits' probabilities, and ``> 0.5`` the code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from kinfold.data.images import Images
from kinfold.data.sample import full_batches
from kinfold.data.views import moved
from kinfold.errors import InputError
from kinfold.estimator import DeepClusterer, Record, State
from kinfold.inputs import refuse_unknown
from kinfold.nn.backbones import Network, measure, network
from kinfold.nn.perceptrons import input_scale, quiet_init, wide_network
from kinfold.ops.adversarial import changed, neighbour_radius, random_directions
from kinfold.ops.batch_norm import probing
from kinfold.ops.information import EPS
from kinfold.ops.knn import neighbours
from kinfold.runtime import Runtime
from kinfold.train import embed, fall_at_the_end, fit_epoch, flat, prepared, sampled, set_rate, view_strength

Index = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]

MOST_BITS = 62  # a code must fit an integer
N_FEATURES = 160
GAIN = 16.0  # of the bits on features of unit length

PRESETS: dict[str, dict[str, Any]] = {
    "default": {"n_epochs": 20, "view_strength": "auto", "anneal": 0.5, "least_steps": 40, "width": 32},
    "paper": {"n_epochs": 50, "view_strength": 0.0, "anneal": 0.0, "least_steps": 1, "width": 400},
}


class Bits(nn.Module):
    """Probability that each bit is one ``(b, d) -> (b, bits)``, in float32.

    Examples
    --------
    >>> Bits(4, 3)(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """

    def __init__(self, n_features: int, n_bits: int, *, gain: float = 1.0) -> None:
        super().__init__()
        self.linear, self.gain = nn.Linear(n_features, n_bits), gain

    def forward(self, x: Tensor) -> Tensor:
        # In double: the last digit of a float depends on an image's place in the batch (vector registers and the rest).
        return torch.sigmoid(self.linear(x * self.gain).double()).float()


class NearestCode(nn.Module):
    """Probability of each code that is in use, the bits being independent ``(b, bits) -> (b, k)``.

    Parameters
    ----------
    codes : (k, bits) of 0 and 1
    """

    codes: Tensor

    def __init__(self, codes: Tensor) -> None:
        super().__init__()
        self.register_buffer("codes", codes.float())

    def forward(self, x: Tensor) -> Tensor:
        one, nought = torch.log(x.clamp(min=1e-6)), torch.log((1 - x).clamp(min=1e-6))
        return torch.softmax(one @ self.codes.T + nought @ (1 - self.codes).T, dim=1)


@dataclass
class HashState(State):
    """What changes while the codes are learnt.

    Attributes
    ----------
    radius : (n,) float32
        Length of each image's change, in the unit of the pixels.
    strength : float
        Of the views, 0 to 1.
    step : int
        Optimiser steps so far.
    terms : (2,)
        Information term and SAT, summed over the round's steps.
    """

    radius: Tensor = field(default_factory=lambda: torch.zeros(0))
    strength: float = 0.0
    step: int = 0
    terms: Tensor = field(default_factory=lambda: torch.zeros(2))


class IMSATHash(DeepClusterer[HashState]):
    """Learn binary codes under which like images are near in Hamming distance.

    Parameters
    ----------
    n_bits : int
        Length of the codes.
    preset : {"default", "paper"}
        Where every parameter that is None takes its value from.
    backbone : str
        As for `kinfold.IMSAT`.
    image_size : int or (h, w), optional
        Resize images to this.
    regularizer : {"adversarial", "random"}
        The change of SAT: the paper's VAT or RPT.
    weight_information : float
        The paper's lambda.
    reach : float
        The paper's alpha: length of a change, in distances to the eleventh neighbour.
    n_epochs, batch_size, least_steps : int
    learning_rate : float
    anneal : float
        Part of the epochs, at the end, over which the rate falls to nothing.
    view_strength : float or "auto"
        Of second views; 0 makes none.
    width : int
        Maps of each convolution, or units of the paper's hidden layers (60, 200 and 400 there).
    random_state : int, RandomState or None
        Seed.

    Attributes
    ----------
    codes_ : (n, n_bits) uint8
        Codes of the fitted images.
    labels_ : (n,) int64
        Which of the distinct codes an image has.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> x = load_digits().images[:200].astype("float32") / 16
    >>> model = IMSATHash(n_bits=8, n_epochs=1, random_state=0).fit(x)
    >>> model.codes_.shape, model.encode(x[:3]).dtype, model.transform(x[:3]).shape
    ((200, 8), dtype('uint8'), (3, 8))
    """

    _presets = PRESETS

    def __init__(
        self,
        n_bits: int = 16,
        *,
        preset: str = "default",
        backbone: str = "auto",
        image_size: int | tuple[int, int] | None = None,
        regularizer: str = "adversarial",
        weight_information: float = 0.1,
        reach: float = 0.25,
        n_epochs: int | None = None,
        batch_size: int = 250,
        least_steps: int | None = None,
        learning_rate: float = 2e-3,
        anneal: float | None = None,
        view_strength: float | str | None = None,
        width: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_bits = n_bits
        self.preset = preset
        self.backbone = backbone
        self.image_size = image_size
        self.regularizer = regularizer
        self.weight_information = weight_information
        self.reach = reach
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.least_steps = least_steps
        self.learning_rate = learning_rate
        self.anneal = anneal
        self.view_strength = view_strength
        self.width = width
        self.random_state = random_state

    @classmethod
    def _small(cls) -> dict[str, Any]:
        return {"n_bits": 2, "n_epochs": 2, "least_steps": 3, "width": 8}

    @property
    def codes_(self) -> Codes:
        """Codes of the fitted images ``-> (n, n_bits)``."""
        return codes_of(torch.from_numpy(self.embedding_)).numpy().astype(np.uint8)

    def encode(self, X: Any, *, runtime: Runtime | None = None) -> Codes:
        """Codes of images, new or old ``-> (m, n_bits)`` uint8."""
        return codes_of(torch.from_numpy(self.transform(X, runtime=runtime))).numpy().astype(np.uint8)

    def _prepare(self, images: Images, run: Runtime) -> Images:
        """Frozen features or smaller images, computed once."""
        self._check_choices()
        return prepared(self._trunk(images.shape), images, run)

    # -- the four verbs ------------------------------------------------------------------------------------------------

    def _start(self, images: Images, run: Runtime) -> HashState:
        """A fresh network, and how far each image may be changed."""
        generator = self._generator()
        net = self._network(self._raw_shape)
        distance, _ = neighbour_radius(neighbours(flat(images), 11).distance)
        weights = [w for w in net.parameters() if w.requires_grad]
        optimizer = torch.optim.Adam(weights, self.learning_rate)
        state = HashState(net, optimizer, generator, np.zeros(len(images), dtype=np.int64))
        state.radius, state.planned = self.reach * distance, self._set("n_epochs")
        state.facts["pretrained"] = cast(Network, net[0]).pretrained
        x = sampled(images, generator, run)
        measure(net, x)
        state.strength = view_strength(self._set("view_strength"), images, generator, run, x=x)
        return state

    def _round(self, state: HashState, images: Images, run: Runtime) -> Record:
        """Pass over the images, then code all of them."""
        state.terms, before = torch.zeros(2), state.step
        loss = partial(self._loss, state=state, run=run)
        n = len(images)
        passes = self._steps(n) * min(self.batch_size, n) / n
        value = fit_epoch(state, images, loss, run, batches=self._batches(state, n), passes=passes)
        bits = embed(state.net, images, run)
        distinct, labels = torch.unique(codes_of(bits), dim=0, return_inverse=True)
        state.labels = labels.numpy()
        told, sat = (state.terms / (state.step - before)).tolist()
        undecided, spread = float(binary_entropy(bits).mean()), float(binary_entropy(bits.mean(0)).mean())
        extra: dict[str, float | int | str] = {"information": told, "sat": sat, "h_bit": spread, "h_bit_x": undecided}
        return Record(value, len(distinct), extra)

    def _done(self, state: HashState) -> bool:
        return bool(state.round >= self._set("n_epochs"))

    def _assign(self, state: State) -> nn.Module:
        """The code, among those that fitted images have."""
        return NearestCode(torch.unique(codes_of(cast(Tensor, state.features)), dim=0))

    def _network(self, shape: tuple[int, ...]) -> nn.Sequential:
        trunk = self._trunk(shape)
        if not self._is_released:
            return nn.Sequential(trunk, Bits(N_FEATURES, self.n_bits, gain=GAIN))
        bits = Bits(self._set("width"), self.n_bits)
        quiet_init(trunk.body, bits.linear)
        return nn.Sequential(trunk, bits)

    # -- the loss of a batch -------------------------------------------------------------------------------------------

    def _loss(self, net: nn.Module, index: Index, x: Tensor, *, state: HashState, run: Runtime) -> Tensor:
        """SAT and information of a batch, from one clean pass."""

        def outputs(x: Tensor) -> Tensor:
            return run.gather(net(x))

        p = outputs(x)
        sat = torch.zeros((), device=p.device)
        with probing(net):
            if state.strength > 0:
                sat = sat + bernoulli_kl(p, outputs(self._second_view(x, index, state, run)))
            if self.reach > 0:
                radius = run.share(state.radius[index]).to(x)
                start = run.share(random_directions((len(index), *x.shape[1:]), state.generator)).to(x)
                scale = input_scale(x.shape[1:]) if self.preset == "paper" else None
                apart = partial(bernoulli_kl, p)
                far = changed(outputs, x, start, radius, apart, regularizer=self.regularizer, scale=scale)
                sat = sat + bernoulli_kl(p, outputs(far))
        with torch.autocast(x.device.type, enabled=False):
            told = bit_information(p)
        state.step += 1
        state.terms += torch.stack([told, sat]).detach().cpu()
        return sat + self.weight_information * told

    def _second_view(self, x: Tensor, index: Index, state: HashState, run: Runtime) -> Tensor:
        """Each image moved; the same draws for any number of processes ``(b, ...) -> (b, ...)``."""
        with torch.autocast(x.device.type, enabled=False):
            whole = run.gather(x)
            view: Tensor = run.share(moved(whole, state.generator, strength=state.strength))
        return view

    def _batches(self, state: HashState, n: int) -> Iterator[Index]:
        """Batches of a round; the learning rate is set on the way."""
        steps = self._steps(n)
        for batch in full_batches(n, self.batch_size, steps, state.generator, anew=self.preset == "paper"):
            fall = fall_at_the_end(state.step / (steps * self._set("n_epochs")), self._set("anneal"))
            set_rate(state.optimizer, self.learning_rate * fall)
            yield batch

    def _steps(self, n: int) -> int:
        """Steps of a round over n images."""
        return max(n // min(self.batch_size, n), int(self._set("least_steps")))

    # -- set-up --------------------------------------------------------------------------------------------------------

    @property
    def _is_released(self) -> bool:
        """Whether the network is the released code's."""
        return self.preset == "paper" and self.backbone != "convnet"

    def _trunk(self, shape: tuple[int, ...]) -> Network:
        if self._is_released:
            return wide_network(self.backbone, shape, self._set("width"))
        width = self.width or PRESETS["default"]["width"]
        return network(self.backbone, shape, width=width, n_features=N_FEATURES, largest_side=48)

    def _check_choices(self) -> None:
        """Refuse choices that do not exist, one sentence each."""
        if isinstance(self.n_bits, bool) or not isinstance(self.n_bits, int) or not 1 <= self.n_bits <= MOST_BITS:
            raise InputError(f"n_bits is {self.n_bits!r}; expected a whole number from 1 to {MOST_BITS}.")
        refuse_unknown({"regularizer": (self.regularizer, ("adversarial", "random"))})
        if self.batch_size < 10:
            raise InputError(
                f"batch_size is {self.batch_size}; expected at least 10, or bits cannot be balanced in it."
            )


# -- the equations -----------------------------------------------------------------------------------------------------


def binary_entropy(p: Tensor) -> Tensor:
    """Entropy of bits ``(...) -> (...)``, in nats.

    Examples
    --------
    >>> binary_entropy(torch.tensor([0.5, 1.0]))
    tensor([0.6931, -0.0000])
    """
    return -(p * torch.log(p + EPS) + (1 - p) * torch.log(1 - p + EPS))


def bernoulli_kl(target: Tensor, p: Tensor) -> Tensor:
    """SAT: divergence of the changed images' bits from the clean ones, a constant ``(b, d), (b, d) -> ()``.

    Summed over the bits, mean over the images.
    """
    t = target.detach()
    one = t * (torch.log(t + EPS) - torch.log(p + EPS))
    nought = (1 - t) * (torch.log(1 - t + EPS) - torch.log(1 - p + EPS))
    return (one + nought).sum(1).mean()


def redundancy(p: Tensor) -> Tensor:
    """Information that pairs of bits share, summed over the pairs ``(b, d) -> ()``.

    Bits are independent given the image, so the batch mean of their products is their joint table; it is compared with
    the product of their means.
    """
    n = len(p)
    total = p.new_zeros(())
    for a in (p, 1 - p):
        for b in (p, 1 - p):
            joint, apart = a.T @ b / n, torch.outer(a.mean(0), b.mean(0))
            total = total + (joint * (torch.log(joint + EPS) - torch.log(apart + EPS))).triu(1).sum()
    return total


def bit_information(p: Tensor) -> Tensor:
    """What is minimised for information ``(b, d) -> ()``: ``sum_d H(Y_d|X) - H(Y_d) + 2 sum_{i<j} I(Y_i; Y_j)``.

    The information of the bits, its interactions cut after the second order.

    Examples
    --------
    >>> bit_information(torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]))
    tensor(-1.3863)
    """
    return binary_entropy(p).sum(1).mean() - binary_entropy(p.mean(0)).sum() + 2 * redundancy(p)


# -- small parts -------------------------------------------------------------------------------------------------------


def codes_of(bits: Tensor) -> Tensor:
    """Codes of the bits' probabilities ``(n, d) -> (n, d)``."""
    return (bits > 0.5).to(torch.uint8)
