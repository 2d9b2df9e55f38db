"""k-means of many vectors from disk: `kinfold.ops`, faiss and scikit-learn on the same file, a process each.

The vectors are n points of 2,000 Gaussians in 64 dimensions, sought in 1,000 clusters (fewer of fewer than 50,000). The
file lies in the temporary folder, 256 bytes a vector, and is made once; it may be deleted afterwards.

The parts "codebook" and "faiss" do the same: 20 steps on 256 random rows a cluster from random rows, then all rows
are assigned. "growing" is how `kinfold.ops.kmeans` does it by itself. "quick" stands against "minibatch", which is
scikit-learn's MiniBatchKMeans as it comes (beyond a million vectors with one pass, which flatters it): fewer rows and
steps for at most its inertia.

The parts "rows-…" are for how the cost grows with the number of vectors: 100 clusters, five steps that all look at all
rows, and the assignment.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinfold.benchmark.measure import timed

DIMENSIONS = 64
GAUSSIANS = 2_000
STEPS = 20
BLOCK = 65_536
ONE_PASS = 1_000_000  # vectors beyond which MiniBatchKMeans sees each of them once

KMEANS = ("codebook", "growing", "quick", "faiss", "minibatch", "codebook-tenth")
GROWTH = tuple(f"rows-{n}" for n in (10_000_000, 1_000_000, 100_000, 10_000))
HIERARCHY = ("hierarchy", "hierarchy-tenth")


def vectors(n: int, seed: int) -> NDArray[np.float32]:
    """The mapped file of n vectors, made if it is not there ``-> (n, 64)``.

    Examples
    --------
    >>> vectors(1000, 0).shape
    (1000, 64)
    """
    path = Path(tempfile.gettempdir()) / f"kinfold-vectors-{n}-{seed}.npy"
    if not path.exists():
        rng = np.random.default_rng(seed)
        centres = rng.standard_normal((GAUSSIANS, DIMENSIONS), dtype=np.float32)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (n, DIMENSIONS)}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, n, BLOCK):
                m = min(BLOCK, n - start)
                rows = centres[rng.integers(GAUSSIANS, size=m)]
                rows += np.float32(0.6) * rng.standard_normal((m, DIMENSIONS), dtype=np.float32)
                rows.astype("<f4").tofile(file)
        os.replace(file.name, path)
    found: NDArray[np.float32] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def clusters(n: int) -> int:
    """A thousand, or one for 50 vectors."""
    return max(2, min(1000, n // 50))


def codebook(n: int, seed: int, **options: Any) -> dict[str, Any]:
    """`kinfold.ops.kmeans` from the file."""
    from kinfold.ops.kmeans import kmeans

    x = vectors(n, seed)
    kmeans(np.asarray(x[:200]), 2)  # compiled before the clock starts
    constants: dict[str, Any] = {
        "n_iterations": STEPS,
        "most": 256,
        "growing": False,
        "start": "random",
        "seed": seed,
    } | options
    found, usage = timed(lambda: kmeans(x, clusters(n), **constants))
    return {**usage._asdict(), "n": n, "n_clusters": clusters(n), "inertia": found.inertia / n}


def by_faiss(n: int, seed: int) -> dict[str, Any]:
    """faiss's own k-means and assignment."""
    import faiss

    x, k = vectors(n, seed), clusters(n)

    def work() -> float:
        model = faiss.Kmeans(DIMENSIONS, k, niter=STEPS, seed=seed + 1, max_points_per_centroid=256)
        model.train(np.asarray(x))
        parts = (model.index.search(np.ascontiguousarray(x[i : i + BLOCK]), 1)[0] for i in range(0, n, BLOCK))
        return float(sum(part.sum(dtype=np.float64) for part in parts))

    inertia, usage = timed(work)
    return {**usage._asdict(), "n": n, "n_clusters": k, "inertia": inertia / n}


def minibatch(n: int, seed: int) -> dict[str, Any]:
    """MiniBatchKMeans with its own constants, and one pass over many vectors: a hundred would take an hour."""
    from sklearn.cluster import MiniBatchKMeans

    x = vectors(n, seed)
    model = MiniBatchKMeans(clusters(n), random_state=seed, n_init=1, max_iter=100 if n <= ONE_PASS else 1)
    _, usage = timed(lambda: model.fit(x))
    return {**usage._asdict(), "n": n, "n_clusters": clusters(n), "inertia": float(model.inertia_) / n}


def hierarchy(n: int, seed: int) -> dict[str, Any]:
    """`kinfold.ops.hierarchical_kmeans` in three levels: one cluster for a thousand vectors, then a tenth each time."""
    from kinfold.ops.hierarchical_kmeans import hierarchical_kmeans
    from kinfold.ops.kmeans import kmeans

    x = vectors(n, seed)
    kmeans(np.asarray(x[:200]), 2)
    finest = max(100, n // 1000)
    found, usage = timed(lambda: hierarchical_kmeans(x, [finest, finest // 10, max(2, finest // 100)], seed=seed))
    sizes = [int(np.unique(found.labels(level)).size) for level in range(3)]
    return {**usage._asdict(), "n": n, "levels": sizes}


def all_rows(n: int, seed: int, k: int = 100, steps: int = 5) -> dict[str, Any]:
    """`kinfold.ops.kmeans` where every step looks at every row of the file.

    What a step costs is the CPU seconds divided by the steps that were done and one more, the assignment at the end,
    which looks at every row too.
    """
    from kinfold.ops.kmeans import kmeans

    x = vectors(n, seed)
    kmeans(np.asarray(x[:200]), 2)
    found, usage = timed(lambda: kmeans(x, k, n_iterations=steps, growing=False, start="random", seed=seed))
    passes = len(found.history) + 1
    return {
        **usage._asdict(),
        "n": n,
        "n_clusters": k,
        "steps": len(found.history),
        "cpu_seconds_a_step": usage.cpu_seconds / passes,
        "cpu_nanoseconds_a_step_and_row": 1e9 * usage.cpu_seconds / passes / n,
        "inertia": found.inertia / n,
    }


def growth(runs: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """How the CPU seconds of a step grow with the number of rows."""
    cost = {int(each[0]["n"]): float(np.mean([r["cpu_seconds_a_step"] for r in each])) for each in runs.values()}
    sizes = sorted(cost)
    seconds = [cost[n] for n in sizes]
    exponent = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
    return {"growth": {"sizes": sizes, "cpu_seconds": [round(s, 6) for s in seconds], "exponent": round(exponent, 2)}}


def conclusions(runs: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Ratios on the same data in one run, and how the cost grows with n."""
    cpu = {name: float(np.mean([r["cpu_seconds"] for r in each])) for name, each in runs.items()}
    own = "codebook" if "codebook" in runs else "hierarchy"
    sizes = [int(runs[f"{own}-tenth"][0]["n"]), int(runs[own][0]["n"])]
    exponent = float(np.log(cpu[own] / cpu[f"{own}-tenth"]) / np.log(sizes[1] / sizes[0]))
    seconds = [round(cpu[f"{own}-tenth"], 3), round(cpu[own], 3)]
    found: dict[str, Any] = {"growth": {"sizes": sizes, "cpu_seconds": seconds, "exponent": round(exponent, 2)}}
    if own == "codebook":
        inertia = {name: float(np.mean([r["inertia"] for r in each])) for name, each in runs.items()}
        found["ratio"] = {"against": "faiss k-means", "value": round(cpu["faiss"] / cpu["codebook"], 2)}
        found["minibatch"] = {
            "ratio": round(cpu["minibatch"] / cpu["quick"], 2),
            "inertia_quick": round(inertia["quick"], 4),
            "inertia_minibatch": round(inertia["minibatch"], 4),
        }
    return found


PARTS: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "codebook": codebook,
    "codebook-tenth": lambda n, seed: codebook(n // 10, seed),
    "growing": lambda n, seed: codebook(n, seed, growing=True),
    "quick": lambda n, seed: codebook(n, seed, most=64, growing=True, n_iterations=3),
    "faiss": by_faiss,
    "minibatch": minibatch,
    "hierarchy": hierarchy,
    "hierarchy-tenth": lambda n, seed: hierarchy(n // 10, seed),
    "rows-10000000": all_rows,
    "rows-1000000": lambda n, seed: all_rows(n // 10, seed),
    "rows-100000": lambda n, seed: all_rows(n // 100, seed),
    "rows-10000": lambda n, seed: all_rows(n // 1000, seed),
}
