"""What may come into a fit: tables told from images, known classes, and one sentence for what cannot be clustered."""

from __future__ import annotations

import numbers
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from kinfold.data.images import Images
from kinfold.errors import InputError

Labels = np.ndarray[Any, np.dtype[np.int64]]


def is_table(X: Any) -> bool:
    """Whether this is a plain 2-D array-like, which scikit-learn's own validation understands best.

    Examples
    --------
    >>> is_table([[0.0, 1.0]]), is_table("photos/"), is_table(np.zeros((5, 8, 8)))
    (True, False, False)
    """
    if isinstance(X, (Images, torch.Tensor, str, Path, torch.utils.data.Dataset)):
        return False
    if isinstance(X, (list, tuple)):
        return not (X and (isinstance(X[0], (str, Path, Mapping)) or np.ndim(X[0]) > 1))
    return (hasattr(X, "ndim") or hasattr(X, "__array__")) and int(getattr(X, "ndim", 2)) < 3


def classes(y: ArrayLike | None, images: Images) -> tuple[Labels | None, list[str] | None]:
    """Known classes as whole numbers with their names, from `y` or else from the images, ``(n,) -> (n,)``.

    Raises
    ------
    InputError
        If there is not one class an image, or a class is NaN or infinite.

    Examples
    --------
    >>> classes(["cat", "dog", "cat"], Images(np.eye(3, dtype=np.float32)))
    (array([0, 1, 0]), ['cat', 'dog'])
    """
    if y is None:
        return (None if images.labels is None else np.asarray(images.labels, dtype=np.int64)), images.label_names
    found = np.asarray(y)
    if found.shape == (len(images), 1):
        found = found[:, 0]
    if found.shape != (len(images),):
        raise InputError(f"y has shape {found.shape}; expected ({len(images)},), one class an image.")
    if found.dtype.kind in "iu":
        return found.astype(np.int64), None
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        raise InputError(f"y holds {found[~np.isfinite(found)][0]}; expected numbers or names, one class an image.")
    names, codes = np.unique(found.astype(str) if found.dtype == object else found, return_inverse=True)
    return codes.astype(np.int64), [str(name) for name in names.tolist()]


def refuse_unknown(choices: Mapping[str, tuple[Any, Collection[Any]]]) -> None:
    """Check choices, given as ``name: (value, what there is)``.

    Raises
    ------
    InputError
        Naming the first that does not exist.

    Examples
    --------
    >>> refuse_unknown({"loss": ("hinge", ("triplet", "affinity"))})
    Traceback (most recent call last):
    ...
    kinfold.errors.InputError: loss is 'hinge'; expected 'triplet' or 'affinity'.
    """
    for name, (value, known) in choices.items():
        if value not in known:
            raise InputError(f"{name} is {value!r}; expected {' or '.join(map(repr, known))}.")


def refuse_defects(as_released: Collection[str], known: Collection[str], preset: str) -> None:
    """Check which defects of a released code are to be reproduced; the paper's preset alone has them.

    Raises
    ------
    InputError
        If there is no such defect, or another preset.

    Examples
    --------
    >>> refuse_defects(("sampler",), ("sampler",), "default")
    Traceback (most recent call last):
    ...
    kinfold.errors.InputError: as_released goes with preset='paper', but preset is 'default'.
    """
    unknown = sorted(set(as_released) - set(known))
    if unknown:
        raise InputError(f"as_released names {unknown}; expected some of {list(known)}.")
    if as_released and preset != "paper":
        raise InputError(f"as_released goes with preset='paper', but preset is {preset!r}.")


def refuse_what_has_no_clusters(images: Images, n_clusters: Any) -> None:
    """Check what no algorithm can cluster.

    Raises
    ------
    InputError
        If `n_clusters` is no count, or the images are fewer than two, not finite, all the same, or too few for it.

    Examples
    --------
    >>> refuse_what_has_no_clusters(Images(np.ones((3, 2), dtype=np.float32)), 2)
    Traceback (most recent call last):
    ...
    kinfold.errors.InputError: all 3 images are identical; there is nothing to tell apart.
    """
    k = n_clusters
    if k is not None and (isinstance(k, bool) or not isinstance(k, numbers.Integral) or int(k) < 1):
        raise InputError(f"n_clusters is {k!r}; expected a whole number of 1 or more, or None to estimate it.")
    n = len(images)
    if n < 2:
        raise InputError(f"only {'one image' if n else 'no image'} came (n_samples = {n}); expected at least two.")
    # In pieces: the pixels may be a memory map larger than the memory.
    for start in range(0, n, 1024) if images.pixels.dtype.kind == "f" else ():
        if not bool(np.isfinite(images.pixels[start : start + 1024]).all()):
            raise InputError("the images contain NaN or infinity; replace those values first.")
    different = int((images.duplicate_of < 0).sum())
    if different == 1:
        raise InputError(f"all {n} images are identical; there is nothing to tell apart.")
    if k is not None and different < int(k):
        kind = "images" if different == n else "different images"
        raise InputError(f"n_clusters is {k}, but there are only {different} {kind}; ask for fewer clusters.")
