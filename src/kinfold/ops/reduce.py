"""Fewer dimensions with nearly the same distances, for searches among raw pixels of large images."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from kinfold.errors import InputError

Samples = npt.NDArray[np.float32]

SAMPLE_VALUES = 32_000_000  # principal components are found from rows that hold about this many values


def reduce(
    features: npt.NDArray[np.floating],
    n_components: int = 128,
    *,
    method: Literal["pca", "projection"] = "pca",
    seed: int = 0,
) -> Samples:
    """Project samples on fewer dimensions ``(n, d) -> (n, n_components)``.

    Parameters
    ----------
    features : (n, d) float
        Samples.
    n_components : int
        Dimensions wanted; d at most, and n at most for "pca".
    method : str
        "pca": centred, on the leading principal components of a random sample of the rows (randomized SVD, Halko et
        al. 2011); keeps the most of the squared distances. "projection": on Gaussian random directions (Johnson and
        Lindenstrauss); needs no fit and no structure, keeps every squared distance within about
        ``2 * sqrt(2 / n_components)`` of itself.
    seed : int
        Of the sample and the directions; the result depends on nothing else.

    Raises
    ------
    InputError
        If the features are no matrix, or n_components or the method is out of range.

    Examples
    --------
    >>> x = np.outer(np.arange(4.0), np.ones(100))
    >>> np.abs(np.diff(reduce(x, 1), axis=0)).round(3).ravel()  # the distances along the one direction there is
    array([10., 10., 10.], dtype=float32)
    """
    if features.ndim != 2 or not len(features):
        raise InputError(f"features has shape {features.shape}; expected (n, d) with at least 1 sample.")
    if n_components < 1:
        raise InputError(f"n_components is {n_components}; expected at least 1.")
    if method not in ("pca", "projection"):
        raise InputError(f"method is {method!r}; expected 'pca' or 'projection'.")
    n, d = features.shape
    rng = np.random.default_rng(seed)
    n_components = min(n_components, d)
    if method == "projection":
        directions = rng.standard_normal((n_components, d), dtype=np.float32) / np.float32(np.sqrt(n_components))
        return _projected(features, np.zeros(d, dtype=np.float32), directions)
    from sklearn.utils.extmath import randomized_svd

    n_components = min(n_components, n)
    n_rows = min(n, max(SAMPLE_VALUES // d, 4 * n_components))
    rows = np.sort(rng.choice(n, n_rows, replace=False))
    sample = np.asarray(features[rows], dtype=np.float32)
    centre = sample.mean(axis=0)
    _, _, directions = randomized_svd(sample - centre, n_components, n_iter=3, random_state=seed)
    return _projected(features, centre, directions)


def _projected(features: npt.NDArray[np.floating], centre: Samples, directions: Samples) -> Samples:
    """Block by block, so that no second copy of the features is made."""
    reduced = np.empty((len(features), len(directions)), dtype=np.float32)
    block = max(1, SAMPLE_VALUES // 8 // features.shape[1])
    for i in range(0, len(features), block):
        reduced[i : i + block] = (features[i : i + block].astype(np.float32) - centre) @ directions.T
    return reduced
