"""RotNet: features from telling which way up an image is, then k-means.

Gidaris, Singh, Komodakis, ICLR 2018, arXiv 1803.07728. Every image is shown in four orientations in the same batch, and
the network says which is which; to do so it must see what the image shows. The paper learns features and stops there;
here k-means on them makes clusters, so that it stands beside the others, and its trunk can be the ``initial`` of any.

Batch, momentum, weight decay and the falls of the rate are the released code's for CIFAR. Our deviations:

- our networks for small images in place of a network in network of four blocks, and features of unit length, scaled by
  ten, on which a rate of 0.1 learns slower than 0.02;
- 30 epochs of 200: accuracy of a probe hardly rises after forty;
- images are shifted a little, and mirrored where they have colours;
- vectors are rolled by quarters of their columns, so that a table can be clustered too;
- k-means on the features, after each epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from kinfold.data.images import Images
from kinfold.data.pretext import quarter_turns
from kinfold.data.sample import shuffled
from kinfold.data.views import flip, moved
from kinfold.errors import InputError
from kinfold.estimator import Record, State
from kinfold.feature_learner import N_FEATURES, FeatureLearner
from kinfold.nn.backbones import Network, network
from kinfold.ops.rotation import together, turn_accuracy, turn_loss
from kinfold.parameters import refuse_no_count
from kinfold.runtime import Runtime
from kinfold.train import fit_epoch, set_rate

Labels = npt.NDArray[np.int64]
GAIN = 10.0  # features have unit length; a softmax of them needs more room
FALLS = ((0.8, 0.008), (0.6, 0.04), (0.3, 0.2), (0.0, 1.0))  # from this share of the epochs on, times the rate


@dataclass
class RotNetState(State):
    """What changes while RotNet runs.

    Attributes
    ----------
    turns : Module
        Tells the four orientations from the features.
    told : float
        Share of orientations that were told in the last batch.
    """

    turns: nn.Module | None = None
    told: float = 0.0


class RotNet(FeatureLearner[RotNetState]):
    """Cluster images by features that tell which way up they are.

    Good for photographs, which have a way up; less so for digits, of which half look right either way.

    Parameters
    ----------
    n_clusters : int
        Of k-means on the features.
    backbone : str
        "auto", "convnet", "perceptron", or a pretrained one, see `kinfold.nn.backbones.network`.
    image_size : int or (h, w), optional
        Resize images to this.
    n_epochs : int
        Passes over the images, each in four orientations.
    batch_size : int
        Images, four times as many with their orientations.
    learning_rate : float
        Falls to a fifth at 30, 60 and 80 % of the epochs.
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
    >>> x = load_digits().images[:100].astype("float32") / 16
    >>> model = RotNet(n_clusters=10, n_epochs=1, random_state=0).fit(x)
    >>> model.embedding_.shape, sorted(model.result_.history[0])[-1]
    ((100, 160), 'used')
    """

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        backbone: str = "auto",
        image_size: int | tuple[int, int] | None = None,
        n_epochs: int = 30,
        batch_size: int = 128,
        learning_rate: float = 0.02,
        width: int = 64,
        largest_side: int | None = 48,
        initial: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.backbone = backbone
        self.image_size = image_size
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.width = width
        self.largest_side = largest_side
        self.initial = initial
        self.random_state = random_state

    def _prepare(self, images: Images, run: Runtime) -> Images:
        """Smaller images, computed once. A frozen network's features have no way up, so it looks at turned images."""
        if len(images.shape) == 3 and self._network(images.shape).pretrained is not None:
            raise InputError("RotNet trains its network, but a pretrained one is frozen; take backbone='convnet'.")
        return super()._prepare(images, run)

    # -- the four verbs ------------------------------------------------------------------------------------------------

    def _start(self, images: Images, run: Runtime) -> RotNetState:
        """A fresh network; no image is clustered yet."""
        refuse_no_count(self)
        generator = self._generator()
        net = self._fresh(images, generator, run)
        turns = nn.Linear(N_FEATURES, 4)
        weights = [w for part in (net, turns) for w in part.parameters() if w.requires_grad]
        optimizer = torch.optim.SGD(weights, self.learning_rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
        labels = np.zeros(len(images), dtype=np.int64)
        return RotNetState(net, optimizer, generator, labels, planned=self.n_epochs, turns=turns)

    def _round(self, state: RotNetState, images: Images, run: Runtime) -> Record:
        share = state.round / self.n_epochs
        set_rate(state.optimizer, self.learning_rate * next(factor for start, factor in FALLS if share >= start))
        loss = partial(self._turned, state=state, run=run)
        value = fit_epoch(
            state, images, loss, run, batches=shuffled(len(images), self.batch_size, state.generator), view=slightly
        )
        self._cluster(state, images, run)
        return Record(value, self._k, {"told": state.told})

    def _network(self, shape: tuple[int, ...]) -> Network:
        backbone = self.backbone
        if backbone == "auto" and len(shape) == 3:
            backbone = "convnet"
        return network(backbone, shape, width=self.width, largest_side=self.largest_side, n_features=N_FEATURES)

    # -- one epoch -----------------------------------------------------------------------------------------------------

    def _turned(self, net: nn.Module, index: Labels, x: Tensor, *, state: RotNetState, run: Runtime) -> Tensor:
        """Loss of a batch, every image in its four orientations."""
        features = together(net(quarter_turns(x)), run, copies=4)
        with torch.autocast(features.device.type, enabled=False):
            logits = cast(nn.Module, state.turns)(GAIN * features.float())
            state.told = turn_accuracy(logits)
            return turn_loss(logits)


def slightly(x: Tensor, generator: torch.Generator) -> Tensor:
    """A view that keeps images upright: moved and stretched by up to a tenth, colour images mirrored ``-> x.shape``."""
    x = moved(x, generator, strength=1.0)
    return flip(x, generator) if x.ndim == 4 and x.shape[1] == 3 else x
