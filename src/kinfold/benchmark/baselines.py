"""Methods that learn nothing, on the pixels or on frozen features: what every algorithm has to beat.

Settings follow the baselines of the JULE paper as its authors' scripts set them, each by one call of scikit-learn where
there is one. Pixels lie in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kinfold.data import Images

Matrix = NDArray[np.float32]
Labels = NDArray[np.int64]

N_NEIGHBORS = 20  # the paper's K_s, for every method on a neighbour graph
# K-means sees this many principal components of rows longer than LONG, where there are more values than MOST_VALUES:
# on COIL-100's 7,200 x 12,288, choosing the first centres alone takes 48 s, ten times a seed.
N_COMPONENTS, LONG, MOST_VALUES = 512, 4096, 50_000_000


def pixels(images: Images) -> Matrix:
    """Flat pixels; eight-bit ones divided by 255 ``-> (n, d)``.

    Examples
    --------
    >>> from kinfold.data import as_images
    >>> float(pixels(as_images(np.full((2, 8, 8), 255, dtype="uint8"))).max())
    1.0
    """
    rows = np.asarray(images.pixels)
    flat = rows.reshape(len(rows), -1).astype(np.float32)
    if rows.dtype == np.uint8:
        flat /= 255
    return flat


def prepare(method: str, images: Images) -> Matrix:
    """Input of a method: flat pixels, or what the frozen backbone makes of the images ``-> (n, d)``."""
    if not method.endswith("_features"):
        return pixels(images)
    from kinfold.algorithms.jule import JULE
    from kinfold.benchmark.scenarios.scenario import PRETRAINED
    from kinfold.runtime import Runtime

    # The very features that JULE's head learns from, so that the baseline is one on the same input.
    seen = JULE(backbone=PRETRAINED)._prepare(images, Runtime())
    return np.asarray(seen.pixels, dtype=np.float32).reshape(len(seen), -1)


def kmeans(x: Matrix, n_clusters: int, seed: int) -> Labels:
    """K-means, best of ten starts, at most max(100, n / 100) iterations ``(n, d) -> (n,)``.

    Rows of more than 4,096 values are first projected on their 512 principal components where all of them together
    hold more than 50 million.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    if x.shape[1] > LONG and x.size > MOST_VALUES:
        x = PCA(N_COMPONENTS, svd_solver="randomized", random_state=seed).fit_transform(x)
    model = KMeans(n_clusters, n_init=10, max_iter=max(100, len(x) // 100), random_state=seed)
    return np.asarray(model.fit_predict(x), dtype=np.int64)


def gdl(x: Matrix, n_clusters: int, seed: int) -> Labels:
    """Plain graph degree linkage on rows of unit length ``(n, d) -> (n,)``.

    Zhang et al., ECCV 2012, with 20 neighbours and initial clusters from nearest-neighbour chains: the paper's AC-GDL.
    """
    from kinfold.ops.affinity import graph_of
    from kinfold.ops.agglomerate import agglomerate, initial_clusters
    from kinfold.ops.knn import neighbours

    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    near = neighbours(unit, N_NEIGHBORS)
    start = initial_clusters(near.index[:, 0])
    return agglomerate(graph_of(near), start, n_clusters, n_local=1, features=unit).cut(n_clusters)


def gdl_centred(x: Matrix, n_clusters: int, seed: int) -> Labels:
    """Graph degree linkage after subtracting the mean image ``(n, d) -> (n,)``: good on digits, ruinous on faces."""
    return gdl(x - x.mean(axis=0), n_clusters, seed)


def average_linkage(x: Matrix, n_clusters: int, seed: int) -> Labels:
    """Average linkage on all pairs ``(n, d) -> (n,)``: the paper's AC-Link."""
    from sklearn.cluster import AgglomerativeClustering

    return np.asarray(AgglomerativeClustering(n_clusters, linkage="average").fit_predict(x), dtype=np.int64)


def spectral(x: Matrix, n_clusters: int, seed: int) -> Labels:
    """Spectral clustering with the full Gaussian affinity exp(-d² / (0.05 · mean d²)) ``(n, d) -> (n,)``: SC-NJW."""
    from sklearn.cluster import SpectralClustering
    from sklearn.metrics import pairwise_distances

    d2 = pairwise_distances(x, metric="sqeuclidean")
    affinity = np.exp(-d2 / (0.05 * float(d2.mean())))
    model = SpectralClustering(n_clusters, affinity="precomputed", n_init=10, random_state=seed)
    return np.asarray(model.fit_predict(affinity), dtype=np.int64)


def ncuts(x: Matrix, n_clusters: int, seed: int) -> Labels:
    """Normalised cuts on the graph of 20 neighbours, discretised ``(n, d) -> (n,)``."""
    from sklearn.cluster import SpectralClustering

    model = SpectralClustering(
        n_clusters,
        affinity="nearest_neighbors",
        n_neighbors=N_NEIGHBORS,
        assign_labels="discretize",
        random_state=seed,
    )
    return np.asarray(model.fit_predict(x), dtype=np.int64)


def nmf(x: Matrix, n_clusters: int, seed: int) -> Labels:
    """Non-negative factors under the Kullback-Leibler loss (10 factors, 50 steps), then k-means ``(n, d) -> (n,)``."""
    import warnings

    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    model = NMF(10, beta_loss="kullback-leibler", solver="mu", max_iter=50, init="nndsvda", random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fifty steps are the setting, converged or not
        factors = np.asarray(model.fit_transform(x), dtype=np.float32)
    return kmeans(factors, n_clusters, seed)


METHODS: dict[str, Callable[[Matrix, int, int], Labels]] = {
    "kmeans": kmeans,
    "kmeans_features": kmeans,
    "gdl_features": gdl,
    "gdl": gdl,
    "gdl_centred": gdl_centred,
    "average_linkage": average_linkage,
    "spectral": spectral,
    "ncuts": ncuts,
    "nmf": nmf,
}
