"""ClusterFit: a new network trained once on the clusters of another model's features, then k-means.

Yan, Misra, Gupta, Ghadiyaram, Mahajan, CVPR 2020, arXiv 1912.03330. The teacher's features are clustered into many more
groups than there are classes; a network that starts from nothing learns to tell these groups apart. What the teacher
learnt about its own task (which way up, which of two views) is lost on the way, what it saw in the images stays. There
is one training and no loop, so nothing can collapse.

Our deviations: our networks for small images; Adam with a falling rate; moved (for colour images also mirrored) views;
ten groups for every cluster where the paper has 16,000 for a thousand classes; k-means on the features at the end, so
that it clusters.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from kinfold.data.images import Images
from kinfold.data.sample import seed_from
from kinfold.data.views import flip, moved
from kinfold.errors import InputError
from kinfold.estimator import Record
from kinfold.feature_learner import N_FEATURES, CountedState, FeatureLearner
from kinfold.ops.kmeans import kmeans
from kinfold.ops.pixels import pixel_features
from kinfold.parameters import refuse_no_count
from kinfold.results import Clustering
from kinfold.runtime import Runtime
from kinfold.train import fit_epoch

Labels = npt.NDArray[np.int64]
GAIN = 10.0  # features have unit length; a softmax of them needs more room
GROUPS_A_CLUSTER = 10
LEAST_GROUP = 5  # images in a group on average, at least


@dataclass
class ClusterFitState(CountedState):
    """What changes while ClusterFit runs.

    Attributes
    ----------
    groups : (n,) int64
        The teacher's clusters.
    head : Module
        From features to groups; thrown away at the end.
    """

    groups: Labels | None = None
    head: nn.Module | None = None


class ClusterFit(FeatureLearner[ClusterFitState]):
    """Cluster images by the features of a network that was fitted to another model's clusters.

    Parameters
    ----------
    n_clusters : int
        Of k-means on the new features.
    teacher : str, Path, Clustering, array (n, d) or array (n,) of int, optional
        What the images are like: a run folder or ``model.result_`` of the same images, whose embedding is taken; any
        features; or groups as they are. None takes the pixels, or the columns of a table.
    n_groups : int, optional
        Clusters of the teacher's features; None takes ten for every cluster, of five images each at least.
    backbone : str
        "auto", "convnet", "perceptron", or a pretrained one, see `kinfold.nn.backbones.network`.
    image_size : int or (h, w), optional
        Resize images to this.
    n_epochs : int
    batch_size : int
    learning_rate : float
        Of Adam, falling along a cosine.
    view_strength : float
        See `kinfold.data.views.moved`.
    width : int
        Maps of each convolution.
    largest_side : int, optional
        Larger images are averaged down to this for the network.
    initial : str, Path, Clustering or state dict, optional
        Begin with the trunk of another run, see `kinfold.warm_start`; the paper begins anew.
    random_state : int, RandomState or None
        Seed.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from kinfold import RotNet
    >>> x = load_digits().images[:100].astype("float32") / 16
    >>> teacher = RotNet(n_clusters=10, n_epochs=1, random_state=0).fit(x)
    >>> ClusterFit(n_clusters=10, teacher=teacher.result_, n_epochs=2, random_state=0).fit(x).embedding_.shape
    (100, 160)
    """

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        teacher: Any = None,
        n_groups: int | None = None,
        backbone: str = "auto",
        image_size: int | tuple[int, int] | None = None,
        n_epochs: int = 20,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        view_strength: float = 1.0,
        width: int = 64,
        largest_side: int | None = 48,
        initial: Any = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.teacher = teacher
        self.n_groups = n_groups
        self.backbone = backbone
        self.image_size = image_size
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.view_strength = view_strength
        self.width = width
        self.largest_side = largest_side
        self.initial = initial
        self.random_state = random_state

    # -- the four verbs ------------------------------------------------------------------------------------------------

    def _start(self, images: Images, run: Runtime) -> ClusterFitState:
        """The teacher's groups, and a network that knows nothing."""
        refuse_no_count(self)
        generator = self._generator()
        groups = self._groups(images, generator)
        net = self._fresh(images, generator, run)
        head = nn.Linear(N_FEATURES, int(groups.max()) + 1)
        weights = [w for part in (net, head) for w in part.parameters() if w.requires_grad]
        optimizer = torch.optim.AdamW(weights, self.learning_rate, weight_decay=1e-4)
        labels = np.zeros(len(images), dtype=np.int64)
        state = ClusterFitState(net, optimizer, generator, labels, planned=self.n_epochs, groups=groups, head=head)
        state.facts |= {"pretrained": net.pretrained, "groups": int(groups.max()) + 1}
        return state

    def _round(self, state: ClusterFitState, images: Images, run: Runtime) -> Record:
        loss, view = partial(self._told, state=state, run=run), partial(mildly, strength=self.view_strength)
        value = fit_epoch(state, images, loss, run, batches=self._falling(state, len(images)), view=view)
        self._cluster(state, images, run)
        return Record(value, self._k)

    # -- the teacher ---------------------------------------------------------------------------------------------------

    def _groups(self, images: Images, generator: torch.Generator) -> Labels:
        """Clusters of the teacher's features, numbered without gaps ``-> (n,)``."""
        found, n = teacher_of(self.teacher, images), len(images)
        if found.ndim == 1:
            if self.n_groups is not None:
                raise InputError("n_groups goes with a teacher's features, but teacher gives groups already.")
            return np.asarray(np.unique(found, return_inverse=True)[1], dtype=np.int64)
        n_groups = self.n_groups
        if n_groups is None:
            n_groups = max(min(GROUPS_A_CLUSTER * self._k, n // LEAST_GROUP), min(self._k, n), 1)
        if not 1 <= n_groups <= n:
            raise InputError(f"n_groups is {n_groups}, but there are {n} images; expected 1 to {n}.")
        seed = seed_from(generator)
        labels = kmeans(found, n_groups, seed=seed).labels
        return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)

    # -- one epoch -----------------------------------------------------------------------------------------------------

    def _told(self, net: nn.Module, index: Labels, x: Tensor, *, state: ClusterFitState, run: Runtime) -> Tensor:
        """Cross-entropy of the groups of a batch."""
        features = run.gather(net(x))
        wanted = torch.from_numpy(cast(Labels, state.groups)[index]).to(features.device)
        with torch.autocast(features.device.type, enabled=False):
            return functional.cross_entropy(cast(nn.Module, state.head)(GAIN * features.float()), wanted)


def teacher_of(teacher: Any, images: Images) -> npt.NDArray[Any]:
    """What a teacher says of the images: features ``-> (n, d)`` float32, or groups ``-> (n,)`` int.

    Raises
    ------
    InputError
        If it speaks of other images, or is nothing that can teach.
    """
    n = len(images)
    if teacher is None:
        return np.asarray(images.pixels) if images.is_vectors else pixel_features(images.pixels, centred=False)
    if isinstance(teacher, (str, Path)):
        teacher = Clustering.load(teacher)
    if isinstance(teacher, Clustering):
        if teacher.names != images.names:
            raise InputError(f"teacher is a run of {len(teacher)} other images; expected one of these {n} images.")
        return teacher.embedding
    found = np.asarray(teacher)
    grouped = found.ndim == 1 and found.dtype.kind in "iu"
    if not (grouped or (found.ndim == 2 and found.dtype.kind in "fiu")) or len(found) != n:
        raise InputError(
            f"teacher has shape {found.shape} and type {found.dtype}; expected a run of the same images, ({n}, d) "
            f"features or ({n},) whole numbers."
        )
    if not np.isfinite(found).all():
        raise InputError("teacher holds NaN or infinite values; clean its features first.")
    return found if grouped else found.astype(np.float32)


def mildly(x: Tensor, generator: torch.Generator, *, strength: float) -> Tensor:
    """A moved view, mirrored or not where it has colours ``(b, ...) -> (b, ...)``."""
    x = moved(x, generator, strength=strength)
    return flip(x, generator) if x.ndim == 4 and x.shape[1] == 3 else x
