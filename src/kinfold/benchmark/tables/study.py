"""The table of the experimental study of losses and transformations."""

from __future__ import annotations

from statistics import fmean

from scipy.stats import spearmanr

from kinfold.benchmark import study
from kinfold.benchmark.tables.cells import NOTHING, Result, Results, made, mean, metric, not_measured, table

COMMAND = "kinfold benchmark information-study --data DIR"
FEWEST_RANKED = 3  # rows, to speak of an order
APART = 0.3  # spread of published runs of which some collapsed
Pair = tuple[float, float]  # ACC, published and ours


def information(results: Results) -> str:
    """Every row of the study: published best epoch by labels, ours at the last epoch of a reduced run."""
    head = ["objective", "inside", "beside", "published ACC (MNIST, best epoch)", "ours ACC", "ours NMI"]
    head += ["runs collapsed", "CPU s"]
    rows = [_row(row, results.get(f"study-{name}")) for name, row in study.ROWS.items()]
    for name in study.LONGER:
        objective, *cells = _row(study.ROWS[name], results.get(f"study-{name}-longer"))
        rows.append([f"{objective}, {study.LONG['n_epochs']} epochs", *cells])
    kmeans = metric(results.get("kmeans-pixels-mnist-test"), "acc")
    text = table(head, rows) + made(COMMAND, "study-*.json")
    setting = ", ".join(f"{key} {value}" for key, value in study.REDUCED.items())
    return text + (
        f"Ours: MNIST-test (10,000 images), the study's constants but {setting}. k-means on the pixels: ACC {kmeans}. "
        f"Published: {study.SOURCE}, 70,000 images.\n"
    )


def families(results: Results) -> str:
    """Rows of a kind together, and how far the order of all rows agrees with the published one."""
    pairs: dict[str, list[Pair]] = {}
    collapsed: dict[str, list[int]] = {}
    agreed: list[Pair] = []
    quick: list[Pair] = []
    for name, row in study.ROWS.items():
        run, kind = results.get(f"study-{name}"), study.family(row)
        if run is not None and row.acc is not None and row.sd is not None:
            pair = (row.acc, run["metrics"]["acc"]["mean"])
            pairs.setdefault(kind, []).append(pair)
            collapsed.setdefault(kind, []).append(run["health"]["collapsed"])
            agreed += [pair] if row.sd < APART else []
            quick += [pair] if row.sd < APART and not kind.startswith("IMSAT, VAT") else []
    if not pairs:
        return not_measured(COMMAND)
    head = ["family", "rows", "published ACC", "ours ACC", "runs collapsed"]
    rows = []
    for kind, found in sorted(pairs.items(), key=lambda each: -fmean(ours for _, ours in each[1])):
        published, ours = (fmean(side) for side in zip(*found, strict=True))
        rows.append([kind, str(len(found)), f"{published:.3f}", f"{ours:.3f}", str(sum(collapsed[kind]))])
    text = table(head, rows) + made(COMMAND, "study-*.json", "Mean over the rows of a family that have both figures.")
    return text + _order(
        {
            "all rows": [pair for found in pairs.values() for pair in found],
            f"those whose published runs agree (sd under {APART})": agreed,
            "of these, without IMSAT with VAT beside": quick,
        }
    )


def _order(parts: dict[str, list[Pair]]) -> str:
    """Rank correlation of published and ours, by part of the rows."""
    if min(map(len, parts.values())) < FEWEST_RANKED:
        return ""
    ranks = [f"{what} ({len(pairs)}) {spearmanr(pairs).statistic:.2f}" for what, pairs in parts.items()]
    return f"Order of the rows, published against ours, Spearman's rank correlation: {'; '.join(ranks)}.\n"


def _row(row: study.Row, ours: Result | None) -> list[str]:
    shown = NOTHING if row.acc is None else f"{row.acc:.3f} ± {row.sd:.3f}"
    collapsed = NOTHING if ours is None else f"{ours['health']['collapsed']} of {len(ours['seeds'])}"
    known = row.parameters
    both = ", on both views" if known.get("side_on") == "both" else ""
    inside, beside = ", ".join(known["views"]), ", ".join(known.get("side", ()))
    cells = [metric(ours, "acc"), metric(ours, "nmi"), collapsed, mean(ours, "cpu_seconds")]
    return [f"`{known['objective']}`", inside, beside + both, shown, *cells]
