"""The table of the experimental study of losses and transformations."""

from __future__ import annotations

from kinfold.benchmark import study
from kinfold.benchmark.tables.cells import NOTHING, Result, Results, made, mean, metric, table


def information(results: Results) -> str:
    """Every row of the study: published best epoch by labels, ours at the last epoch of a reduced run."""
    head = ["objective", "inside", "beside", "published ACC (MNIST, best epoch)", "ours ACC", "ours NMI"]
    head += ["runs collapsed", "CPU s"]
    rows = [_row(row, results.get(f"study-{name}")) for name, row in study.ROWS.items()]
    for name in study.LONGER:
        objective, *cells = _row(study.ROWS[name], results.get(f"study-{name}-longer"))
        rows.append([f"{objective}, {study.LONG['n_epochs']} epochs", *cells])
    kmeans = metric(results.get("kmeans-pixels-mnist-test"), "acc")
    text = table(head, rows) + made("kinfold benchmark information-study --data DIR", "study-*.json")
    setting = ", ".join(f"{key} {value}" for key, value in study.REDUCED.items())
    return text + (
        f"Ours: MNIST-test (10,000 images), the study's constants but {setting}. k-means on the pixels: ACC {kmeans}. "
        f"Published: {study.SOURCE}, 70,000 images.\n"
    )


def _row(row: study.Row, ours: Result | None) -> list[str]:
    shown = NOTHING if row.acc is None else f"{row.acc:.3f} ± {row.sd:.3f}"
    collapsed = NOTHING if ours is None else f"{ours['health']['collapsed']} of {len(ours['seeds'])}"
    known = row.parameters
    both = ", on both views" if known.get("side_on") == "both" else ""
    inside, beside = ", ".join(known["views"]), ", ".join(known.get("side", ()))
    cells = [metric(ours, "acc"), metric(ours, "nmi"), collapsed, mean(ours, "cpu_seconds")]
    return [f"`{known['objective']}`", inside, beside + both, shown, *cells]
