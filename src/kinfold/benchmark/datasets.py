"""Benchmark sets by name, from a folder of the user's.

Nothing is downloaded. ``--data DIR`` names a folder that holds the files below; a set whose file is absent is left out
by name. Rows are shuffled with one fixed seed, because many files are sorted by class and nothing may depend on that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kinfold.errors import InputError

if TYPE_CHECKING:
    from kinfold.data import Images

SHUFFLE_SEED = 0


@dataclass(frozen=True)
class BenchmarkSet:
    """What a set is called, where it lies and what it must hold.

    Attributes
    ----------
    name, title : str
        For commands and ids; for tables.
    file : str
        File or folder of images inside the data folder. Of a set of the user's own (`own` is true) also ``NAME.h5``
        and a folder ``NAME`` of class folders are accepted.
    n, n_clusters : int
        Images and classes; `n` is 0 where it depends on the user's copy.
    first : int
        Rows before this one are left out.
    kept : tuple of float, optional
        Share of each class that is kept, in the order of the classes; the others are left out.
    sample : int or None
        Only this many images of the shuffled set are taken.
    note : str
        What stands beside the number in every table.
    """

    name: str
    title: str
    file: str
    n: int
    n_clusters: int
    first: int = 0
    sample: int | None = None
    note: str = ""
    own: bool = False
    kept: tuple[float, ...] | None = None


_JPEG = "re-coded as JPEG"
SETS: dict[str, BenchmarkSet] = {
    s.name: s
    for s in (
        BenchmarkSet("umist", "UMIST", "umist.npz", 575, 20),
        BenchmarkSet("coil20", "COIL-20", "coil20.npz", 1440, 20),
        BenchmarkSet("coil100", "COIL-100", "coil100_64.npz", 7200, 100, note="64 px, the paper used 128"),
        BenchmarkSet("usps", "USPS", "usps_11000.npz", 11000, 10, note="1,100 a digit"),
        BenchmarkSet("mnist-test", "MNIST-test", "mnist.npz", 10000, 10, first=60000),
        BenchmarkSet("mnist-full", "MNIST-full", "mnist.npz", 70000, 10),
        BenchmarkSet(
            "mnist-unbalanced",
            "MNIST, unbalanced",
            "mnist.npz",
            38832,
            10,
            kept=tuple(c / 10 for c in range(10, 0, -1)),
            note="100 % of the noughts, 90 % of the ones, … 10 % of the nines",
        ),
        BenchmarkSet("cmu-pie", "CMU-PIE", "cmu_pie.npz", 2856, 68),
        BenchmarkSet(
            "cifar10", "CIFAR-10", "cifar10_jpeg.npz", 10000, 10, sample=10000, note=f"{_JPEG}, a sample of 10,000"
        ),
        BenchmarkSet("cifar10-full", "CIFAR-10, all", "cifar10_jpeg.npz", 60000, 10, note=_JPEG),
        BenchmarkSet("flowers5", "flowers5", "flowers5", 4317, 5, note="photographs, 128 px"),
        BenchmarkSet("frgc", "FRGC v2", "frgc.npz", 0, 20, own=True),
        BenchmarkSet("ytf", "YouTube Faces", "ytf.npz", 0, 41, own=True),
        BenchmarkSet("stl10", "STL-10", "stl10.npz", 0, 10, own=True),
        BenchmarkSet("imagenet10", "ImageNet-10", "imagenet10.npz", 0, 10, own=True),
        BenchmarkSet("imagenet-dogs", "ImageNet-Dogs", "imagenet-dogs.npz", 0, 15, own=True),
        BenchmarkSet("tiny-imagenet", "Tiny-ImageNet", "tiny-imagenet.npz", 0, 200, own=True),
        BenchmarkSet("cub", "CUB-200-2011", "cub.npz", 0, 200, own=True),
        BenchmarkSet("cars", "Stanford Cars", "cars.npz", 0, 196, own=True),
        BenchmarkSet("dogs", "Stanford Dogs", "dogs.npz", 0, 120, own=True),
    )
}


def benchmark_set(name: str) -> BenchmarkSet:
    """Set of this name.

    Raises
    ------
    InputError
        If there is none; the sentence lists those there are.

    Examples
    --------
    >>> benchmark_set("umist").n_clusters
    20
    """
    if name not in SETS:
        raise InputError(f"there is no benchmark set {name!r}; expected one of {', '.join(SETS)}.")
    return SETS[name]


def find(name: str, data: str | Path) -> Path | None:
    """Where the set lies inside `data`, or None if it is not there."""
    wanted = benchmark_set(name)
    candidates = [wanted.file, *((f"{name}.h5", f"{name}.hdf5", name) if wanted.own else ())]
    return next((Path(data) / c for c in candidates if (Path(data) / c).exists()), None)


def load(name: str, data: str | Path) -> Images:
    """Images of a set with their labels, shuffled by one fixed seed.

    Parameters
    ----------
    name
        A key of ``SETS``.
    data
        Folder with the files.

    Raises
    ------
    InputError
        If the set is unknown, absent, has no labels, or is another version than the one that the results are about.
    """
    from kinfold.data import as_images

    wanted = benchmark_set(name)
    path = find(name, data)
    if path is None:
        raise InputError(
            f"{data} holds no {wanted.file} for the benchmark set {name!r}; put it there, or name another folder with "
            "--data."
        )
    images = as_images(str(path), labels="from-folders" if path.is_dir() else None)
    if images.labels is None:
        raise InputError(
            f"{path.name} has no labels, and a benchmark needs them for its scores; expected the key 'labels' or one "
            "folder a class."
        )
    order = np.random.default_rng(SHUFFLE_SEED).permutation(np.arange(wanted.first, len(images)))
    if wanted.kept is not None:
        order = order[_kept(np.asarray(images.labels)[order], wanted.kept)]
    images = images.select(order[: wanted.sample])
    found = (len(images), len(np.unique(np.asarray(images.labels))))
    if not wanted.own and found != (wanted.n, wanted.n_clusters):
        raise InputError(
            f"{path.name} gives {found[0]} images of {found[1]} classes for {name!r}; expected {wanted.n} of "
            f"{wanted.n_clusters}: it is another version of the set, whose scores would not be comparable."
        )
    return images


def _kept(labels: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Positions of the first so many of each class ``(n,) -> (m,)``, in order."""
    chosen = [
        np.flatnonzero(labels == c)[: round(share * int((labels == c).sum()))]
        for c, share in zip(np.unique(labels), shares, strict=True)
    ]
    return np.sort(np.concatenate(chosen))
