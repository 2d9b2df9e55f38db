"""JULE's tables: beside what was published, the paper's constants, the baselines, changes, and new images."""

from __future__ import annotations

from collections.abc import Sequence

from kinfold.benchmark import published
from kinfold.benchmark.baselines import LONG, MOST_VALUES, N_COMPONENTS
from kinfold.benchmark.datasets import SETS
from kinfold.benchmark.scenarios.baselines import ON_PIXELS, infeasible
from kinfold.benchmark.scenarios.jule import ABLATIONS, OF_PHOTOGRAPHS
from kinfold.benchmark.scenarios.scenario import HERE, OWN, YARDSTICKS
from kinfold.benchmark.tables.cells import (
    DAGGER,
    NOTHING,
    Result,
    Results,
    about,
    change,
    goal,
    has,
    made,
    mean,
    metric,
    not_measured,
    number,
    peak,
    printed,
    scores,
    table,
    title,
)

# Rows of the table of changes, as the scenarios list them.
ORDER = {change: i for i, change in enumerate((*ABLATIONS, *OF_PHOTOGRAPHS))}


def clusters(results: Results) -> str:
    """JULE: published, goal, ours, the baselines on the same input, and what it costs."""
    head = ["set", "n", "k", "published (RC) NMI / ACC", "goal NMI / ACC", "Kinfold NMI", "Kinfold ACC", "Kinfold ARI"]
    head += ["k-means NMI", "GDL NMI", "CPU s", "original's CPU s", "peak MB"]
    rows = []
    for name in HERE:
        for variant in ("default", "frozen"):
            ours = results.get(f"jule-{name}-{variant}")
            if variant == "frozen" and ours is None:
                continue
            rows.append(
                [
                    *about(name, ours),
                    *_quoted(name),
                    _goal(name) if variant == "default" else NOTHING,
                    *scores(ours),
                    *_beside(results, name, ours),
                    *_cost(name, ours),
                ]
            )
    notes = _notes(rows, "kinfold benchmark jule --data DIR", "jule-*-default.json")
    return table(head, rows) + notes + _sources("JULE-RC")


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
                title(name),
                number(sf.nmi if sf else None),
                *_quoted(name),
                ", ".join(map(number, others)) or NOTHING,
                f"{number(ran.nmi)} / {number(ran.acc)}" if ran else NOTHING,
                metric(ours, "nmi_sf"),
                metric(ours, "nmi_rc") if has(ours, "nmi_rc") else metric(ours, "nmi"),
                metric(ours, "acc_rc") if has(ours, "acc_rc") else metric(ours, "acc"),
                mean(ours, "cpu_seconds"),
            ]
        )
    notes = _notes(rows, "kinfold benchmark jule --data DIR --preset paper", "jule-*-paper.json")
    return table(head, rows) + notes + _sources("JULE-SF", "JULE-RC")


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
            cells.append("too large" if reason else metric(results.get(f"{prefix}-{name}"), "nmi"))
        rows.append([title(name), *cells, metric(results.get(f"gdl-centred-{name}"), "nmi")])
    text = table(head, rows) + _notes(rows, "kinfold benchmark baselines --data DIR", "*-pixels-*.json")
    text += (
        f"\nK-means sees {N_COMPONENTS} principal components of images of more than {LONG:,} values where they hold "
        f"more than {MOST_VALUES:,} in all: of COIL-100 (97 % of the variance) and flowers5.\n"
    )
    return text + ("\nToo large, " + "; ".join(reasons) + ".\n" if reasons else "")


def clock(results: Results) -> str:
    """CPU seconds and NMI of the released code, and of our presets from the best to the quickest, set by set."""
    head = ["set", "preset", "NMI", "CPU s", "times as fast"]
    rows = []
    for name in YARDSTICKS:
        ran, original = published.figure(name, "JULE-RC", "measured"), published.ORIGINAL_CPU_SECONDS[name]
        rows.append([title(name), "the released code", number(ran.nmi if ran else None), f"{original:,.0f}", "1"])
        for preset in ("paper", "default", "fast"):
            ours = results.get(f"jule-{name}-{preset}")
            times = f"{original / ours['cpu_seconds']['mean']:.1f}" if ours else NOTHING
            rows.append([title(name), preset, metric(ours, "nmi"), mean(ours, "cpu_seconds"), times])
    text = table(head, rows) + made("kinfold benchmark jule --data DIR", "jule-*.json")
    return text + f"The released code: {published.MEASURED}.\n"


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
                " / ".join(printed(v) for v in values),
                shown.source if shown else NOTHING,
                *scores(ours)[:2],
                f"`kinfold benchmark jule --data DIR --only {name}`",
            ]
        )
    where = "DIR holds `NAME.npz` with `images` and `labels`, `NAME.h5` with `data` and `labels`, or a folder `NAME`"
    return table(head, rows) + f"\n{where} with one folder a class; NAME is what stands after `--only`.\n"


def ablation(results: Results) -> str:
    """What each change of a preset costs or brings: one row a change, one column a set."""
    found = {i: r for i, r in results.items() if i.startswith("ablation-")}
    if not found:
        return not_measured("kinfold benchmark ablation --data DIR")
    sets = [name for name in HERE if any(r["dataset"] == name for r in found.values())]
    score = {name: "acc" if name in published.ACC_GOALS else "nmi" for name in sets}
    rows = []
    for preset in ("default", "fast", "paper"):
        of_preset = {i.removeprefix(f"ablation-{r['dataset']}-"): r for i, r in found.items() if r["preset"] == preset}
        if of_preset or preset == "default":  # the default stands above, to compare
            whole = [metric(results.get(f"jule-{name}-{preset}"), score[name]) for name in sets]
            rows.append([f"**preset {preset}**", "", *whole])
        for what in sorted(of_preset, key=lambda change: ORDER.get(change, len(ORDER))):
            one = of_preset[what]
            values = [metric(found.get(f"ablation-{name}-{what}"), score[name]) for name in sets]
            rows.append([what.replace("-", " "), change(one["parameters"]), *values])
    head = ["change", "parameters", *(f"{SETS[name].title} {score[name].upper()}" for name in sets)]
    return table(head, rows) + _notes(rows, "kinfold benchmark ablation --data DIR", "ablation-*.json")


def estimated(results: Results) -> str:
    """How many clusters JULE finds when it is not told."""
    head = ["set", "classes", "clusters found, seed by seed", "NMI", "NMI when told"]
    rows = []
    for name in HERE:
        ours = results.get(f"jule-{name}-estimated")
        if ours is not None:
            counts = ", ".join(f"{v:.0f}" for v in ours["metrics"]["n_clusters"]["values"])
            told = results.get(f"jule-{name}-default")
            rows.append([title(name), str(ours["n_clusters"]), counts, metric(ours, "nmi"), metric(told, "nmi")])
    if not rows:
        return not_measured("kinfold benchmark jule-umist-estimated --data DIR")
    return table(head, rows) + _notes(rows, "kinfold benchmark jule-SET-estimated --data DIR", "*-estimated.json")


def predict(results: Results) -> str:
    """New images: fitted on MNIST-test, 10,000 of the other digits sorted."""
    ours = results.get("jule-mnist-test-predict")
    if ours is None:
        return not_measured("kinfold benchmark jule-mnist-test-predict --data DIR")
    head = ["ACC, fitted images", "ACC, new images", "AUROC of the confidence, right against wrong"]
    row = [metric(ours, name) for name in ("acc_fitted", "acc_predicted", "auroc_confidence")]
    return table(head, [row]) + made(ours["command"], "jule-mnist-test-predict.json")


def _goal(name: str) -> str:
    """NMI and ACC that the default preset sets out to reach."""
    if name not in {*published.GOALS, *published.ACC_GOALS}:
        return NOTHING
    return f"{goal(published.GOALS.get(name))} / {goal(published.ACC_GOALS.get(name))}"


def _quoted(name: str) -> list[str]:
    shown = published.figure(name)
    return [NOTHING if shown is None else f"{number(shown.nmi)} / {number(shown.acc)}"]


def _beside(results: Results, name: str, ours: Result | None) -> list[str]:
    same = "features" if ours is not None and ours.get("pretrained") else "pixels"
    return [metric(results.get(f"kmeans-{same}-{name}"), "nmi"), metric(results.get(f"gdl-{same}-{name}"), "nmi")]


def _cost(name: str, ours: Result | None) -> list[str]:
    original = published.ORIGINAL_CPU_SECONDS.get(name)
    shown = NOTHING if original is None else f"{original:,.0f}"
    if original is not None and ours is not None:
        shown += f" ({original / ours['cpu_seconds']['mean']:.1f} times)"
    return [mean(ours, "cpu_seconds"), shown, peak(ours)]


def _notes(rows: Sequence[Sequence[str]], command: str, files: str) -> str:
    text = made(command, files)
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
