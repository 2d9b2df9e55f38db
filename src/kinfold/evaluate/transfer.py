"""Features learnt on one set, used on another: to cluster it, or to tell whether two faces are the same person's."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kinfold import metrics
from kinfold.data.images import Images, as_images
from kinfold.estimator import DeepClusterer
from kinfold.evaluate import probes
from kinfold.evaluate.protocols import flat_pixels, random_network
from kinfold.ops.pixels import first_clusters
from kinfold.ops.source import unit
from kinfold.runtime import Runtime
from kinfold.train import embed

__all__ = ["people_apart", "transferred", "verified"]

Features = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def transferred(
    model: DeepClusterer[Any], images: Images, y: Labels, *, seed: int = 0, runtime: Runtime | None = None
) -> dict[str, dict[str, float]]:
    """Cluster a set by features of a model that never saw it, beside those of a random network and the pixels.

    Images are brought to the shape that the model was fitted on. Two clusterings stand for each: k-means, and graph
    degree linkage, the agglomeration that JULE's transfer table uses, as `kinfold.ops.pixels.first_clusters` does it.

    Parameters
    ----------
    model
        Fitted on another set.
    images
        The set to cluster.
    y
        Its classes, for the scores and the number of clusters.

    Returns
    -------
    dict
        Scores by ``"learnt"``, ``"random"`` and ``"pixels"``, each with ``kmeans_nmi``, ``kmeans_acc``, ``gdl_nmi``,
        ``gdl_acc``.

    Examples
    --------
    >>> import kinfold
    >>> from sklearn.datasets import load_digits
    >>> x, y = load_digits(return_X_y=True)
    >>> x = x.reshape(-1, 8, 8).astype("float32") / 16
    >>> model = kinfold.JULE(10, preset="fast", n_epochs=1, random_state=0).fit(x[:200])
    >>> sorted(transferred(model, kinfold.as_images(x[200:400]), y[200:400]))
    ['learnt', 'pixels', 'random']
    """
    k = int(np.unique(y).size)
    found = {}
    for name, x in _features(model, images, seed, runtime or Runtime()).items():
        means = probes.kmeans_scores(x, y, seed=seed)
        links = metrics.scores(y, first_clusters(unit(x), k))
        found[name] = {
            **{f"kmeans_{score}": means[score] for score in ("nmi", "acc")},
            **{f"gdl_{score}": links[score] for score in ("nmi", "acc")},
        }
    return found


def verified(
    model: DeepClusterer[Any], images: Images, people: Labels, *, seed: int = 0, runtime: Runtime | None = None
) -> dict[str, dict[str, Any]]:
    """Pair verification on people that the model never saw, beside a random network and the pixels.

    Returns
    -------
    dict
        By ``"learnt"``, ``"random"`` and ``"pixels"`` what `kinfold.evaluate.probes.verification` gives.
    """
    found = _features(model, images, seed, runtime or Runtime())
    return {name: probes.verification(x, people, seed=seed) for name, x in found.items()}


def people_apart(people: Labels, seed: int = 0) -> tuple[Labels, Labels]:
    """Positions of the images of one half of the people, and of the other half ``(n,) -> (a,), (b,)``.

    Examples
    --------
    >>> first, second = people_apart(np.array([0, 0, 1, 1, 2, 3]))
    >>> len(first) + len(second), np.isin(first, second).any()
    (6, np.False_)
    """
    names = np.random.default_rng(seed).permutation(np.unique(people))
    mine = np.isin(people, names[: len(names) // 2])
    return np.flatnonzero(mine), np.flatnonzero(~mine)


def _features(model: DeepClusterer[Any], images: Images, seed: int, run: Runtime) -> dict[str, Features]:
    fitted = as_images(images, shape=model.images_shape_)
    untrained = random_network(model, fitted, seed)
    return {
        "learnt": embed(run.to(model.state_.net), fitted, run).numpy(),
        "random": embed(run.to(untrained), fitted, run).numpy(),
        "pixels": flat_pixels(images),
    }
