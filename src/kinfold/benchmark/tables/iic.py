"""IIC's tables: its presets beside what was published, a hundredth of the labels, and the first steps on CIFAR-10."""

from __future__ import annotations

from kinfold.benchmark import published
from kinfold.benchmark.datasets import SETS
from kinfold.benchmark.invariance import SHOWN, STEPS
from kinfold.benchmark.scenarios import SCENARIOS
from kinfold.benchmark.tables.cells import NOTHING, Results, goal, made, mean, metric, printed, table, worst

COMMAND = "kinfold benchmark iic --data DIR"
MAIN = ("usps-default", "mnist-test-default", "mnist-full-default", "mnist-full-paper")


def clusters(results: Results) -> str:
    """Presets beside what was published."""
    head = ["what", "n", "published ACC", "goal ACC", "Kinfold ACC", "worst seed", "NMI", "ARI", "k-means ACC", "CPU s"]
    rows = [_row(f"iic-{name}", results) for name in MAIN]
    text = table(head, rows) + made(f"{COMMAND} --preset all", "iic-*.json")
    return text + f"Published: {published.IIC_QUOTED}. One run at the epoch that labels chose; ours are means.\n"


def few_labels(results: Results) -> str:
    """Many clusters to one class, on the official test part."""
    identifier = "iic-overclustering-mnist-1percent"
    ours, parameters = results.get(identifier), SCENARIOS[identifier].parameters
    head = ["clusters named by", "labels", "goal ACC", "ACC on the test part"]
    rows = [
        ["all sub-heads of both heads", "600", goal(published.IIC_GOALS[identifier]), metric(ours, "acc")],
        ["the sub-head that names the labelled best (the paper's way)", "600", NOTHING,
         metric(ours, "acc_best_head")],
        ["the same", "60,000", NOTHING, metric(ours, "acc_best_head_all_labels")],
    ]  # fmt: skip
    text = table(head, rows) + made(f"kinfold benchmark {identifier} --data DIR", f"{identifier}.json")
    return text + f"{parameters['n_clusters']} clusters, MNIST's 60,000 training images.\n"


def first_steps(results: Results) -> str:
    """Loss of the first steps, beside the mean of the published run's first pass."""
    identifier = "iic-cifar10-first-steps"
    ours = results.get(identifier)
    head = ["head", *(f"step {step}" for step in SHOWN), "mean", "published mean"]
    losses = [metric(ours, f"loss_A_{step}") for step in (*SHOWN, "mean")]
    rows = [[f"overclustering, 70 clusters, its first {STEPS} steps", *losses, published.IIC_FIRST_PASS]]
    return table(head, rows) + made(f"kinfold benchmark {identifier} --data DIR", f"{identifier}.json", "One run.")


def _row(identifier: str, results: Results) -> list[str]:
    scenario, ours = SCENARIOS[identifier], results.get(identifier)
    name = str(scenario.dataset)
    shown = published.figure(name, "IIC") if scenario.preset == "paper" else None
    return [
        f"{SETS[name].title}, preset {scenario.preset}", f"{SETS[name].n:,}",
        NOTHING if shown is None else printed(shown.acc), goal(published.IIC_GOALS.get(identifier)),
        metric(ours, "acc"), worst(ours), metric(ours, "nmi"), metric(ours, "ari"),
        metric(results.get(f"kmeans-pixels-{name}"), "acc"), mean(ours, "cpu_seconds"),
    ]  # fmt: skip
