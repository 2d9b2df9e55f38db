"""SimCLR: features that know an image by two views of it among many others, then k-means.

Chen, Kornblith, Norouzi, Hinton, ICML 2020, arXiv 2002.05709. Two strong random views of every image go through the
network and a small projection; each must find the other among all views of the batch. The paper learns features and
stops there; here k-means on them makes clusters, and its trunk can be the ``initial`` of any other algorithm.

Views, loss, temperature (0.5, the paper's for CIFAR) and the projection of two layers are the paper's. Our deviations:

- our networks for small images, trained for 30 epochs in batches of 256 by Adam, where the paper has residual networks,
  100 to 1000 epochs, batches of 512 and more, and LARS;
- no blur, which the paper leaves out for CIFAR too;
- grey images, among them writing, are turned and stretched in place of cropped and mirrored; vectors get noise;
- k-means on the features of the trunk, after each epoch.
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
from kinfold.data.pretext import beside, strong
from kinfold.estimator import Record
from kinfold.feature_learner import N_FEATURES, CountedState, FeatureLearner
from kinfold.ops.contrast import contrast
from kinfold.ops.rotation import together
from kinfold.parameters import refuse_no_count
from kinfold.runtime import Runtime
from kinfold.train import fit_epoch

Labels = npt.NDArray[np.int64]


@dataclass
class SimclrState(CountedState):
    """What changes while SimCLR runs.

    Attributes
    ----------
    projection : Module
        From features to where views are compared; thrown away at the end.
    """

    projection: nn.Module | None = None


class SimCLR(FeatureLearner[SimclrState]):
    """Cluster images by features that tell each from all others, whatever the view.

    Parameters
    ----------
    n_clusters : int
        Of k-means on the features.
    backbone : str
        "auto", "convnet", "perceptron", or a pretrained one, see `kinfold.nn.backbones.network`.
    image_size : int or (h, w), optional
        Resize images to this.
    n_epochs : int
    batch_size : int
        Every view is compared with ``2 batch_size - 1`` others.
    learning_rate : float
        Of Adam, falling along a cosine.
    temperature : float
        The paper's tau.
    view_strength : float
        See `kinfold.data.pretext.strong`.
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
    >>> from kinfold import NAT
    >>> x = load_digits().images[:100].astype("float32") / 16
    >>> first = SimCLR(n_clusters=10, n_epochs=1, random_state=0).fit(x)
    >>> NAT(n_clusters=10, n_epochs=1, n_refine=0, initial=first.result_).fit(x).result_.run["initial"]["algorithm"]
    'SimCLR'
    """

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        backbone: str = "auto",
        image_size: int | tuple[int, int] | None = None,
        n_epochs: int = 30,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        temperature: float = 0.5,
        view_strength: float = 1.0,
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
        self.temperature = temperature
        self.view_strength = view_strength
        self.width = width
        self.largest_side = largest_side
        self.initial = initial
        self.random_state = random_state

    # -- the four verbs ------------------------------------------------------------------------------------------------

    def _start(self, images: Images, run: Runtime) -> SimclrState:
        """A fresh network; no image is clustered yet."""
        refuse_no_count(self)
        generator = self._generator()
        net = self._fresh(images, generator, run)
        projection = nn.Sequential(
            nn.Linear(N_FEATURES, N_FEATURES, bias=False), nn.BatchNorm1d(N_FEATURES), nn.ReLU(inplace=True),
            nn.Linear(N_FEATURES, 128),
        )  # fmt: skip
        weights = [w for part in (net, projection) for w in part.parameters() if w.requires_grad]
        optimizer = torch.optim.AdamW(weights, self.learning_rate, weight_decay=1e-4)
        state = SimclrState(net, optimizer, generator, np.zeros(len(images), dtype=np.int64), projection=projection)
        state.planned, state.facts["pretrained"] = self.n_epochs, net.pretrained
        return state

    def _round(self, state: SimclrState, images: Images, run: Runtime) -> Record:
        strength, loss = self.view_strength, partial(self._contrast, state=state, run=run)
        value = fit_epoch(
            state, images, loss, run, batches=self._falling(state, len(images)),
            view=lambda x, g: beside(strong(x, g, strength=strength), strong(x, g, strength=strength)),
        )  # fmt: skip
        self._cluster(state, images, run)
        return Record(value, self._k)

    # -- one epoch -----------------------------------------------------------------------------------------------------

    def _contrast(self, net: nn.Module, index: Labels, x: Tensor, *, state: SimclrState, run: Runtime) -> Tensor:
        """Loss of a batch, both views of all processes."""
        one, other = x.chunk(2, 1)
        projected = cast(nn.Module, state.projection)(net(torch.cat([one, other])))
        views = together(projected, run, copies=2)
        with torch.autocast(views.device.type, enabled=False):
            return contrast(views.float(), self.temperature)
