"""Tables of what learns features first, and of features that cross over to other sets and other people."""

from __future__ import annotations

from kinfold.benchmark import published
from kinfold.benchmark.datasets import SETS
from kinfold.benchmark.scenarios import SCENARIOS
from kinfold.benchmark.scenarios.scenario import HERE
from kinfold.benchmark.tables.cells import (
    NOTHING,
    Results,
    about,
    change,
    goal,
    made,
    mean,
    metric,
    not_measured,
    pair,
    peak,
    printed,
    table,
)

CODED = {"kmeans": "k-means, triangle", "gain-shape": "OMP-1, soft threshold"}  # a dictionary and its encoder


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
            chosen = one["parameters"]
            more = {key: value for key, value in chosen.items() if key not in ("n_atoms", "dictionary")}
            what = CODED[chosen["dictionary"]] + (f", {change(more)}" if more else "")
            test, fitted = (f"{100 * one['metrics'][part]['mean']:.1f}" for part in ("acc_test", "acc_train"))
            cost = [mean(one, "cpu_seconds"), peak(one)]
            rows.append([what, str(chosen["n_atoms"]), NOTHING, f"**{test}**", fitted, *cost])
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


def deepcluster(results: Results) -> str:
    """DeepCluster's variants beside k-means on the same pixels; then what single changes bring."""
    command, found = "kinfold benchmark deepcluster --data DIR", {}
    for scenario in SCENARIOS.values():
        if scenario.group == "deepcluster":
            found[scenario.id] = (scenario, results.get(scenario.id))
    if not any(ours for _, ours in found.values()):
        return not_measured(command)
    names = ("acc", "nmi", "ami")
    head = ["set, variant", "n", "published ACC", "goal ACC", "Kinfold ACC", "NMI", "AMI"]
    head += ["k-means ACC", "k-means NMI", "k-means AMI", "CPU s"]
    rows, changes = [], []
    for identifier, (scenario, ours) in found.items():
        name, variant = str(scenario.dataset), str(scenario.parameters.get("variant"))
        scores = [metric(ours, score) for score in names]
        if identifier == f"deepcluster-{variant}-{name}":
            shown = published.figure(name, "DeepCluster") if variant == "v1" else None
            quoted = [printed(shown.acc if shown else None), goal(published.DEEPCLUSTER_GOALS.get(identifier))]
            beside = [metric(results.get(f"kmeans-pixels-{name}"), score) for score in names]
            start = [f"{SETS[name].title}, {variant}", f"{SETS[name].n:,}"]
            rows.append([*start, *quoted, *scores, *beside, mean(ours, "cpu_seconds")])
        if name == "mnist-test":
            who = {"kmeans": "k-means on pixels, ", "gdl": "GDL on pixels, "}.get(scenario.algorithm, "")
            changes.append([who + change(scenario.parameters), *scores, mean(ours, "cpu_seconds")])
    text = table(head, rows) + made(command, "deepcluster-*.json") + f"Published: {published.IIC}, best epoch.\n"
    text += "\n" + table(["on MNIST-test", "ACC", "NMI", "AMI", "CPU s"], sorted(changes))
    text += "\nWith more clusters than classes read AMI: NMI rises with their number alone, ACC falls.\n"
    return text + "\n" + _layers(results)


def _layers(results: Results) -> str:
    """A linear probe on the best layer and on the features, less that of a network that has not learnt."""
    head = ["linear probe on CIFAR-10", "pixels", "random network, best layer / features", "learnt", "gain", "goal"]
    head += ["NMI with the pseudo-labels before: second round, last", "CPU s"]
    rows = []
    for scenario in SCENARIOS.values():
        if scenario.task == "layers":
            ours = results.get(scenario.id)
            cells = [pair(ours, each, f"{each}_output") for each in ("random", "learnt", "gain")]
            rows.append([
                change(scenario.parameters), metric(ours, "pixels"), *cells, "≥ 0.100",
                pair(ours, "nmi_previous_second", "nmi_previous_last"), mean(ours, "cpu_seconds"),
            ])  # fmt: skip
    return table(head, rows)


def transfer(results: Results) -> str:
    """Features of one set that cluster another, and faces of people not seen: pixels, a random network, learnt."""
    command = "kinfold benchmark transfer --data DIR"
    wanted = [s for s in SCENARIOS.values() if s.group == "transfer"]
    if not any(s.id in results for s in wanted):
        return not_measured(command)
    kinds = {"pixels": "pixels", "random": "random network", "learnt": "learnt"}
    columns = (f"{way}: {shown}" for way in ("k-means", "GDL") for shown in kinds.values())
    head = ["learnt on", "used on", "by", *columns, "CPU s"]
    rows, pairs = [], []
    for scenario in sorted(wanted, key=lambda s: (s.source, s.dataset)):
        ours, name = results.get(scenario.id), SETS[str(scenario.dataset)].title
        who, spent = scenario.algorithm, mean(ours, "cpu_seconds")
        if scenario.task == "verify":
            pairs.append([name, who, *(pair(ours, f"auc_{kind}", f"accuracy_{kind}") for kind in kinds), spent])
        else:
            cells = [pair(ours, f"{way}_nmi_{k}", f"{way}_acc_{k}") for way in ("kmeans", "gdl") for k in kinds]
            rows.append([SETS[str(scenario.source)].title, name, who, *cells, spent])
    text = "NMI / ACC of clusters of a set that was not learnt on:\n\n" + table(head, rows)
    text += "\nAUC / accuracy of pairs of faces, people not learnt on:\n\n"
    text += table(["half of the people of", "by", *kinds.values(), "CPU s"], pairs)
    return text + made(command, "{transfer,verify}-*.json")
