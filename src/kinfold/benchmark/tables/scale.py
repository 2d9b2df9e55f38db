"""Tables of speed and scale: merging and training, vectors from disk, streams of images, views."""

from __future__ import annotations

from kinfold.benchmark.scenarios import SCENARIOS
from kinfold.benchmark.tables.cells import (
    NOTHING,
    Result,
    Results,
    made,
    mean,
    metric,
    not_measured,
    number,
    peak,
    remark,
    significant,
    table,
)

CORE = ("agglomerate", "agglomerate_dense", "training")  # what JULE spends its time on
TITLES = {
    "kinfold": "**Kinfold**, merging",
    "ward": "scikit-learn ward with connectivity",
    "kmeans": "faiss k-means",
    "sparse": "**Kinfold**, graph and merging",
    "dense": "dense numpy loop, graph and merging",
    "training": "**Kinfold**, training",
    "plain": "plain float32 PyTorch loop",
}

VECTORS = {
    "codebook": "**Kinfold**, k-means",
    "codebook-tenth": "**Kinfold**, k-means, a tenth of the vectors",
    "growing": "**Kinfold**, k-means as it comes",
    "quick": "**Kinfold**, k-means, quick",
    "faiss": "faiss k-means",
    "minibatch": "scikit-learn MiniBatchKMeans",
    "hierarchy": "**Kinfold**, hierarchical k-means",
    "hierarchy-tenth": "**Kinfold**, hierarchical k-means, a tenth of the vectors",
}
LIKE = {"grey": "grey, 28 px, as for MNIST", "colour": "colour, 32 px, as for CIFAR-10"}


def speed(results: Results) -> str:
    """Merging and training, each beside its alternatives in the same run."""
    head = ["what", "n", "seconds", "CPU s, all steps", "peak MB", "NMI"]
    rows, remarks = [], []
    for result in results.values():
        if "parts" not in result or result["algorithm"] not in CORE:
            continue
        for name, part in result["parts"].items():
            if name in TITLES:
                cpu = part.get("all_cpu_seconds", part["cpu_seconds"]["mean"])
                rows.append(
                    [
                        TITLES[name],
                        f"{part.get('n', result['n']):,.0f}",
                        f"{significant(part['seconds']['mean'], 3)} ± {significant(part['seconds']['sd'], 1)}",
                        significant(cpu, 3),
                        f"{part['peak_mb']:,}",
                        number(part.get("nmi")),
                    ]
                )
        remarks.append(remark(result))
    if not rows:
        return not_measured("kinfold benchmark speed")
    text = table(head, rows) + "\n" + "\n".join(remarks) + "\n"
    return text + made("kinfold benchmark speed", "agglomerate-*.json")


def vectors(results: Results) -> str:
    """k-means of many vectors from disk, each way in a process of its own."""
    found = [results[name] for name in ("kmeans-10m", "hierarchical-10m") if name in results]
    if not found:
        return not_measured("kinfold benchmark speed --only kmeans-10m")
    rows = [_vectors(VECTORS[name], part) for result in found for name, part in result["parts"].items()]
    head = ["who", "n", "clusters", "CPU s", "seconds", "peak MB", "inertia a vector"]
    remarks = "\n".join(remark(result) for result in found)
    text = f"{table(head, rows)}\n{remarks}\n"
    return text + made("kinfold benchmark speed", "{kmeans,hierarchical}-10m.json", "One run.")


def _vectors(who: str, part: Result) -> list[str]:
    clusters = [part["n_clusters"]] if "n_clusters" in part else part["levels"]
    spent = [f"{part[key]['mean']:,.1f}" for key in ("cpu_seconds", "seconds")]
    inertia = NOTHING if "inertia" not in part else f"{part['inertia']:.3f}"
    return [who, f"{part['n']:,.0f}", ", ".join(f"{k:,.0f}" for k in clusters), *spent, f"{part['peak_mb']:,}", inertia]


def streams(results: Results) -> str:
    """Images streamed from tar shards through a network: how fast, and in how much memory."""
    names = [s.id for s in SCENARIOS.values() if s.task == "stream"]
    if not any(name in results for name in names):
        return not_measured(f"kinfold benchmark {names[0]} --data DIR")
    head = ["images", "images a CPU second", "resident MB after the first part", "after the last", "most", "peak MB"]
    rows = []
    for name in names:
        ours = results.get(name)
        keys = ("images_per_cpu_second", "resident_mb_first", "resident_mb_last", "resident_mb_most")
        cells = [metric(ours, key, ",.0f") for key in keys]
        rows.append([f"{SCENARIOS[name].parameters['n']:,}", *cells, peak(ours), mean(ours, "cpu_seconds")])
    words = "Mean ± standard deviation over seeds; above 10,000 images one run."
    return table([*head, "CPU s"], rows) + made(f"kinfold benchmark {names[0]} --data DIR", "embed-*.json", words)


def views(results: Results) -> str:
    """Views of whole batches against torchvision, one image at a time."""
    found = [results[name] for name in ("views-mnist", "views-cifar10") if name in results]
    if not found:
        return not_measured("kinfold benchmark speed --only views-mnist")
    head = ["images", "views", "Kinfold, views a CPU second", "torchvision, views a CPU second", "times as fast"]
    rows = []
    for result in found:
        kind = str(SCENARIOS[result["scenario"]].parameters["kind"])
        parts = [result["parts"][f"{who}-{kind}"] for who in ("batches", "torchvision")]
        rates = [f"{part['views_per_cpu_second']:,.0f}" for part in parts]
        rows.append([LIKE[kind], f"{parts[0]['n']:,.0f}", *rates, f"{result['ratio']['value']:g}"])
    text = table(head, rows) + made("kinfold benchmark speed", "views-*.json", "Mean over seeds.")
    shares = results.get("information-training-share", {}).get("share_of_bare_passes", {})
    if shares:
        shown = ", ".join(f"{name.upper()} {100 * share:.0f} %" for name, share in shares.items())
        text += (
            "\nTraining reaches this share of the rate of the same passes through the same layers without views and "
        )
        text += f"information: {shown} (`information-training-share.json`).\n"
    return text
