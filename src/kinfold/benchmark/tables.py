"""Tables of the documents, made from ``benchmarks/results/*.json`` and nothing else.

A document holds ``<!-- table: NAME -->`` and ``<!-- end -->``; what stands between them is replaced. Every table names
the command that makes it. A figure is the mean over seeds ± the standard deviation, of the last round of each run. A
score that used weights trained on other images carries a dagger.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kinfold.benchmark import published
from kinfold.benchmark import study as studied
from kinfold.benchmark.datasets import SETS
from kinfold.benchmark.scenarios.baselines import ON_PIXELS, infeasible
from kinfold.benchmark.scenarios.scenario import HERE, OWN, YARDSTICKS
from kinfold.errors import InputError
from kinfold.files import write_text

Results = dict[str, dict[str, Any]]

MARK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
DAGGER = " †"
NOTHING = "—"


def read(folder: str | Path) -> Results:
    """Results of a folder by scenario id."""
    found = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(Path(folder).glob("*.json"))]
    return {r["scenario"]: r for r in found}


def update(root: Path, results: Path) -> list[Path]:
    """Rewrite the tables of README.md and of every page below docs/; returns the files that changed.

    Raises
    ------
    InputError
        If a document asks for a table that does not exist.
    """
    found, changed = read(results), []
    for path in documents(root):
        before = path.read_text(encoding="utf-8")
        after = regenerate(before, found)
        if after != before:
            write_text(path, after)
            changed.append(path)
    return changed


def documents(root: Path) -> list[Path]:
    """README.md and the pages below docs/ that hold a table."""
    pages = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    return [p for p in pages if p.exists() and MARK.search(p.read_text(encoding="utf-8"))]


def regenerate(text: str, results: Results) -> str:
    """Text of a document with its tables made anew.

    Examples
    --------
    >>> print(regenerate("<!-- table: jule-predict -->\\nold\\n<!-- end -->", {}))
    <!-- table: jule-predict -->
    Not measured yet: `kinfold benchmark jule-mnist-test-predict --data DIR`
    <!-- end -->
    """

    def replace(match: re.Match[str]) -> str:
        name = match.group(2)
        if name not in TABLES:
            raise InputError(f"a document asks for the table {name!r}; there are {', '.join(TABLES)}.")
        return f"{match.group(1)}{TABLES[name](results).rstrip()}\n{match.group(3)}"

    return MARK.sub(replace, text)


# --- the tables -------------------------------------------------------------------------------------------------------


def jule(results: Results) -> str:
    """JULE: published, goal, ours, the baselines on the same input, and what it costs."""
    head = ["set", "n", "k", "published (RC) NMI / ACC", "goal NMI", "Kinfold NMI", "Kinfold ACC", "Kinfold ARI"]
    head += ["k-means NMI", "GDL NMI", "CPU s", "original's CPU s", "peak MB"]
    rows = []
    for name in HERE:
        for variant in ("default", "frozen"):
            ours = results.get(f"jule-{name}-{variant}")
            if variant == "frozen" and ours is None:
                continue
            rows.append(
                [
                    *_set(name, ours),
                    *_quoted(name),
                    _goal(name),
                    *_scores(ours),
                    *_beside(results, name, ours),
                    *_cost(name, ours),
                ]
            )
    notes = _notes(rows, "kinfold benchmark jule --data DIR", "jule-*-default.json")
    return _table(head, rows) + notes + _sources("JULE-RC")


def paper(results: Results) -> str:
    """JULE with the constants of the paper beside what was published and what others got from running it again."""
    head = ["set", "published (SF) NMI", "published (RC) NMI / ACC", "others' runs NMI", "the released code, run here"]
    head += ["ours, SF NMI", "ours, RC NMI", "ours, RC ACC", "CPU s"]
    rows = []
    for name in HERE:
        ours = results.get(f"jule-{name}-paper")
        sf = published.figure(name, "JULE-SF")
        ran = published.figure(name, "JULE-RC", "measured")
        others = sorted(
            f.nmi for f in published.FIGURES if (f.dataset, f.method, f.status) == (name, "JULE-RC", "re-run") and f.nmi
        )
        rows.append(
            [
                _title(name),
                _number(sf.nmi if sf else None),
                *_quoted(name),
                ", ".join(map(_number, others)) or NOTHING,
                f"{_number(ran.nmi)} / {_number(ran.acc)}" if ran else NOTHING,
                _metric(ours, "nmi_sf"),
                _metric(ours, "nmi_rc") if _has(ours, "nmi_rc") else _metric(ours, "nmi"),
                _metric(ours, "acc_rc") if _has(ours, "acc_rc") else _metric(ours, "acc"),
                _mean(ours, "cpu_seconds"),
            ]
        )
    notes = _notes(rows, "kinfold benchmark jule --data DIR --preset paper", "jule-*-paper.json")
    return _table(head, rows) + notes + _sources("JULE-SF", "JULE-RC")


def baselines(results: Results) -> str:
    """NMI of every method on pixels."""
    head = ["set", *(ON_PIXELS[prefix][0].replace("_", " ") for prefix in ON_PIXELS), "gdl, centred"]
    reasons = []
    rows = []
    for name in HERE:
        cells = []
        for prefix in ON_PIXELS:
            reason = infeasible(prefix, name)
            if reason is not None and f"{prefix}: {ON_PIXELS[prefix][2]}" not in reasons:
                reasons.append(f"{prefix}: {ON_PIXELS[prefix][2]}")
            cells.append("too large" if reason else _metric(results.get(f"{prefix}-{name}"), "nmi"))
        rows.append([_title(name), *cells, _metric(results.get(f"gdl-centred-{name}"), "nmi")])
    text = _table(head, rows) + _notes(rows, "kinfold benchmark baselines --data DIR", "*-pixels-*.json")
    return text + ("\nToo large, " + "; ".join(reasons) + ".\n" if reasons else "")


def own(results: Results) -> str:
    """Rows for which a user brings the images."""
    head = [
        "set",
        "k",
        "published NMI / ACC / ARI",
        "source",
        "Kinfold NMI",
        "Kinfold ACC",
        "bring your own copy, then",
    ]
    rows = []
    for name in OWN:
        shown = published.figure(name)
        values = [shown.nmi, shown.acc, shown.ari] if shown else []
        ours = results.get(f"jule-{name}-default")
        rows.append(
            [
                SETS[name].title,
                str(SETS[name].n_clusters),
                " / ".join(_printed(v) for v in values),
                shown.source if shown else NOTHING,
                *_scores(ours)[:2],
                f"`kinfold benchmark jule --data DIR --only {name}`",
            ]
        )
    where = "DIR holds `NAME.npz` with `images` and `labels`, `NAME.h5` with `data` and `labels`, or a folder `NAME`"
    return _table(head, rows) + f"\n{where} with one folder a class; NAME is what stands after `--only`.\n"


def speed(results: Results) -> str:
    """Merging and training, each beside its alternatives in the same run."""
    head = ["what", "n", "seconds", "CPU s, all steps", "peak MB", "NMI"]
    titles = {
        "kinfold": "**Kinfold**, merging",
        "ward": "scikit-learn ward with connectivity",
        "kmeans": "faiss k-means",
        "sparse": "**Kinfold**, graph and merging",
        "dense": "dense numpy loop, graph and merging",
        "training": "**Kinfold**, training",
        "plain": "plain float32 PyTorch loop",
    }
    rows, remarks = [], []
    for result in results.values():
        if "parts" not in result:
            continue
        for name, part in result["parts"].items():
            if name in titles:
                cpu = part.get("all_cpu_seconds", part["cpu_seconds"]["mean"])
                rows.append(
                    [
                        titles[name],
                        f"{part.get('n', result['n']):,}",
                        f"{part['seconds']['mean']:.3g} ± {part['seconds']['sd']:.1g}",
                        f"{cpu:.3g}",
                        f"{part['peak_mb']:,}",
                        _number(part.get("nmi")),
                    ]
                )
        remarks.append(_remark(result))
    if not rows:
        return "Not measured yet: `kinfold benchmark speed`\n"
    return (
        _table(head, rows) + "\n" + "\n".join(remarks) + "\n" + _made("kinfold benchmark speed", "agglomerate-*.json")
    )


def ablation(results: Results) -> str:
    """What each change of a preset costs or brings: one row a change, one column a set."""
    found = {i: r for i, r in results.items() if i.startswith("ablation-")}
    if not found:
        return "Not measured yet: `kinfold benchmark ablation --data DIR`\n"
    sets = [name for name in HERE if any(r["dataset"] == name for r in found.values())]
    rows = []
    for preset in ("default", "paper"):
        of_preset = {i.removeprefix(f"ablation-{r['dataset']}-"): r for i, r in found.items() if r["preset"] == preset}
        if of_preset:
            whole = [_metric(results.get(f"jule-{name}-{preset}"), "nmi") for name in sets]
            rows.append([f"**preset {preset}**", "", *whole])
        for change, one in of_preset.items():
            what = ", ".join(f"{key}={value!r}" for key, value in one["parameters"].items())
            values = [_metric(found.get(f"ablation-{name}-{change}"), "nmi") for name in sets]
            rows.append([change.replace("-", " "), f"`{what}`", *values])
    head = ["change", "parameters", *(f"{SETS[name].title} NMI" for name in sets)]
    return _table(head, rows) + _notes(rows, "kinfold benchmark ablation --data DIR", "ablation-*.json")


def estimated(results: Results) -> str:
    """How many clusters JULE finds when it is not told."""
    head = ["set", "classes", "clusters found, seed by seed", "NMI", "NMI when told"]
    rows = []
    for name in HERE:
        ours = results.get(f"jule-{name}-estimated")
        if ours is not None:
            counts = ", ".join(f"{v:.0f}" for v in ours["metrics"]["n_clusters"]["values"])
            told = results.get(f"jule-{name}-default")
            rows.append([_title(name), str(ours["n_clusters"]), counts, _metric(ours, "nmi"), _metric(told, "nmi")])
    if not rows:
        return "Not measured yet: `kinfold benchmark jule-umist-estimated --data DIR`\n"
    return _table(head, rows) + _notes(rows, "kinfold benchmark jule-SET-estimated --data DIR", "*-estimated.json")


def predict(results: Results) -> str:
    """New images: fitted on MNIST-test, 10,000 of the other digits sorted."""
    ours = results.get("jule-mnist-test-predict")
    if ours is None:
        return "Not measured yet: `kinfold benchmark jule-mnist-test-predict --data DIR`\n"
    head = ["ACC, fitted images", "ACC, new images", "AUROC of the confidence, right against wrong"]
    row = [_metric(ours, name) for name in ("acc_fitted", "acc_predicted", "auroc_confidence")]
    return _table(head, [row]) + _made(ours["command"], "jule-mnist-test-predict.json")


def imsat(results: Results) -> str:
    """See `kinfold.benchmark.imsat_tables`."""
    from kinfold.benchmark import imsat_tables

    return imsat_tables.clusters(results)


def iic(results: Results) -> str:
    """See `kinfold.benchmark.iic_tables`."""
    from kinfold.benchmark import iic_tables

    return iic_tables.clusters(results)


def iic_few_labels(results: Results) -> str:
    """See `kinfold.benchmark.iic_tables`."""
    from kinfold.benchmark import iic_tables

    return iic_tables.few_labels(results)


def iic_first_steps(results: Results) -> str:
    """See `kinfold.benchmark.iic_tables`."""
    from kinfold.benchmark import iic_tables

    return iic_tables.first_steps(results)


def imsat_codes(results: Results) -> str:
    """See `kinfold.benchmark.imsat_tables`."""
    from kinfold.benchmark import imsat_tables

    return imsat_tables.codes(results)


def information_study(results: Results) -> str:
    """Every row of the study: published best epoch by labels, ours at the last epoch of a reduced run."""
    head = ["objective", "inside", "beside", "published ACC (MNIST, best epoch)", "ours ACC", "ours NMI"]
    head += ["runs collapsed", "CPU s"]
    rows = []
    for name, row in studied.ROWS.items():
        ours = results.get(f"study-{name}")
        shown = NOTHING if row.acc is None else f"{row.acc:.3f} ± {row.sd:.3f}"
        collapsed = NOTHING if ours is None else f"{ours['health']['collapsed']} of {len(ours['seeds'])}"
        known = row.parameters
        both = ", on both views" if known.get("side_on") == "both" else ""
        inside, beside = ", ".join(known["views"]), ", ".join(known.get("side", ()))
        ours_cells = [_metric(ours, "acc"), _metric(ours, "nmi"), collapsed, _mean(ours, "cpu_seconds")]
        rows.append([f"`{known['objective']}`", inside, beside + both, shown, *ours_cells])
    kmeans = _metric(results.get("kmeans-pixels-mnist-test"), "acc")
    text = _table(head, rows) + _made("kinfold benchmark information-study --data DIR", "study-*.json")
    setting = ", ".join(f"{key} {value}" for key, value in studied.REDUCED.items())
    return text + (
        f"Ours: MNIST-test (10,000 images), the study's constants but {setting}. k-means on the pixels: ACC {kmeans}. "
        f"Published: {studied.SOURCE}, 70,000 images.\n"
    )


def coates_ng(results: Results) -> str:
    """See `kinfold.benchmark.probe.table`."""
    from kinfold.benchmark import probe

    return probe.table(results)


def nat(results: Results) -> str:
    """NAT beside what was published and k-means on the same pixels; then what its parts bring."""
    head = ["set", "n", "k", "published ACC", "Kinfold ACC", "Kinfold NMI", "k-means ACC", "CPU s", "peak MB"]
    rows = []
    for name in HERE:
        ours, shown = results.get(f"nat-{name}-default"), published.figure(name, "MMDC")
        if ours is not None or shown is not None:
            beside = _metric(results.get(f"kmeans-pixels-{name}"), "acc")
            cost = [_mean(ours, "cpu_seconds"), NOTHING if ours is None else f"{ours['peak_mb']:,}"]
            quoted = _printed(shown.acc if shown else None)
            rows.append([*_set(name, ours), quoted, _metric(ours, "acc"), _metric(ours, "nmi"), beside, *cost])
    changes = []
    for i, one in results.items():
        if i.startswith("nat-mnist-test-") and not i.endswith("-default"):
            what = ", ".join(f"{key}={value!r}" for key, value in one["parameters"].items())
            changes.append([f"`{what}`", _metric(one, "acc"), _metric(one, "nmi")])
    text = _table(head, rows) + _made("kinfold benchmark nat --data DIR", "nat-*.json")
    text += "Published: MMDC, " + "; ".join((published.MMDC, published.MMDC_PAPER)) + ".\n"
    return text + ("\n" + _table(["change, on MNIST-test", "ACC", "NMI"], changes) if changes else "")


TABLES: dict[str, Callable[[Results], str]] = {
    "jule": jule,
    "jule-paper": paper,
    "jule-own": own,
    "jule-baselines": baselines,
    "jule-ablation": ablation,
    "jule-estimated": estimated,
    "jule-predict": predict,
    "speed": speed,
    "imsat": imsat,
    "imsat-codes": imsat_codes,
    "iic": iic,
    "iic-few-labels": iic_few_labels,
    "iic-first-steps": iic_first_steps,
    "information-study": information_study,
    "coates-ng": coates_ng,
    "nat": nat,
}


# --- cells ------------------------------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _printed(value: float | None) -> str:
    """A figure with the digits that its source gives."""
    return NOTHING if value is None else f"{value:g}"


def _title(name: str) -> str:
    return SETS[name].title + (f" ({SETS[name].note})" if SETS[name].note else "")


def _set(name: str, ours: dict[str, Any] | None) -> list[str]:
    title = _title(name) + (", frozen backbone" if ours is not None and ours["scenario"].endswith("-frozen") else "")
    return [title, f"{SETS[name].n:,}", str(SETS[name].n_clusters)]


def _quoted(name: str) -> list[str]:
    shown = published.figure(name)
    return [NOTHING if shown is None else f"{_number(shown.nmi)} / {_number(shown.acc)}"]


def _goal(name: str) -> str:
    return f"≥ {published.GOALS[name]:.3f}" if name in published.GOALS else NOTHING


def _has(result: dict[str, Any] | None, metric: str) -> bool:
    return result is not None and metric in result.get("metrics", {})


def _metric(result: dict[str, Any] | None, metric: str) -> str:
    if result is None or metric not in result.get("metrics", {}):
        return NOTHING
    found = result["metrics"][metric]
    spread = "" if len(found["values"]) == 1 else f" ± {found['sd']:.3f}"
    return f"{found['mean']:.3f}{spread}{DAGGER if result.get('pretrained') else ''}"


def _scores(result: dict[str, Any] | None) -> list[str]:
    return [_metric(result, name) for name in ("nmi", "acc", "ari")]


def _mean(result: dict[str, Any] | None, key: str) -> str:
    return NOTHING if result is None else f"{result[key]['mean']:,.0f}"


def _beside(results: Results, name: str, ours: dict[str, Any] | None) -> list[str]:
    same = "features" if ours is not None and ours.get("pretrained") else "pixels"
    return [_metric(results.get(f"kmeans-{same}-{name}"), "nmi"), _metric(results.get(f"gdl-{same}-{name}"), "nmi")]


def _cost(name: str, ours: dict[str, Any] | None) -> list[str]:
    original = published.ORIGINAL_CPU_SECONDS.get(name)
    shown = NOTHING if original is None else f"{original:,.0f}"
    if original is not None and ours is not None:
        shown += f" ({original / ours['cpu_seconds']['mean']:.1f} times)"
    return [_mean(ours, "cpu_seconds"), shown, NOTHING if ours is None else f"{ours['peak_mb']:,}"]


def _remark(result: dict[str, Any]) -> str:
    words = [f"- {result['scenario']}:"]
    if "ratio" in result:
        words.append(f"{result['ratio']['value']:g} times as fast as {result['ratio']['against']};")
    if "growth" in result:
        sizes = " to ".join(f"{s:,}" for s in (result["growth"]["sizes"][0], result["growth"]["sizes"][-1]))
        words.append(f"merging grows with exponent {result['growth']['exponent']:.2f} from {sizes};")
    if "same_partition" in result:
        words.append("the same partition;" if result["same_partition"] else "NOT the same partition;")
    if "original" in result:
        words.append(f"the released code took {result['original']['cpu_seconds']:g} CPU s for all steps;")
    if "matmul_share" in result:
        words.append(f"{100 * result['matmul_share']:.0f} % of the measured rate of matrix products;")
    return " ".join(words).rstrip(";:") + "."


def _notes(rows: Sequence[Sequence[str]], command: str, files: str) -> str:
    text = _made(command, files)
    if any(DAGGER in cell for row in rows for cell in row):
        text += "† with a backbone trained on ImageNet labels; no label of the set itself was used.\n"
    if any("times)" in cell for row in rows for cell in row):
        text += f"The original's CPU seconds: {published.MEASURED} ({', '.join(YARDSTICKS)}).\n"
    return text


def _sources(*methods: str) -> str:
    found = [
        f.source for f in published.FIGURES if f.status == "published" and f.method in methods and f.dataset in HERE
    ]
    return f"Published figures as quoted by: {'; '.join(dict.fromkeys(found))}. The paper itself was not at hand.\n"


def _made(command: str, files: str) -> str:
    words = "Mean ± standard deviation over seeds, last round of each run."
    return f"\n{words} Made by `{command}` from `benchmarks/results/{files}`.\n"
