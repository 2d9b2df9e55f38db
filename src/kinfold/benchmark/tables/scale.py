"""Tables of speed and scale: merging and training."""

from __future__ import annotations

from kinfold.benchmark.tables.cells import Results, made, not_measured, number, remark, table

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
                        f"{part.get('n', result['n']):,}",
                        f"{part['seconds']['mean']:.3g} ± {part['seconds']['sd']:.1g}",
                        f"{cpu:.3g}",
                        f"{part['peak_mb']:,}",
                        number(part.get("nmi")),
                    ]
                )
        remarks.append(remark(result))
    if not rows:
        return not_measured("kinfold benchmark speed")
    text = table(head, rows) + "\n" + "\n".join(remarks) + "\n"
    return text + made("kinfold benchmark speed", "agglomerate-*.json")
