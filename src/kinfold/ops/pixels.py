"""Raw images as rows of unit length, small enough to seek neighbours among."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from kinfold.ops.affinity import graph_of
from kinfold.ops.agglomerate import agglomerate_sized, initial_clusters
from kinfold.ops.knn import Neighbours, neighbours

LARGEST_SIDE = 32
SAMPLE = 5000  # images on which the centring is decided
CHUNK = 2048


def pixel_features(pixels: npt.NDArray[np.generic], *, centred: bool) -> npt.NDArray[np.float32]:
    """Raw images as rows of unit length ``(n, c, h, w) -> (n, d)``.

    Sides above 32 pixels are averaged down to 32. Images are read in pieces, so that a memory map stays on disk.

    Parameters
    ----------
    pixels : (n, c, h, w) uint8 or float32
    centred : bool
        Subtract the mean image before the rows are scaled.

    Examples
    --------
    >>> pixel_features(np.eye(4, dtype=np.float32).reshape(4, 1, 2, 2), centred=False).shape
    (4, 4)
    """
    small = np.concatenate([_small(pixels[i : i + CHUNK]) for i in range(0, len(pixels), CHUNK)])
    if centred:
        small -= small.mean(0)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-10)
    return small


def first_graph(
    pixels: npt.NDArray[np.generic], n_neighbors: int, center: bool | str
) -> tuple[npt.NDArray[np.float32], Neighbours]:
    """Neighbours among images as they came ``(n, c, h, w) or (n, d) -> (n, d), (n, k)``.

    Rows are scaled to unit length, after the mean image has been taken away where `center` is true, or, for "auto",
    where that makes more neighbours mutual: centring serves digits and ruins aligned faces, and mutual neighbours tell
    them apart without labels. Vectors are taken as they are.
    """
    if pixels.ndim == 2:
        features = np.asarray(pixels, dtype=np.float32)
        return features, neighbours(features, n_neighbors)
    found = []
    for centred in (False, True) if center == "auto" else (bool(center),):
        features = pixel_features(pixels, centred=centred)
        found.append((features, neighbours(features, n_neighbors)))
    return max(found, key=lambda each: mutuality(each[1]))


def first_clusters(
    pixels: npt.NDArray[np.generic], n_clusters: int, *, n_neighbors: int | None = None, smallest: float = 0.2
) -> npt.NDArray[np.int64]:
    """Clusters of images as they came, by graph degree linkage, for methods that begin with some ``(n, ...) -> (n,)``.

    Whether the mean image is taken away first is decided on 5,000 images, see `first_graph`.

    Parameters
    ----------
    pixels : (n, c, h, w) or (n, d)
    n_clusters : int
        Fewer come out where the graph has fewer groups.
    n_neighbors : int, optional
        A fifteenth of the mean cluster size when None, between 10 and 20.
    smallest : float
        Groups below this share of the mean cluster size take up no cluster.
    """
    n = len(pixels)
    k = n_neighbors or min(max(n // (15 * n_clusters), 10), 20)
    center: bool | str = "auto"
    if pixels.ndim == 4 and n > SAMPLE:
        some = pixels[np.sort(np.random.default_rng(0).choice(n, SAMPLE, replace=False))]
        plain, centred = (mutuality(first_graph(some, k, each)[1]) for each in (False, True))
        center = centred > plain
    features, near = first_graph(pixels, k, center)
    start = initial_clusters(near.index[:, 0])
    if start.max() + 1 < 2 * n_clusters:  # chains would leave too little to merge
        start = np.arange(n)
    least = max(3.0, smallest * n / n_clusters)
    tree = agglomerate_sized(graph_of(near), start, n_clusters, smallest=least, features=features)
    return tree.cut(min(n_clusters, tree.n_start))


def mutuality(near: Neighbours) -> float:
    """Share of neighbours that are neighbours of each other, 0 to 1."""
    edges = graph_of(near)
    edges.data = np.ones_like(edges.data)
    return float(edges.multiply(edges.T).sum() / edges.sum())


def _small(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    x = torch.from_numpy(np.array(pixels, dtype=np.float32))
    h, w = x.shape[-2:]
    scale = LARGEST_SIDE / max(h, w)
    if scale < 1:
        x = functional.interpolate(x, size=(max(1, round(h * scale)), max(1, round(w * scale))), mode="area")
    rows: npt.NDArray[np.float32] = x.reshape(len(x), -1).numpy()
    return rows
