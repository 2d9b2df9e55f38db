"""Cells and notes that the tables share, and the results that they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kinfold.benchmark.datasets import SETS

Result = dict[str, Any]
Results = dict[str, Result]

DAGGER = " †"
FLOAT32 = " ‡"
FLOAT32_NOTE = (
    "\n‡ on a processor without matrix products in bfloat16: training is in float32 and takes up to twice the seconds "
    "of the other rows.\n"
)
NOTHING = "—"
SEEDS = "Mean ± standard deviation over seeds, last round of each run."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of a table.

    Examples
    --------
    >>> print(table(["set", "n"], [["USPS", "11,000"]]), end="")
    | set | n |
    | --- | --- |
    | USPS | 11,000 |
    """
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def not_measured(command: str) -> str:
    """What stands in the place of a table that has no result yet."""
    return f"Not measured yet: `{command}`\n"


def made(command: str, files: str, words: str = SEEDS) -> str:
    """What the figures are, and where they come from."""
    return f"\n{words} Made by `{command}` from `benchmarks/results/{files}`.\n"


def number(value: float | None) -> str:
    """A score."""
    return NOTHING if value is None else f"{value:.3f}"


def printed(value: float | None) -> str:
    """A figure with the digits that its source gives."""
    return NOTHING if value is None else f"{value:g}"


def significant(value: float, digits: int) -> str:
    """A number rounded to so many digits, without an exponent.

    Examples
    --------
    >>> significant(1234.5, 3), significant(14.9, 1), significant(0.0264, 2)
    ('1,230', '10', '0.026')
    """
    return f"{float(f'{value:.{digits}g}'):,.10g}"


def goal(value: float | None) -> str:
    """A score that is set out to be reached."""
    return NOTHING if value is None else f"≥ {value:.3f}"


def title(name: str) -> str:
    """Name of a set, with its remark."""
    return SETS[name].title + (f" ({SETS[name].note})" if SETS[name].note else "")


def about(name: str, ours: Result | None) -> list[str]:
    """Name, images and classes of a set."""
    frozen = ", frozen backbone" if ours is not None and ours["scenario"].endswith("-frozen") else ""
    return [title(name) + frozen, f"{SETS[name].n:,}", str(SETS[name].n_clusters)]


def change(parameters: Mapping[str, Any]) -> str:
    """Constructor parameters, nothing where there are none.

    Examples
    --------
    >>> change({"variant": "sphere", "n_refine": 0})
    "`variant='sphere', n_refine=0`"
    """
    if not parameters:
        return ""
    return "`" + ", ".join(f"{key}={value!r}" for key, value in parameters.items()) + "`"


def has(result: Result | None, name: str) -> bool:
    """Whether there is such a metric."""
    return result is not None and name in result.get("metrics", {})


def metric(result: Result | None, name: str, form: str = ".3f") -> str:
    """Mean of a metric, with its spread if there is more than one seed, and the mark of foreign weights."""
    if result is None or not has(result, name):
        return NOTHING
    found = result["metrics"][name]
    spread = "" if len(found["values"]) == 1 else f" ± {found['sd']:{form}}"
    return f"{found['mean']:{form}}{spread}{DAGGER if result.get('pretrained') else ''}"


def pair(result: Result | None, first: str, second: str) -> str:
    """Two metrics in one cell."""
    if not has(result, first) and not has(result, second):
        return NOTHING
    return f"{metric(result, first)} / {metric(result, second)}"


def scores(result: Result | None) -> list[str]:
    """NMI, ACC and ARI."""
    return [metric(result, name) for name in ("nmi", "acc", "ari")]


def worst(result: Result | None) -> str:
    """ACC of the worst seed."""
    return NOTHING if result is None else f"{min(result['metrics']['acc']['values']):.3f}"


def mean(result: Result | None, key: str) -> str:
    """Mean of what was spent, with the mark of a processor that has no products in bfloat16.

    Examples
    --------
    >>> mean({"seconds": {"mean": 1500.0}, "machine": {"bfloat16": False}}, "seconds")
    '1,500 ‡'
    """
    if result is None:
        return NOTHING
    plain = result.get("machine", {}).get("bfloat16") is False  # results from before this was noted had it
    return f"{result[key]['mean']:,.0f}{FLOAT32 if plain else ''}"


def peak(result: Result | None) -> str:
    """Peak memory in MB."""
    return NOTHING if result is None else f"{result['peak_mb']:,}"


def remark(result: Result) -> str:
    """What a speed scenario concludes, as an item of a list."""
    words = [f"- {result['scenario']}:"]
    if "ratio" in result:
        words.append(f"{result['ratio']['value']:g} times as fast as {result['ratio']['against']};")
    if "minibatch" in result:
        found = result["minibatch"]
        words.append(
            f"its quick form {found['ratio']:g} times as fast as scikit-learn's MiniBatchKMeans, at an inertia of "
            f"{found['inertia_quick']:g} against {found['inertia_minibatch']:g};"
        )
    if "growth" in result:
        sizes = " to ".join(f"{s:,}" for s in (result["growth"]["sizes"][0], result["growth"]["sizes"][-1]))
        what = "merging" if str(result.get("algorithm")).startswith("agglomerate") else "the cost"
        words.append(f"{what} grows with exponent {result['growth']['exponent']:.2f} from {sizes};")
    if "same_partition" in result:
        words.append("the same partition;" if result["same_partition"] else "NOT the same partition;")
    if "original" in result:
        words.append(f"the released code took {result['original']['cpu_seconds']:g} CPU s for all steps;")
    if "matmul_share" in result:
        words.append(f"{100 * result['matmul_share']:.0f} % of the measured rate of matrix products;")
    return " ".join(words).rstrip(";:") + "."
