"""Raw images as rows of unit length, small enough to seek neighbours among."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from kinfold.ops.affinity import graph_of
from kinfold.ops.agglomerate import agglomerate_sized, initial_clusters
from kinfold.ops.knn import Neighbours, neighbours

LARGEST_SIDE = 32
SAMPLE = 5000  # images on which the centring is decided, and among which `kept` looks
ASKED = 100  # images whose neighbours at full size are sought, to say what averaging loses
CHUNK = 2048
FULL_CHUNK = 256  # of images at full size


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
    return _to_unit(small)


def first_graph(
    pixels: npt.NDArray[np.generic], n_neighbors: int, center: bool | str, *, measured: bool = False
) -> tuple[npt.NDArray[np.float32], Neighbours]:
    """Neighbours among images as they came ``(n, c, h, w) or (n, d) -> (n, d), (n, k)``.

    Rows are scaled to unit length, after the mean image has been taken away where `center` is true, or, for "auto",
    where that makes more neighbours mutual: centring serves digits and ruins aligned faces, and mutual neighbours tell
    them apart without labels. Vectors are taken as they are. Sides above 32 pixels are averaged down to 32; with
    `measured` the recall is then that of the search times the share that averaging keeps, see `kept`.
    """
    if pixels.ndim == 2:
        features = np.asarray(pixels, dtype=np.float32)
        return features, neighbours(features, n_neighbors)
    found = []
    for centred in (False, True) if center == "auto" else (bool(center),):
        features = pixel_features(pixels, centred=centred)
        found.append((features, neighbours(features, n_neighbors), centred))
    features, near, centred = max(found, key=lambda each: mutuality(each[1]))
    if measured and max(pixels.shape[2:]) > LARGEST_SIDE:
        share = kept(pixels, features, near.index.shape[1], centred=centred)
        method = f"averaged down to a side of {LARGEST_SIDE} pixels, {near.method}"
        near = replace(near, recall=near.recall * share, method=method)
    return features, near


def kept(
    pixels: npt.NDArray[np.generic], features: npt.NDArray[np.float32], n_neighbors: int, *, centred: bool
) -> float:
    """Share of the neighbours at full size that images still have once averaged down ``(n, c, h, w), (n, d) -> ()``.

    Measured on 100 images, drawn at random, among at most 5,000; equally near ones count alike.

    Parameters
    ----------
    pixels : (n, c, h, w) uint8 or float32
    features : (n, d)
        What `pixel_features` makes of them.
    n_neighbors : int
    centred : bool
        As given to `pixel_features`.

    Examples
    --------
    >>> x = np.random.default_rng(0).random((20, 1, 32, 1), dtype=np.float32).repeat(2, axis=2)
    >>> kept(x, pixel_features(x, centred=True), 3, centred=True)
    1.0
    """
    generator = np.random.default_rng(0)
    among = np.sort(generator.choice(len(pixels), min(SAMPLE, len(pixels)), replace=False))
    asked = generator.choice(len(among), min(ASKED, len(among)), replace=False)
    near, small = _full_size(pixels, among, asked, centred=centred), features[among[asked]] @ features[among].T
    for cosines in (near, small):
        cosines[np.arange(len(asked)), asked] = -np.inf
    k = min(n_neighbors, len(among) - 1)
    farthest = np.partition(near, -k, axis=1)[:, -k]
    found = np.argpartition(small, -k, axis=1)[:, -k:]
    return float((np.take_along_axis(near, found, axis=1) >= farthest[:, None] - 1e-6).mean())


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


def _full_size(
    pixels: npt.NDArray[np.generic], among: npt.NDArray[np.int64], asked: npt.NDArray[np.int64], *, centred: bool
) -> npt.NDArray[np.float32]:
    """Cosines between images as they came, a few in memory at a time ``(n, c, h, w), (m,), (q,) -> (q, m)``."""
    mean = np.zeros(1, dtype=np.float32)
    pieces = [among[i : i + FULL_CHUNK] for i in range(0, len(among), FULL_CHUNK)]
    if centred:
        total = sum(pixels[rows].astype(np.float64).sum(0) for rows in pieces)
        mean = (np.ravel(total) / len(among)).astype(np.float32)

    def full(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        return _to_unit(pixels[rows].reshape(len(rows), -1).astype(np.float32) - mean)

    wanted = full(among[asked])
    return np.concatenate([wanted @ full(rows).T for rows in pieces], axis=1)


def _to_unit(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scale rows to unit length, in place ``(n, d) -> (n, d)``; a row of noughts stays one."""
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-10)
    return rows


def _small(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    x = torch.from_numpy(np.array(pixels, dtype=np.float32))
    h, w = x.shape[-2:]
    scale = LARGEST_SIDE / max(h, w)
    if scale < 1:
        x = functional.interpolate(x, size=(max(1, round(h * scale)), max(1, round(w * scale))), mode="area")
    rows: npt.NDArray[np.float32] = x.reshape(len(x), -1).numpy()
    return rows
