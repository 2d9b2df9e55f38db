"""Fewer images that say as much: features without near-copies, drawn evenly over what there is.

What `kinfold curate` does, with `kinfold.ops.deduplicate` (SemDeDup, Abbas et al. 2023) and the balanced sample of
`kinfold.ops.hierarchical_kmeans` (Vo et al. 2024). A pile from the internet holds the same picture many times over, and
a few kinds of picture most of the time; clusters learnt on it follow the copies and the common kinds.
"""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kinfold.data.features import FeatureShards, PartWriter, part_line, part_name, write_manifest
from kinfold.errors import InputError, room_for
from kinfold.files import csv_writer, read_json, write_text
from kinfold.ops.deduplicate import deduplicate
from kinfold.ops.hierarchical_kmeans import Hierarchy, Level, balanced_sample, hierarchical_kmeans
from kinfold.runtime import Progress, Runtime

__all__ = ["Curated", "curate"]

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

DROPPED = "dropped.csv"
MEMBERS = 100  # images of a cluster of the finest level, on average
FEWEST = 10  # clusters of the coarsest level, at least


@dataclass(frozen=True)
class Curated:
    """What `curate` wrote.

    Attributes
    ----------
    features : FeatureShards
        Of the images that are left.
    n_near_copies : int
        Images dropped because another one is nearly the same.
    n_not_drawn : int
        Images dropped because enough of their kind were drawn.
    """

    features: FeatureShards
    n_near_copies: int
    n_not_drawn: int


def curate(
    features: FeatureShards | str | Path,
    folder: str | Path,
    *,
    epsilon: float | None = 0.05,
    n_items: int | None = None,
    seed: int = 0,
    runtime: Runtime | None = None,
) -> Curated:
    """Drop near-copies, draw the rest evenly over its kinds, and write the features of what is left.

    Parameters
    ----------
    features
        Written by ``kinfold embed`` or `kinfold.write_features`, or their folder.
    folder
        A new or empty one; it gets features of the same kind, and ``dropped.csv`` with a line for each image that is
        not among them: image, the image it repeats with their cosine, or nothing where it was not drawn.
    epsilon
        Largest cosine distance of a near-copy, 0 to 2; None keeps them all. Of two, the rarer-looking one is kept.
    n_items
        How many images to draw, evenly over a hierarchy of clusters; None takes all that are no near-copies.
    seed
        Of the clusters and of the draw.
    runtime
        Progress, and processes, which share the clustering.

    Returns
    -------
    Curated

    Raises
    ------
    InputError
        When the folder holds something, nothing is asked for, or more images are wanted than there are.

    Examples
    --------
    >>> import tempfile, kinfold, torch
    >>> images = np.repeat(np.eye(4, dtype=np.float32).reshape(4, 2, 2), 3, axis=0)
    >>> shards = kinfold.write_features(images, tempfile.mkdtemp() + "/all", torch.nn.Flatten())
    >>> found = curate(shards, tempfile.mkdtemp() + "/few")
    >>> found.features.shape, found.n_near_copies
    ((4, 4), 8)
    """
    shards = features if isinstance(features, FeatureShards) else FeatureShards(features)
    folder, run, n = Path(folder), runtime or Runtime(), len(shards)
    if epsilon is None and n_items is None:
        raise InputError("neither near-copies nor a number of images were asked for; give epsilon, n_items or both.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already and is no empty folder; give another one, nothing is overwritten.")
    kept, twin, cosine = np.ones(n, dtype=bool), np.full(n, -1, dtype=np.int64), np.full(n, -1.0)
    if epsilon is not None:
        run.progress.phase("looking for near-copies", None)
        found = deduplicate(shards, epsilon=epsilon, seed=seed, run=run)
        kept, twin, cosine = found.kept, found.duplicate_of, found.cosine
    n_copies = n - int(kept.sum())
    if n_items is not None:
        run.progress.phase("drawing images", None)
        kept = _drawn(shards, np.flatnonzero(kept), n_items, seed, run)
    if run.is_main:
        how = {"epsilon": epsilon, "items": n_items, "seed": seed}
        _write(shards, folder, kept, twin, cosine, how, run.progress)
    run.wait()
    run.progress.done()
    return Curated(FeatureShards(folder, check=False), n_copies, n - n_copies - int(kept.sum()))


def level_sizes(n: int) -> list[int]:
    """Clusters of each level for n images, finest first: a hundred images each, then a tenth as many.

    Examples
    --------
    >>> level_sizes(1_000_000), level_sizes(50)
    ([10000, 1000, 100, 10], [1])
    """
    sizes = [max(1, n // MEMBERS)]
    while sizes[-1] >= 10 * FEWEST:
        sizes.append(sizes[-1] // 10)
    return sizes


def _drawn(shards: FeatureShards, left: Ints, n_items: int, seed: int, run: Runtime) -> Mask:
    """Mark images drawn evenly over the clusters of all, out of those at positions `left` ``-> (n,)``."""
    if not 1 <= n_items <= len(left):
        raise InputError(
            f"{n_items} images are wanted; expected 1 to {len(left)}, the number that is left to draw from."
        )
    whole = hierarchical_kmeans(shards, level_sizes(len(shards)), form="spherical", seed=seed, run=run)
    finest = Level(whole.levels[0].book, whole.levels[0].labels[left])
    marked = np.zeros(len(shards), dtype=bool)
    marked[left[balanced_sample(Hierarchy([finest, *whole.levels[1:]]), n_items, seed=seed)]] = True
    return marked


def _write(
    shards: FeatureShards, folder: Path, kept: Mask, twin: Ints, cosine: npt.NDArray[np.float64], how: dict[str, Any],
    told: Progress,
) -> None:  # fmt: skip
    """The features that are left and the table of the others, under a temporary name until all is there."""
    work = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(work, ignore_errors=True)  # of a call that was killed
    try:
        with room_for(folder):
            work.mkdir(parents=True)
            _write_parts(shards, work, kept, twin, cosine, how, told)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    if folder.exists():
        folder.rmdir()  # it is empty
    work.rename(folder)


def _write_parts(
    shards: FeatureShards, work: Path, kept: Mask, twin: Ints, cosine: npt.NDArray[np.float64], how: dict[str, Any],
    told: Progress,
) -> None:  # fmt: skip
    """Parts, the table of what was left out, and the manifest."""
    parts, d = shards.about["parts"], shards.shape[1]
    told.phase("writing features", len(parts))
    table, done = list(shards.table()), []
    for number, (first, last) in enumerate(pairwise(shards.starts.tolist())):
        chosen = first + np.flatnonzero(kept[first:last])
        with PartWriter(work, number, d) as writer:
            writer.add(shards[chosen], [table[i][0] for i in chosen], [table[i][1] for i in chosen])
        done.append(part_line(read_json(work, f"{part_name(number)}.json"), parts[number]["source"]))
        told.advance()
    lines = io.StringIO(newline="")
    writes = csv_writer(lines)
    writes.writerow(["image", "near_copy_of", "cosine"])
    for i in np.flatnonzero(~kept).tolist():
        writes.writerow([table[i][0], *([table[twin[i]][0], f"{cosine[i]:.4f}"] if twin[i] >= 0 else ["", ""])])
    write_text(work / DROPPED, lines.getvalue())
    known = {
        key: value for key, value in shards.about.items() if key not in ("format", "format_version", "n", "d", "parts")
    }
    write_manifest(work, {**known, "curated": [*known.get("curated", []), how]}, d, done)
