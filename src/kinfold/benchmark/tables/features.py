"""Tables of what learns features first: patches, exchanged targets."""

from __future__ import annotations

from kinfold.benchmark import published
from kinfold.benchmark.scenarios.scenario import HERE
from kinfold.benchmark.tables.cells import (
    NOTHING,
    Results,
    about,
    change,
    made,
    mean,
    metric,
    peak,
    printed,
    table,
)


def coates_ng(results: Results) -> str:
    """Coates-Ng: published beside ours, by dictionary and size."""
    head = ["dictionary and encoder", "atoms", "published", "here", "on its training part", "CPU s", "peak MB"]
    rows = []
    for figure in published.FIGURES:
        if figure.method.startswith("Coates-Ng") and figure.status == "published" and figure.acc is not None:
            what, atoms = figure.method.removeprefix("Coates-Ng ").rsplit(" ", 1)
            rows.append([what, atoms, f"{100 * figure.acc:g}", *[NOTHING] * 4])
    for name, one in results.items():
        if name.startswith("coates-ng-"):
            what = one["parameters"].get("dictionary", "kmeans")
            test, fitted = (f"{100 * one['metrics'][part]['mean']:.1f}" for part in ("acc_test", "acc_train"))
            cost = [mean(one, "cpu_seconds"), peak(one)]
            rows.append([what, str(one["parameters"]["n_atoms"]), NOTHING, f"**{test}**", fitted, *cost])
    words = "Accuracy in per cent of a linear machine on the test part of CIFAR-10; here on a copy re-coded as JPEG."
    return table(head, rows) + f"\n{words} Made by `kinfold benchmark coates-ng --data DIR`.\n"


def nat(results: Results) -> str:
    """NAT beside what was published and k-means on the same pixels; then what its parts bring."""
    head = ["set", "n", "k", "published ACC", "Kinfold ACC", "Kinfold NMI", "k-means ACC", "CPU s", "peak MB"]
    rows = []
    for name in HERE:
        ours, shown = results.get(f"nat-{name}-default"), published.figure(name, "MMDC")
        if ours is not None or shown is not None:
            beside = metric(results.get(f"kmeans-pixels-{name}"), "acc")
            quoted = printed(shown.acc if shown else None)
            found = [metric(ours, "acc"), metric(ours, "nmi"), beside, mean(ours, "cpu_seconds"), peak(ours)]
            rows.append([*about(name, ours), quoted, *found])
    changes = [
        [change(one["parameters"]), metric(one, "acc"), metric(one, "nmi")]
        for i, one in results.items()
        if i.startswith("nat-mnist-test-") and not i.endswith("-default")
    ]
    text = table(head, rows) + made("kinfold benchmark nat --data DIR", "nat-*.json")
    text += "Published: MMDC, " + "; ".join((published.MMDC, published.MMDC_PAPER)) + ".\n"
    return text + ("\n" + table(["change, on MNIST-test", "ACC", "NMI"], changes) if changes else "")
