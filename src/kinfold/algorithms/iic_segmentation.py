"""IIC for segmentation: classes of pixels that a view of the picture and a small shift do not change.

Ji, Henriques, Vedaldi, ICCV 2019, arXiv 1807.06653, section 3.3. The mutual information of image clustering, pixel by
pixel: the class of a pixel must tell the class of a pixel nearby in a transformed view, for every shift of a window.

``preset="paper"`` is the network, the loss and the schedule of the released code. ``preset="default"`` is made for a
processor and for few pictures. It differs by

- joint tables counted on the maps as the network gives them, at half the resolution and half the window;
- both heads trained in the same step, several sub-heads each;
- the sub-head of lowest loss answers, be it a final one or an auxiliary one whose classes were joined;
- a narrower network, small crops, a higher rate that falls;
- maps that stay in place: the released network loses a border and is then stretched.

In both presets all shifts of a window come from one correlation by Fourier transform, in place of a convolution whose
filter is as large as the picture, and dead starts are begun anew. Labels are classes of pixels, so this estimator is
no `DeepClusterer`; it has its runtime, its seeds and its checkpoints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from scipy.fft import next_fast_len
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional

from kinfold.data.photometric import colour_jitter
from kinfold.data.pictures import as_pictures
from kinfold.data.warp import coin
from kinfold.errors import InputError, KinfoldError
from kinfold.nn.pixelwise import SMALLEST_PICTURE, PixelNetwork, stretched
from kinfold.ops.joint import coarsened, table_information
from kinfold.parameters import refuse_parameters
from kinfold.presets import WithPresets
from kinfold.runtime import Progress, Runtime
from kinfold.train import half_cosine, set_rate

Maps = npt.NDArray[np.int64]
STEPS_A_ROUND = 50
DEAD = 0.02  # a share of log k: information below it, after the first rounds, is none
MOST_RESTARTS = 3
CHOSEN_BY = 128  # crops over which the sub-heads are compared
BAND = 2**20  # pixels looked at together when predicting
REACH = 32  # pixels around a band that its answers depend on

RANGES = {"batch_size": (1.0, math.inf), "crop_size": (SMALLEST_PICTURE, math.inf)}
PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        "n_steps": 400, "batch_size": 8, "crop_size": 64, "radius": 4, "n_heads": 5, "width": 16,
        "learning_rate": 2e-3, "marginal_weight": 1.5, "jitter": 0.4,
    },
    "paper": {
        "n_steps": 8000, "batch_size": 120, "crop_size": 128, "radius": 10, "n_heads": 1, "width": 64,
        "learning_rate": 1e-4, "marginal_weight": 1.5, "jitter": 0.4,
    },
}  # fmt: skip


@dataclass
class SegmentationState:
    """What changes while the classes are learnt, and what a checkpoint holds.

    Attributes
    ----------
    round, restarts : int
        Finished rounds of 50 steps, and how often dead weights were drawn anew.
    losses : (s,)
        Of the final sub-heads, mean over the last round.
    history : list of dict
        One row a round.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    losses: Tensor
    round: int = 0
    restarts: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


class IICSegmentation(WithPresets, BaseEstimator):  # type: ignore[misc]
    """Find classes of pixels in pictures of any size, without a label.

    Parameters
    ----------
    n_clusters : int
        Classes of pixels (the paper's K of head B).
    preset : {"default", "paper"}
        Where every parameter that is None takes its value from. "paper" has the values for COCO-Stuff-3.
    n_overclusters : int, optional
        Of the auxiliary head A; five times `n_clusters` up to 3 classes, else three times, as the paper has it.
    n_steps, batch_size : int, optional
        Optimiser steps in all, and crops in each.
    crop_size : int, optional
        Side of the crops in pixels; smaller where a picture is.
    radius : int, optional
        The paper's T: shifts of up to this many pixels of the map, (2 T + 1)^2 of them.
    n_heads : int, optional
        Sub-heads of each head.
    width : int, optional
        Maps of the first convolution.
    sobel : bool
        Edges join the input.
    flip : bool
        Every other second view is mirrored; its answers are mirrored back.
    jitter : float, optional
        Change of brightness, contrast and saturation of the second view; the hue turns by 0.3 times as much.
    learning_rate, marginal_weight : float, optional
        The latter is the paper's lambda of the final head; 1 for the other.
    random_state : int, RandomState or None
        Seed.

    Attributes
    ----------
    labels_ : (n, h, w) int64, or a list of (h, w)
        Class of every pixel of the fitted pictures; a list where their sizes differ.
    n_clusters_ : int
    history_ : list of dict
        Loss of both heads, share of the largest class in the crops, restarts; one row a round.
    loss_ : float
        Of the candidate that answers, over some hundred crops; not below -log k where `marginal_weight` is 1.
    state_ : SegmentationState

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> picture = rng.random((32, 48)) * np.repeat([0.2, 1.0], 24)  # dull on the left, rough on the right
    >>> model = IICSegmentation(2, n_steps=5, width=4, random_state=0).fit(picture)
    >>> model.labels_.shape, model.predict([picture[:20], picture]) [0].shape
    ((1, 32, 48), (20, 48))
    """

    _presets = PRESETS
    _ranges = RANGES

    def __init__(
        self,
        n_clusters: int = 3,
        *,
        preset: str = "default",
        n_overclusters: int | None = None,
        n_steps: int | None = None,
        batch_size: int | None = None,
        crop_size: int | None = None,
        radius: int | None = None,
        n_heads: int | None = None,
        width: int | None = None,
        sobel: bool = True,
        flip: bool = True,
        jitter: float | None = None,
        learning_rate: float | None = None,
        marginal_weight: float | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.preset = preset
        self.n_overclusters = n_overclusters
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.crop_size = crop_size
        self.radius = radius
        self.n_heads = n_heads
        self.width = width
        self.sobel = sobel
        self.flip = flip
        self.jitter = jitter
        self.learning_rate = learning_rate
        self.marginal_weight = marginal_weight
        self.random_state = random_state

    # -- scikit-learn --------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None, *, runtime: Runtime | None = None) -> IICSegmentation:
        """Learn classes of pixels.

        Parameters
        ----------
        X
            One picture or many, see `kinfold.data.pictures.as_pictures`.
        y
            Ignored.
        runtime
            Device, precision, processes; with a folder, a checkpoint a round.

        Raises
        ------
        InputError
            If the pictures or the parameters cannot be used.
        """
        run = runtime or Runtime()
        if not run.is_main:
            run = replace(run, progress=Progress())
        self._check()
        pictures = as_pictures(X)
        refuse_plain(pictures)
        self.channels_ = len(pictures[0])
        generator = torch.Generator().manual_seed(
            run.agree(int(check_random_state(self.random_state).randint(2**31 - 1)))
        )
        with run.dice(generator):
            state = self._start(generator, run)
        if run.checkpoint() is not None and not run.resume:
            raise InputError(f"{run.folder} holds an unfinished run; resume it, or delete its folder 'checkpoint'.")
        identity = {name: repr(value) for name, value in sorted(self.get_params(deep=False).items())}
        identity["pictures"] = repr([tuple(each.shape) for each in pictures])
        state = run.load(state, lambda found: _same(found, identity, run.folder))
        n_rounds = math.ceil(self._set("n_steps") / STEPS_A_ROUND)
        run.progress.phase("rounds", n_rounds - state.round)
        while state.round < n_rounds:
            with run.dice(state.generator):
                self._round(state, pictures, run)
            run.save(state.round, state, identity)
            run.progress.advance()
        self.state_, self.n_clusters_, self.history_ = state, self.n_clusters, state.history
        self.loss_ = self._choose(state, pictures, run)
        self.labels_ = self._stacked([p.argmax(0) for p in self._probabilities(pictures, run)])
        run.discard_checkpoint()
        return self

    def predict(self, X: Any, *, runtime: Runtime | None = None) -> Maps | list[Maps]:
        """Class of every pixel ``-> (n, h, w)``, or a list of ``(h, w)`` where the sizes differ."""
        found: Maps | list[Maps] = self._stacked([p.argmax(0) for p in self._looked_at(X, runtime)])
        return found

    def predict_proba(self, X: Any, *, runtime: Runtime | None = None) -> Any:
        """Probability of each class at every pixel ``-> (n, k, h, w)`` float32, or a list of ``(k, h, w)``."""
        return self._stacked(self._looked_at(X, runtime))

    def fit_predict(self, X: Any, y: Any = None, *, runtime: Runtime | None = None) -> Maps | list[Maps]:
        """Fit and return the class of every pixel."""
        labels: Maps | list[Maps] = self.fit(X, runtime=runtime).labels_
        return labels

    def _looked_at(self, X: Any, runtime: Runtime | None) -> list[npt.NDArray[np.float32]]:
        check_is_fitted(self)
        return self._probabilities(as_pictures(X, channels=self.channels_), runtime or Runtime())

    @staticmethod
    def _stacked(maps: list[Any]) -> Any:
        return np.stack(maps) if len({each.shape for each in maps}) == 1 else maps

    # -- learning ------------------------------------------------------------------------------------------------------

    def _start(self, generator: torch.Generator, run: Runtime) -> SegmentationState:
        net = self._network()
        optimizer = torch.optim.Adam(net.parameters(), self._set("learning_rate"))
        losses = torch.zeros(self._set("n_heads"))
        return SegmentationState(run.wrap(net, optimizer), optimizer, generator, losses)

    def _network(self) -> PixelNetwork:
        net = PixelNetwork(
            self.channels_, self.n_clusters, self._over(), n_heads=self._set("n_heads"), width=self._set("width"),
            edges=self.sobel, as_released=self.preset == "paper",
        )  # fmt: skip
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        return net

    def _round(self, state: SegmentationState, pictures: list[Tensor], run: Runtime) -> None:
        """Fifty steps: the paper's preset trains the auxiliary head in the first half and the other in the second."""
        state.net.train()
        losses: list[Tensor] = []
        over_losses: list[Tensor] = []
        largest = 0.0
        for i in range(STEPS_A_ROUND):
            both = self.preset != "paper"
            heads = (True, False) if both else (i < STEPS_A_ROUND // 2,)
            self._pace(state, (state.round + i / STEPS_A_ROUND) * STEPS_A_ROUND / self._set("n_steps"))
            first, second, mirrored = self._views(pictures, state.generator, run)
            state.optimizer.zero_grad(set_to_none=True)
            total = first.new_zeros(())
            for over, (p, q) in self._answers(state.net, first, second, mirrored, heads, run):
                loss = self._loss(p, q, over, run)
                total = total + loss.mean()
                (over_losses if over else losses).append(loss.detach().cpu())
                largest = largest if over else float(p.detach().mean((0, 3, 4)).max())
            if not math.isfinite(float(total.detach())):
                raise KinfoldError(f"the loss became {float(total.detach())}; lower the learning rate.")
            total.backward()  # type: ignore[no-untyped-call]
            state.optimizer.step()
        state.losses = torch.stack(losses).mean(0)
        state.round += 1
        row = {"round": state.round, "loss": float(state.losses.min()), "largest": largest}
        row["loss_over"] = float(torch.stack(over_losses).mean())
        state.history.append({**row, "restarts": state.restarts})
        self._revive(state, run)

    def _answers(
        self, net: nn.Module, first: Tensor, second: Tensor, mirrored: Tensor, heads: tuple[bool, ...], run: Runtime
    ) -> list[tuple[bool, tuple[Tensor, Tensor]]]:
        """Maps of both views, the second's mirrored back, of each head that learns in this step."""
        with run.autocast(training=True):
            one, two = (self._bare(net).trunk(x) for x in (first, second))
            found = []
            for over in heads:
                p, q = (self._bare(net).probabilities(maps, over=over) for maps in (one, two))
                q = torch.where(mirrored[:, None, None, None, None], q.flip(-1), q)
                if self.preset == "paper":
                    p, q = (stretched(each, (first.shape[2], first.shape[3])) for each in (p, q))
                found.append((over, (p, q)))
        return found

    @staticmethod
    def _bare(net: nn.Module) -> PixelNetwork:
        if not isinstance(net, PixelNetwork):
            raise KinfoldError(f"the network is a {type(net).__name__}; expected a PixelNetwork.")
        return net

    def _loss(self, p: Tensor, q: Tensor, over: bool, run: Runtime) -> Tensor:
        with torch.autocast(p.device.type, enabled=False):
            tables = run.sum(shifted_tables(p.float(), q.float(), self._set("radius")))
            return segmentation_loss(tables, marginal_weight=1.0 if over else self._set("marginal_weight"))

    def _views(self, pictures: list[Tensor], generator: torch.Generator, run: Runtime) -> tuple[Tensor, Tensor, Tensor]:
        """Crops, the same crops in other colours and every other one mirrored, and which ones were."""
        first = run.to(crops(pictures, self._set("batch_size"), self._set("crop_size"), generator))
        amount = self._set("jitter")
        second = colour_jitter(
            first, generator, brightness=amount, contrast=amount, saturation=amount, hue=0.3125 * amount
        )
        mirrored = coin(len(first), generator, 0.5 if self.flip else 0.0).to(first.device)
        second = torch.where(mirrored[:, None, None, None], second.flip(-1), second)
        return run.share(first), run.share(second), run.share(mirrored)

    def _pace(self, state: SegmentationState, done: float) -> None:
        factor = 1.0 if self.preset == "paper" else half_cosine(done)
        set_rate(state.optimizer, self._set("learning_rate") * max(factor, 0.01))

    def _revive(self, state: SegmentationState, run: Runtime) -> None:
        """Draw new weights where the first rounds found nothing; no label is looked at."""
        nothing = 2 * (self._set("marginal_weight") - 1)  # what answers that never vary reach, in units of log k
        dead = float(state.losses.min()) > -(nothing + DEAD) * math.log(self.n_clusters)
        if not dead or self.n_clusters < 2 or state.round > 2 or state.restarts >= MOST_RESTARTS:
            return
        fresh = self._start(state.generator, run)
        state.net, state.optimizer = fresh.net, fresh.optimizer
        state.restarts += 1
        run.progress.say("the first rounds found nothing; restarted with new weights.")

    # -- looking -------------------------------------------------------------------------------------------------------

    def _choose(self, state: SegmentationState, pictures: list[Tensor], run: Runtime) -> float:
        """Let the candidate of lowest loss answer, over some hundred crops; its loss."""
        net = self._bare(state.net).eval()
        generator = torch.Generator().manual_seed(state.generator.initial_seed())
        pairs = [self._views(pictures, generator, run) for _ in range(math.ceil(CHOSEN_BY / self._set("batch_size")))]
        with torch.inference_mode(), run.autocast():
            if self.preset != "paper":
                tables = sum(self._met(net(x, over=True), net(z, over=True), m, run).mean(1) for x, z, m in pairs)
                for s, table in enumerate(cast(Tensor, tables)):
                    joined = coarsened(table + table.T, self.n_clusters)
                    net.membership[s] = functional.one_hot(joined, self.n_clusters)
            met = sum(self._met(net.candidates(x), net.candidates(z), m, run) for x, z, m in pairs)
            losses = segmentation_loss(cast(Tensor, met), marginal_weight=self._set("marginal_weight"))
        if self.preset == "paper":
            losses = losses[: self._set("n_heads")]
        net.chosen.fill_(int(losses.argmin()))
        return float(losses.min())

    def _met(self, p: Tensor, q: Tensor, mirrored: Tensor, run: Runtime) -> Tensor:
        """Tables of two views' maps, over all processes ``(b, s, k, h, w) -> (s, t, k, k)``."""
        q = torch.where(mirrored[:, None, None, None, None], q.flip(-1), q)
        return run.sum(shifted_tables(p, q, self._set("radius")))

    def _probabilities(self, pictures: list[Tensor], run: Runtime) -> list[npt.NDArray[np.float32]]:
        net = self._bare(run.to(self.state_.net).eval())
        for i, each in enumerate(pictures):
            if min(each.shape[1:]) < SMALLEST_PICTURE:
                raise InputError(
                    f"picture {i} has {each.shape[1]} x {each.shape[2]} pixels; expected {SMALLEST_PICTURE} or more "
                    "on each side."
                )
        with torch.inference_mode():
            return [self._picture(net, each, run) for each in pictures]

    def _picture(self, net: PixelNetwork, picture: Tensor, run: Runtime) -> npt.NDArray[np.float32]:
        """Probabilities of one picture, band by band where it is large ``(c, h, w) -> (k, h, w)``."""
        h, w = picture.shape[1:]
        rows = h if self.preset == "paper" else max(2, BAND // w // 2 * 2)
        x = functional.pad(as_float(picture)[None], (0, w % 2, 0, h % 2), mode="replicate")
        parts = []
        for top in range(0, h, rows):
            above, below = min(top, REACH), min(x.shape[2], top + rows + REACH)
            with run.autocast():
                seen = run.to(x[:, :, top - above : below])
                p = stretched(net.answer(seen)[:, None], (seen.shape[2], seen.shape[3]))[0, 0]
            parts.append(p[:, above : above + rows, :w].cpu())
        whole: npt.NDArray[np.float32] = torch.cat(parts, 1)[:, :h].numpy()
        return whole

    # -- set-up --------------------------------------------------------------------------------------------------------

    def _over(self) -> int:
        if self.n_overclusters is not None:
            return self.n_overclusters
        return self.n_clusters * (5 if self.n_clusters <= 3 else 3)

    def _check(self) -> None:
        refuse_parameters(self)
        for name, value in {"n_clusters": self.n_clusters, "n_overclusters": self._over()}.items():
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise InputError(f"{name} is {value!r}; expected a whole number of 1 or more.")


# -- the equations -----------------------------------------------------------------------------------------------------


def shifted_tables(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """How often classes meet at every shift ``(b, s, k, h, w), (b, s, k, h, w) -> (s, (2 T + 1)^2, k, k)``.

    ``P_t = sum over pixels u of first_i(u) second_j(u + t)`` for every t of the window, not normalised, so that tables
    of several processes can be added. Pixels outside meet nothing. One correlation by Fourier transform gives all
    shifts: its cost hardly depends on T, where a convolution's grows with its square.

    Examples
    --------
    >>> p = torch.zeros(1, 1, 2, 1, 2)
    >>> p[0, 0, 0, 0, 0] = p[0, 0, 1, 0, 1] = 1.0  # class 0 on the left, class 1 on the right
    >>> shifted_tables(p, p, 1)[0, 2].round().abs()  # a pixel to the right of class 0 lies class 1
    tensor([[0., 1.],
            [0., 0.]])
    """
    sides = first.shape[-2:]
    reach = [min(radius, side - 1) for side in sides]  # beyond, no two pixels meet
    size = [next_fast_len(side + most, real=True) for side, most in zip(sides, reach, strict=True)]
    one, two = (torch.fft.rfft2(x, s=size) for x in (first, second))
    crossed = torch.einsum("bsihw,bsjhw->sijhw", one.conj(), two)
    found = torch.fft.irfft2(crossed, s=size)
    window: Tensor = found.roll(reach, (-2, -1))[..., : 2 * reach[0] + 1, : 2 * reach[1] + 1]
    return window.flatten(-2).permute(0, 3, 1, 2)


def segmentation_loss(tables: Tensor, *, marginal_weight: float = 1.0) -> Tensor:
    """Minus the mutual information of each shift's table, mean over the shifts ``(s, t, k, k) -> (s,)``.

    Each table is made symmetric and sums to one by itself: the "uncollapsed" loss of the released code.

    Examples
    --------
    >>> segmentation_loss(torch.eye(2).expand(1, 9, 2, 2))
    tensor([-0.6931])
    """
    tables = tables.clamp_min(0)  # a Fourier transform gives zero as +-1e-6
    tables = tables + tables.transpose(-1, -2)
    tables = tables / tables.sum((-1, -2), keepdim=True).clamp_min(1e-12)
    information = table_information(tables.flatten(0, 1), marginal_weight=marginal_weight)
    return -information.reshape(tables.shape[:2]).mean(1)


# -- pictures ----------------------------------------------------------------------------------------------------------


def as_float(picture: Tensor) -> Tensor:
    """Bytes scaled to [0, 1], other numbers as they are ``(c, h, w) -> (c, h, w)``."""
    return picture.float() / 255 if picture.dtype == torch.uint8 else picture.float()


def crops(pictures: list[Tensor], n: int, side: int, generator: torch.Generator) -> Tensor:
    """Square crops of random pictures, in proportion to their area, at random places ``-> (n, c, side, side)``.

    The side is even, and not longer than the shortest of the pictures'.
    """
    side = min(side, *(min(each.shape[1:]) for each in pictures)) // 2 * 2
    area = torch.tensor([float(each.shape[1] * each.shape[2]) for each in pictures])
    chosen = torch.multinomial(area, n, replacement=True, generator=generator).tolist()
    places = torch.rand(n, 2, generator=generator).tolist()
    found = []
    for i, (down, right) in zip(chosen, places, strict=True):
        picture = pictures[i]
        top, left = (int(at * (length - side + 1)) for at, length in zip((down, right), picture.shape[1:], strict=True))
        found.append(as_float(picture[:, top : top + side, left : left + side]))
    return torch.stack(found)


def refuse_plain(pictures: list[Tensor]) -> None:
    """Check that there is something to learn.

    Raises
    ------
    InputError
        If a picture is too small, or every pixel is the same.
    """
    for i, each in enumerate(pictures):
        if min(each.shape[1:]) < SMALLEST_PICTURE:
            raise InputError(
                f"picture {i} has {each.shape[1]} x {each.shape[2]} pixels; expected {SMALLEST_PICTURE} or more on "
                "each side."
            )
    first = pictures[0].flatten()[0]
    if all(bool((each == first).all()) for each in pictures):
        raise InputError("every pixel of every picture is the same; there is nothing to tell apart.")


def _same(found: Any, expected: dict[str, str], folder: str | Path | None) -> None:
    """Check that a checkpoint is of this very fit."""
    for name, value in expected.items():
        theirs = found.get(name) if isinstance(found, dict) else None
        if theirs != value:
            raise InputError(f"{folder} was begun with {name}={theirs}, not {value}; give another folder.")
