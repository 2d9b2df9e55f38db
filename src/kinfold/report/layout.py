"""The map: a picture of the embedding in two dimensions, in bounded time and the same every time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

MAX_SAMPLES = 3000
MAX_FEATURES = 50
N_ITERATIONS = 500

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Layout:
    """Places on the map and how they were found.

    Attributes
    ----------
    places : (n, 2) float32
        In [0, 1], the longer side along the first axis.
    how : str
        One sentence for the reader of the page.
    """

    places: Floats
    how: str


def planar(embedding: npt.NDArray[np.floating], seed: int = 0) -> Layout:
    """Places of n images on a map ``(n, d) -> (n, 2)``.

    t-SNE (van der Maaten and Hinton, 2008) of at most 3,000 images, started from the first two principal
    components; every other image goes to the distance-weighted mean of its three nearest neighbours among them.

    Examples
    --------
    >>> planar(np.eye(4, dtype=np.float32)).places.shape
    (4, 2)
    """
    x = np.nan_to_num(np.asarray(embedding, dtype=np.float32).reshape(len(embedding), -1), posinf=0.0, neginf=0.0)
    n, d = x.shape
    if n == 1:
        return Layout(np.full((1, 2), 0.5, dtype=np.float32), "There is one image.")
    if d == 2:
        return Layout(_unit(x), "The embedding has two dimensions and is drawn as it is.")
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(n, MAX_SAMPLES, replace=False)) if n > MAX_SAMPLES else np.arange(n)
    x = _reduced(x, sample, seed)
    # Identical rows have no neighbourhood to preserve, and t-SNE divides by their spread.
    if n < 10 or x.shape[1] < 3 or float(x[sample].std(axis=0).max()) < 1e-9:
        return Layout(_unit(_two_columns(x)), "The map shows the first two principal components of the embedding.")
    places = np.empty((n, 2), dtype=np.float32)
    perplexity = min(30.0, (len(sample) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", learning_rate="auto", max_iter=N_ITERATIONS, random_state=seed)
    places[sample] = tsne.fit_transform(x[sample])
    how = f"The map is a t-SNE of the embedding (perplexity {perplexity:.0f}, started from principal components)"
    if len(sample) == n:
        return Layout(_spread(places), how + ". Neighbours are close; distances between far groups mean little.")
    rest = np.setdiff1d(np.arange(n), sample, assume_unique=True)
    places[rest] = _between(x[rest], x[sample], places[sample], rng)
    how += (
        f" of {len(sample):,} images drawn at random; the other {len(rest):,} stand between their three nearest "
        "neighbours among those. Neighbours are close; distances between far groups mean little."
    )
    return Layout(_spread(places), how)


def _reduced(x: Floats, sample: npt.NDArray[np.int64], seed: int) -> Floats:
    """At most 50 principal components of the sample, scaled to unit spread ``(n, d) -> (n, min(d, 50))``."""
    n_components = min(MAX_FEATURES, x.shape[1], max(1, len(sample) - 1))
    if n_components < x.shape[1]:
        solver = "randomized" if n_components < 0.8 * min(len(sample), x.shape[1]) else "full"
        pca = PCA(n_components, svd_solver=solver, random_state=seed).fit(x[sample])
        x = np.asarray(pca.transform(x), dtype=np.float32)
    else:
        x = x - x[sample].mean(axis=0)
    scale = float(np.sqrt((x[sample].astype(np.float64) ** 2).sum(axis=1).mean()))
    return np.asarray(x / scale if scale > 0 else x, dtype=np.float32)


def _two_columns(x: Floats) -> Floats:
    return np.pad(x, ((0, 0), (0, max(0, 2 - x.shape[1]))))[:, :2]


def _between(x: Floats, known: Floats, places: Floats, rng: np.random.Generator) -> Floats:
    """Distance-weighted mean place of the three nearest known images ``(m, d), (s, d), (s, 2) -> (m, 2)``."""
    distance, index = NearestNeighbors(n_neighbors=min(3, len(known)), algorithm="brute").fit(known).kneighbors(x)
    weight = 1 / (distance + 1e-6)
    weight /= weight.sum(axis=1, keepdims=True)
    around = places[index]
    # Neighbours torn apart by t-SNE would put an image in empty space: the nearest one decides then.
    torn = np.linalg.norm(around - around[:, :1], axis=2) > 0.1 * float(np.ptp(places, axis=0).max())
    weight[torn] = 0
    weight /= weight.sum(axis=1, keepdims=True)
    mean = np.einsum("mk,mkc->mc", weight, around)
    jitter = 0.002 * float(np.ptp(places, axis=0).max())
    return np.asarray(mean + rng.normal(0, jitter, mean.shape), dtype=np.float32)


def _unit(places: Floats) -> Floats:
    """Move and scale into the unit square, equal scale on both axes ``(n, 2) -> (n, 2)``."""
    if len(places) == 0:
        return np.zeros((0, 2), dtype=np.float32)
    low, high = places.min(axis=0), places.max(axis=0)
    side = float((high - low).max())
    centred = (places - (low + high) / 2) / side if side > 0 else np.zeros_like(places)
    return np.asarray(np.clip(centred + 0.5, 0, 1), dtype=np.float32)


def _spread(places: Floats) -> Floats:
    """Turn the longest direction level and fill the unit square ``(n, 2) -> (n, 2)``.

    Directions of t-SNE mean nothing, so the map is free to use its room; neither axis is stretched by over 1.6.
    """
    centred = places - places.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    # The sign of a singular vector is arbitrary: its largest entry is made positive, the same on every machine.
    axes = axes * np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])[:, None]
    turned = np.asarray(centred @ axes.T, dtype=np.float32)
    span = np.ptp(turned, axis=0)
    return _unit(turned * np.minimum(span.max() / np.maximum(span, 1e-12), 1.6).astype(np.float32))
