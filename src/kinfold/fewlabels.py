"""Classes from clusters and a few labels: what is named after its majority, and what is learnt on from there.

Ji, Henriques, Vedaldi, ICCV 2019, arXiv 1807.06653, section 4.2, written as scikit-learn's classifiers: ``fit(X, y)``
takes all images, and in `y` a class where it is known and -1 where it is not. An estimator that is already fitted is
taken as it is.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional

from kinfold.algorithms.iic import IIC
from kinfold.data.images import Images
from kinfold.data.photometric import cutout
from kinfold.data.sample import even
from kinfold.errors import InputError
from kinfold.estimator import DeepClusterer
from kinfold.parameters import refuse_parameters
from kinfold.runtime import Runtime
from kinfold.train import embed, fit_epoch

if TYPE_CHECKING:
    from typing_extensions import Self

UNKNOWN = -1
PRIOR = 0.5  # images of unknown class that a cluster is thought to hold beside its labelled ones
Classes = npt.NDArray[Any]


class _Classifier(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """scikit-learn's part, which has no types, and what follows from the probabilities."""

    classes_: Classes

    @abstractmethod
    def predict_proba(self, X: Any, *, runtime: Runtime | None = None) -> npt.NDArray[np.float32]:
        """Probability of each class ``-> (m, c)``."""

    def predict(self, X: Any, *, runtime: Runtime | None = None) -> Classes:
        """Most probable class ``-> (m,)``."""
        found: Classes = self.classes_[self.predict_proba(X, runtime=runtime).argmax(1)]
        return found


class OverclusteringClassifier(_Classifier):
    """Clusters named after the majority of their labelled images: many clusters to one class.

    Parameters
    ----------
    clusterer : DeepClusterer
        `IIC` with more clusters than there are classes, or any other; a fitted one is not fitted again.
    vote : {"all", "best"}
        "best" takes the sub-head that classifies the labelled images best, as the paper does; "all" lets every sub-head
        of both heads vote, weighed by how pure its clusters are: our deviation, better by far where labels are few.

    Attributes
    ----------
    classes_ : (c,)
    clusterer_ : DeepClusterer
    maps_ : list of (k, c)
        For each sub-head, the share of each class among a cluster's labelled images.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> x, y = load_digits().images[:200].astype("float32") / 16, load_digits().target[:200]
    >>> few = np.where(np.arange(200) < 40, y, -1)
    >>> model = OverclusteringClassifier(IIC(n_clusters=20, n_epochs=2, random_state=0)).fit(x, few)
    >>> model.predict(x[:3]).shape
    (3,)
    """

    def __init__(self, clusterer: DeepClusterer[Any], *, vote: str = "all") -> None:
        self.clusterer = clusterer
        self.vote = vote

    def fit(self, X: Any, y: ArrayLike, *, runtime: Runtime | None = None) -> Self:
        """Cluster all images, then name the clusters by the labelled ones.

        Parameters
        ----------
        X
            Whatever `kinfold.as_images` reads.
        y
            ``(n,)``: a class, or -1 where it is not known.
        runtime
            Device, precision, processes and folder of the clustering.

        Raises
        ------
        InputError
            If no image has a label.
        """
        if self.vote not in ("all", "best"):
            raise InputError(f"vote is {self.vote!r}; expected 'all' or 'best'.")
        self.clusterer_, known, self.classes_, codes = _settle(self.clusterer, X, y, runtime)
        soft = [each[known] for each in _opinions(self.clusterer_, X, runtime)]
        self.maps_ = [named(p, codes, len(self.classes_)) for p in soft]
        right = np.array([float(((p @ m).argmax(1) == codes).mean()) for p, m in zip(soft, self.maps_, strict=True)])
        if self.vote == "best":
            self.maps_ = [m * (i == int(right.argmax())) for i, m in enumerate(self.maps_)]
        return self

    def predict_proba(self, X: Any, *, runtime: Runtime | None = None) -> npt.NDArray[np.float32]:
        """Probability of each class ``-> (m, c)``."""
        check_is_fitted(self)
        votes = sum(p @ m for p, m in zip(_opinions(self.clusterer_, X, runtime), self.maps_, strict=True))
        found: npt.NDArray[np.float32] = np.asarray(votes, dtype=np.float32)
        found /= found.sum(1, keepdims=True).clip(min=1e-12)
        return found


def named(p: npt.NDArray[np.floating], classes: npt.NDArray[np.int64], n_classes: int) -> npt.NDArray[np.float32]:
    """Share of each class among the labelled images of each cluster ``(m, k), (m,) -> (k, c)``.

    A cluster without a labelled image, and to a small part every other, has the shares of all labelled images.

    Examples
    --------
    >>> named(np.eye(2)[[0, 0, 1, 1]], np.array([0, 0, 1, 1]), 2).round(2)
    array([[0.9, 0.1],
           [0.1, 0.9]], dtype=float32)
    """
    truth = np.eye(n_classes)[classes]
    counts = np.asarray(p, dtype=np.float64).T @ truth + PRIOR * truth.mean(0)
    found: npt.NDArray[np.float32] = (counts / counts.sum(1, keepdims=True)).astype(np.float32)
    return found


class FineTunedClassifier(_Classifier):
    """The trunk of a clustering, trained on with a few labels.

    A hidden layer with batch norm and an output layer on the trunk's features; both learn by cross entropy on views of
    the labelled images, the trunk ten times more slowly. Views are the clustering's own second ones, every other with
    a square blotted out.

    Parameters
    ----------
    clusterer : IIC
        A fitted one is not fitted again; its trunk is copied.
    n_epochs : int
        Passes over the labelled images.
    batch_size : int
    learning_rate, trunk_rate : float
        Of the new layers and of the trunk.
    hidden : int
        Width of the hidden layer.
    random_state : int, optional
        Seed.

    Attributes
    ----------
    classes_ : (c,)
    clusterer_ : IIC
    net_ : nn.Module
        Images ``(b, c, h, w)`` in [0, 1] to logits ``(b, c)``.
    losses_ : list of float
        Mean cross entropy of each epoch.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> x, y = load_digits().images[:200].astype("float32") / 16, load_digits().target[:200]
    >>> few = np.where(np.arange(200) < 60, y, -1)
    >>> clusterer = IIC(n_clusters=10, n_epochs=2, random_state=0)
    >>> FineTunedClassifier(clusterer, n_epochs=2, hidden=64, random_state=0).fit(x, few).predict(x[:3]).shape
    (3,)
    """

    def __init__(
        self,
        clusterer: IIC,
        *,
        n_epochs: int = 100,
        batch_size: int = 140,
        learning_rate: float = 1e-3,
        trunk_rate: float = 1e-4,
        hidden: int = 2048,
        random_state: int | None = None,
    ) -> None:
        self.clusterer = clusterer
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.trunk_rate = trunk_rate
        self.hidden = hidden
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike, *, runtime: Runtime | None = None) -> Self:
        """Cluster all images, then train on with the labelled ones.

        Parameters
        ----------
        X
            Whatever `kinfold.as_images` reads.
        y
            ``(n,)``: a class, or -1 where it is not known.
        runtime
            Device, precision, processes and folder of the clustering.

        Raises
        ------
        InputError
            If no image has a label, or the estimator is not IIC.
        """
        if not isinstance(self.clusterer, IIC):
            raise InputError(f"clusterer is {type(self.clusterer).__name__}; expected IIC, whose trunk is trained on.")
        refuse_parameters(self)
        run = runtime or Runtime()
        self.clusterer_, known, self.classes_, codes = _settle(self.clusterer, X, y, run)
        generator = torch.Generator().manual_seed(self.random_state or 0)
        images = self._looked(X, run).select(known)
        with run.dice(generator):
            state = self._tuning(generator)
        state.net = run.wrap(state.net, cast(torch.optim.Optimizer, state.optimizer))
        truth = torch.from_numpy(codes)
        view = partial(_blotted, own=self.clusterer_.second_view())
        self.losses_: list[float] = []
        run.progress.phase("epochs", self.n_epochs)
        for state.round in range(self.n_epochs):
            batches = even(len(images), self.batch_size, generator)
            with run.dice(generator):
                loss = fit_epoch(
                    state, images, partial(_cross_entropy, truth=truth, run=run), run, batches=batches, view=view
                )
            self.losses_.append(loss)
            run.progress.advance()
        run.progress.done()
        self.net_ = state.net.eval()
        return self

    def predict_proba(self, X: Any, *, runtime: Runtime | None = None) -> npt.NDArray[np.float32]:
        """Probability of each class ``-> (m, c)``."""
        check_is_fitted(self)
        run = runtime or Runtime()
        logits = embed(run.to(self.net_), self._looked(X, run), run)
        return np.asarray(logits.softmax(1).numpy(), dtype=np.float32)

    def _looked(self, X: Any, run: Runtime) -> Images:
        """Images as the trunk takes them: fixed first layers are passed once."""
        found: Images = self.clusterer_.seen(X, runtime=run)
        return found

    def _tuning(self, generator: torch.Generator) -> Tuning:
        """A copy of the trunk, new layers on it, and their optimiser."""
        net = copy.deepcopy(self.clusterer_.state_.net)
        trunk, n_features = net.trunk, net.main.in_features
        new = nn.Sequential(
            nn.Linear(n_features, self.hidden, bias=False), nn.BatchNorm1d(self.hidden), nn.ReLU(inplace=True),
            nn.Linear(self.hidden, len(self.classes_)),
        )  # fmt: skip
        weights = [{"params": new.parameters(), "lr": self.learning_rate}]
        weights.append({"params": trunk.parameters(), "lr": self.trunk_rate})
        return Tuning(Tuned(net.look, trunk, new), torch.optim.Adam(weights), generator)


@dataclass
class Tuning:
    """What changes while a classifier is trained on."""

    net: nn.Module
    optimizer: torch.optim.Optimizer | None
    generator: torch.Generator
    round: int = 0


class Tuned(nn.Module):
    """Images ``(b, c, h, w) -> (b, c)`` logits: the evaluated view, the trunk, the new layers."""

    def __init__(self, look: nn.Module, trunk: nn.Module, new: nn.Module) -> None:
        super().__init__()
        self.look, self.trunk, self.new = look, trunk, new

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.new(self.trunk(x if self.training else self.look(x)))
        return found


def _blotted(x: Tensor, generator: torch.Generator, *, own: Any) -> Tensor:
    """A view with a square of 0.2 to 0.7 of its side cut out, every other time; vectors just their view."""
    view: Tensor = own(x, generator)
    if view.ndim == 2:
        return view
    side = min(view.shape[-2:])
    return cutout(view, generator, sides=(max(2, round(0.2 * side)), max(2, round(0.7 * side))), probability=0.5)


def _cross_entropy(net: nn.Module, index: npt.NDArray[np.int64], x: Tensor, *, truth: Tensor, run: Runtime) -> Tensor:
    logits = run.gather(net(x)).float()
    with torch.autocast(logits.device.type, enabled=False):
        return functional.cross_entropy(logits, truth[index].to(logits.device))


def _settle(
    clusterer: DeepClusterer[Any], X: Any, y: ArrayLike, run: Runtime | None
) -> tuple[Any, npt.NDArray[np.int64], Classes, npt.NDArray[np.int64]]:
    """A fitted clusterer, which images have a label, the classes, and theirs as numbers."""
    found = np.asarray(y)
    known = np.flatnonzero(found != UNKNOWN) if found.dtype.kind in "iuf" else np.arange(len(found))
    if found.ndim != 1:
        raise InputError(f"y has shape {found.shape}; expected one class an image, -1 where it is not known.")
    if not len(known):
        raise InputError(
            f"none of the {len(found)} images has a label (all of y is -1); label a few of each class, or cluster "
            "them with IIC alone."
        )
    classes, codes = np.unique(found[known], return_inverse=True)
    if len(classes) < 2:
        raise InputError(f"all labels are {classes[0]}; expected images of two classes or more.")
    try:
        check_is_fitted(clusterer)
    except NotFittedError:
        clusterer = clone(clusterer).fit(X, runtime=run)
    return clusterer, known, classes, codes.astype(np.int64)


def _opinions(clusterer: Any, X: Any, run: Runtime | None) -> list[npt.NDArray[np.float32]]:
    """Soft clusters by every sub-head, or by the one that there is."""
    if isinstance(clusterer, IIC):
        return clusterer.opinions(X, runtime=run)
    return [clusterer.predict_proba(X, runtime=run)]
