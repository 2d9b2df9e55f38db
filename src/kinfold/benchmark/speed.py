"""Speed scenarios: Kinfold's part and its named alternatives, each in a process of its own, in the same run.

The merging scenarios use a mixture of 20 Gaussians in 64 dimensions, rows of unit length, 20 neighbours, merged down to
20 clusters. At a million the points have 3 dimensions, so that their exact neighbours, which are given there, take
seconds. Compiled kernels are compiled before the clock starts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kinfold.benchmark import passes, published, training, vectors, viewing
from kinfold.benchmark.measure import Usage, timed
from kinfold.benchmark.scenarios import Scenario

if TYPE_CHECKING:
    from kinfold.ops.knn import Neighbours

N_CLUSTERS = 20
N_NEIGHBORS = 20
LARGEST_SEARCH = 100_000  # beyond, the neighbours are given

Part = Callable[[int, int], dict[str, Any]]

# By algorithm: its parts, Kinfold's first, and what is concluded from them; of merging both depend on n.
PARTS_OF: dict[str, Sequence[str]] = {
    "agglomerate_dense": ("sparse", "dense"),
    "training": ("training", "plain", "matmul"),
    "passes": passes.PARTS,
    "kmeans": vectors.KMEANS,
    "hierarchical_kmeans": vectors.HIERARCHY,
    "kmeans_growth": vectors.GROWTH,
}
CONCLUSIONS: dict[str, Callable[[Mapping[str, list[dict[str, Any]]]], dict[str, Any]]] = {
    "training": training.conclusions,
    "passes": passes.conclusions,
    "kmeans": vectors.conclusions,
    "hierarchical_kmeans": vectors.conclusions,
    "kmeans_growth": vectors.growth,
    "views": viewing.conclusions,
}


def work(scenario: Scenario, task: Mapping[str, Any]) -> dict[str, Any]:
    """Measure one part of a scenario."""
    return PARTS[task["part"]](int(scenario.parameters["n"]), task["seed"])


def parts(scenario: Scenario) -> Sequence[str]:
    """Parts of a scenario, Kinfold's first.

    Examples
    --------
    >>> from kinfold.benchmark.scenarios import scenario
    >>> parts(scenario("agglomerate-10000"))
    ('kinfold', 'half', 'quarter', 'ward', 'kmeans')
    """
    if scenario.algorithm in PARTS_OF:
        return PARTS_OF[scenario.algorithm]
    if scenario.algorithm == "views":
        kind = scenario.parameters["kind"]
        return (f"batches-{kind}", f"torchvision-{kind}")
    if int(scenario.parameters["n"]) > LARGEST_SEARCH:
        return ("kinfold", "half", "quarter", "kmeans")  # ward keeps a Python heap of all edges: hours, tens of GB
    return ("kinfold", "half", "quarter", "ward", "kmeans")


def conclusions(scenario: Scenario, runs: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Ratio, growth and agreement, from the parts of one run."""
    if scenario.algorithm in CONCLUSIONS:
        return CONCLUSIONS[scenario.algorithm](runs)
    mean = {name: float(np.mean([r["seconds"] for r in found])) for name, found in runs.items()}
    if scenario.algorithm == "agglomerate_dense":
        same = [r["partition"] for r in runs["sparse"]] == [r["partition"] for r in runs["dense"]]
        return {"ratio": _ratio("the dense numpy loop", mean["dense"] / mean["sparse"]), "same_partition": same}
    n = int(scenario.parameters["n"])
    sizes = [n // 4, n // 2, n]
    seconds = [mean["quarter"], mean["half"], mean["kinfold"]]
    exponent = float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])
    found: dict[str, Any] = {
        "growth": {"sizes": sizes, "seconds": [round(s, 4) for s in seconds], "exponent": round(exponent, 2)}
    }
    against = "ward" if "ward" in mean else "kmeans"
    title = {"ward": "scikit-learn's ward with connectivity", "kmeans": "faiss k-means"}[against]
    found["ratio"] = _ratio(title, mean[against] / mean["kinfold"])
    if n in published.ORIGINAL_MERGING_CPU_SECONDS:
        found["original"] = {
            "cpu_seconds": published.ORIGINAL_MERGING_CPU_SECONDS[n],
            "what": "neighbours, affinity and merging",
            "source": published.MEASURED,
        }
    return found


def mixture(n: int, d: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Twenty Gaussians of equal weight, rows of unit length ``-> (n, d), (n,)``.

    Examples
    --------
    >>> x, y = mixture(100, 64, 0)
    >>> x.shape, np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    ((100, 64), True)
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(N_CLUSTERS, d)).astype(np.float32)
    y = rng.integers(N_CLUSTERS, size=n)
    x = rng.standard_normal(size=(n, d), dtype=np.float32)
    x *= 0.8 if d > 3 else 0.05
    x += centres[y]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x, y.astype(np.int64)


def _points(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    return mixture(n, 64 if n <= LARGEST_SEARCH else 3, seed)


def _given(x: NDArray[np.float32]) -> Neighbours:
    """Exact neighbours from a k-d tree: quick in three dimensions."""
    from scipy.spatial import cKDTree

    from kinfold.ops.knn import Neighbours

    distance, index = cKDTree(x).query(x, N_NEIGHBORS + 1)
    own = index == np.arange(len(x))[:, None]
    own[~own.any(axis=1), -1] = True
    shape = (len(x), N_NEIGHBORS)
    d2 = (distance[~own].reshape(shape) ** 2).astype(np.float32)
    return Neighbours(index[~own].reshape(shape).astype(np.int64), d2, 1.0)


def _compile() -> None:
    from kinfold.ops.affinity import graph_of
    from kinfold.ops.agglomerate import agglomerate, initial_clusters
    from kinfold.ops.knn import neighbours

    near = neighbours(mixture(200, 8, 0)[0], 5)
    agglomerate(graph_of(near), initial_clusters(near.index[:, 0]), 20).cut(20)


def kinfold(n: int, seed: int) -> dict[str, Any]:
    """Neighbours, graph, initial clusters and merging by `kinfold.ops`; ``seconds`` is the merging alone."""
    from kinfold.metrics import nmi
    from kinfold.ops.affinity import graph_of
    from kinfold.ops.agglomerate import agglomerate, initial_clusters
    from kinfold.ops.knn import neighbours

    _compile()
    x, y = _points(n, seed)
    near, search = timed(lambda: neighbours(x, N_NEIGHBORS) if n <= LARGEST_SEARCH else _given(x))
    (graph, start), graphing = timed(lambda: (graph_of(near), initial_clusters(near.index[:, 0])))
    tree, merging = timed(lambda: agglomerate(graph, start, N_CLUSTERS, features=x))
    return {
        **_usage(merging),
        "n": n,
        "initial_clusters": tree.n_start,
        "neighbours_seconds": search.seconds,
        "graph_seconds": graphing.seconds,
        "all_cpu_seconds": search.cpu_seconds + graphing.cpu_seconds + merging.cpu_seconds,
        "nmi": nmi(y, tree.cut(N_CLUSTERS)),
    }


def ward(n: int, seed: int) -> dict[str, Any]:
    """scikit-learn's agglomeration, ward linkage along the same neighbours; the clock is the merging's."""
    import warnings

    from sklearn.cluster import AgglomerativeClustering
    from sklearn.neighbors import kneighbors_graph

    from kinfold.metrics import nmi

    x, y = _points(n, seed)
    graph, search = timed(lambda: kneighbors_graph(x, N_NEIGHBORS, include_self=False))
    model = AgglomerativeClustering(N_CLUSTERS, linkage="ward", connectivity=graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a graph in several pieces is expected; scikit-learn joins them
        _, merging = timed(lambda: model.fit(x))
    return {
        **_usage(merging),
        "n": n,
        "neighbours_seconds": search.seconds,
        "all_cpu_seconds": search.cpu_seconds + merging.cpu_seconds,
        "nmi": nmi(y, model.labels_),
    }


def kmeans(n: int, seed: int) -> dict[str, Any]:
    """faiss k-means with as many centres, 25 iterations, and the assignment."""
    import faiss

    from kinfold.metrics import nmi

    x, y = _points(n, seed)

    def work() -> NDArray[np.int64]:
        model = faiss.Kmeans(x.shape[1], N_CLUSTERS, niter=25, seed=seed + 1, max_points_per_centroid=n)
        model.train(x)
        return np.asarray(model.index.search(x, 1)[1].ravel(), dtype=np.int64)

    labels, usage = timed(work)
    return {**_usage(usage), "n": n, "all_cpu_seconds": usage.cpu_seconds, "nmi": nmi(y, labels)}


def sparse(n: int, seed: int) -> dict[str, Any]:
    """Graph and merging by `kinfold.ops`, neighbours given."""
    from kinfold.ops.affinity import graph_of
    from kinfold.ops.agglomerate import agglomerate, initial_clusters
    from kinfold.ops.knn import neighbours

    _compile()
    near = neighbours(_points(n, seed)[0], N_NEIGHBORS)
    start = initial_clusters(near.index[:, 0])
    labels, usage = timed(lambda: agglomerate(graph_of(near), start, N_CLUSTERS).cut(N_CLUSTERS))
    return {**_usage(usage), "n": n, "initial_clusters": int(start.max()) + 1, "partition": fingerprint(labels)}


def dense(n: int, seed: int) -> dict[str, Any]:
    """The same by `kinfold.benchmark.dense`."""
    from kinfold.benchmark.dense import fill, merge
    from kinfold.ops.agglomerate import initial_clusters
    from kinfold.ops.knn import neighbours

    near = neighbours(_points(n, seed)[0], N_NEIGHBORS)
    start = initial_clusters(near.index[:, 0])
    merged, usage = timed(lambda: merge(fill(near.index, near.distance), start, N_CLUSTERS))
    return {**_usage(usage), "n": n, "initial_clusters": int(start.max()) + 1, "partition": fingerprint(merged.labels)}


def fingerprint(labels: NDArray[np.int64]) -> str:
    """Text that two labelings share exactly if they are the same partition.

    Examples
    --------
    >>> fingerprint(np.array([0, 0, 1])) == fingerprint(np.array([5, 5, 2]))
    True
    >>> fingerprint(np.array([0, 0, 1])) == fingerprint(np.array([0, 1, 1]))
    False
    """
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return hashlib.sha256(rank[inverse].astype("<i8").tobytes()).hexdigest()[:16]


def _usage(usage: Usage) -> dict[str, Any]:
    return {"seconds": usage.seconds, "cpu_seconds": usage.cpu_seconds}


def _ratio(against: str, value: float) -> dict[str, Any]:
    return {"against": against, "value": round(value, 1) if value >= 1 else float(f"{value:.2g}")}


PARTS: dict[str, Part] = {
    "kinfold": kinfold,
    "half": lambda n, seed: kinfold(n // 2, seed),
    "quarter": lambda n, seed: kinfold(n // 4, seed),
    "ward": ward,
    "kmeans": kmeans,
    "sparse": sparse,
    "dense": dense,
    "training": training.jule,
    "imsat": passes.imsat,
    "iic": passes.iic,
    "plain": training.plain,
    "matmul": training.matmul,
    **vectors.PARTS,
    **{f"batches-{kind}": viewing.batches(kind) for kind in ("grey", "colour")},
    **{f"torchvision-{kind}": viewing.torchvision(kind) for kind in ("grey", "colour")},
}
