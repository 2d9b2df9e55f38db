"""Every algorithm's best preset on the same sets, in one table: which one to take."""

from __future__ import annotations

from kinfold.benchmark.tables.cells import NOTHING, Result, Results, made, mean, metric, not_measured, table, title

COMMAND = "kinfold benchmark ALGORITHM --data DIR"
COLUMNS = {  # of the table, and the scenario of a set
    "k-means on pixels": "kmeans-pixels-{}",
    "JULE": "jule-{}-default",
    "IMSAT": "imsat-{}-default",
    "IIC": "iic-{}-default",
    "DeepCluster v2": "deepcluster-v2-{}",
    "NAT": "nat-{}-default",
}
SETS_OF_ALL = ("usps", "mnist-test", "mnist-full")  # on which each of them was measured


def side_by_side(results: Results) -> str:
    """Accuracy and CPU seconds of each algorithm; a row a set."""
    found = {name: [results.get(scenario.format(name)) for scenario in COLUMNS.values()] for name in SETS_OF_ALL}
    if not any(one for row in found.values() for one in row):
        return not_measured(COMMAND)
    rows = [[title(name), *map(_cell, row)] for name, row in found.items()]
    words = "ACC, mean ± standard deviation over seeds, last round of each run; CPU seconds in brackets."
    return table(["set", *COLUMNS], rows) + made(COMMAND, "*.json", words)


def _cell(result: Result | None) -> str:
    return NOTHING if result is None else f"{metric(result, 'acc')} ({mean(result, 'cpu_seconds')})"
