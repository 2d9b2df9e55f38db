"""What the page says in words and small tables: headline, facts, curves, scores, parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kinfold.metrics import NAMES
from kinfold.phrases import plural

DASH = "\N{EN DASH}"
TIMES = "\N{MULTIPLICATION SIGN}"
SURE = 0.8
UNSURE = 0.5

CURVES = {
    "loss": "Loss",
    "n_clusters": "Clusters",
    "changed": "Labels changed",
    "used": "Clusters in use",
    "largest": "Share of the largest cluster",
    "entropy": "Entropy of cluster sizes",
    "nmi": "NMI with the known labels",
    "acc": "Accuracy against the known labels",
    "ari": "ARI with the known labels",
    "seconds": "Seconds a round",
}
SCORES = {
    "acc": "Accuracy",
    "accuracy": "Accuracy",
    **NAMES,
    "purity": "Purity",
    "silhouette": "Silhouette",
}
PRETRAINED = ("efficientnet", "timm:")
RUN_HEADINGS = ("parameters", "versions", "timings", "machine")
# Told elsewhere on the page, or of no use to a reader.
RUN_ELSEWHERE = {"health", "note", "label_names", "identity", "format", "format_version", "variants", "pretrained"}


@dataclass(frozen=True)
class Curve:
    """One quantity over the rounds, drawn in a box of 100 x 40.

    Attributes
    ----------
    key, name : str
        Column of the history, and how a reader calls it.
    points : str
        Places for an SVG polyline.
    low, high, last : str
        Smallest, largest and last value.
    rounds, values : list
        What a reader is shown when pointing at the curve.
    """

    key: str
    name: str
    points: str
    low: str
    high: str
    last: str
    rounds: list[int]
    values: list[float]


@dataclass(frozen=True)
class Fact:
    """A number that stands out under the headline."""

    value: str
    name: str


def number(value: float) -> str:
    """A number for a reader: four significant digits, thousands set apart.

    Examples
    --------
    >>> number(0.123456), number(12345.0), number(3)
    ('0.1235', '12,345', '3')
    """
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def percent(share: float) -> str:
    """A share for a reader, never rounded to all or nothing when it is not.

    Examples
    --------
    >>> percent(0.5), percent(0.9999), percent(0.0001)
    ('50 %', '99.9 %', '0.1 %')
    """
    share = round(share, 9)
    if 0 < share < 0.1 or 0.99 < share < 1:
        return f"{min(99.9, max(0.1, 100 * share)):.1f} %"
    return f"{100 * share:.0f} %"


def how_sure(confidence: npt.NDArray[np.floating]) -> str:
    """How certain the clustering is of its own labels ``(n,) -> sentence``."""
    if len(confidence) == 0:
        return ""
    sure, unsure = float((confidence >= SURE).mean()), int((confidence < UNSURE).sum())
    text = f"{percent(sure)} of the images are placed with a confidence of at least {SURE}"
    if unsure == 0:
        text += f"; none is below {UNSURE}."
    else:
        text += f"; {plural(unsure, 'image')} {'is' if unsure == 1 else 'are'} below {UNSURE} and worth a look."
    return text


def facts(
    sizes: npt.NDArray[np.int64],
    confidence: npt.NDArray[np.floating],
    n_duplicates: int,
    n_skipped: int,
    scores: Mapping[str, float],
) -> list[Fact]:
    """Numbers that stand out under the headline."""
    low, high = int(sizes.min()), int(sizes.max())
    found = [
        Fact(f"{low:,}" if low == high else f"{low:,} {DASH} {high:,}", "images a cluster"),
        Fact(f"{float(np.median(confidence)):.2f}", "median confidence"),
    ]
    for key, name in (("nmi", "NMI with known labels"), ("acc", "accuracy, known labels")):
        if key in scores:
            found.append(Fact(f"{scores[key]:.3f}", name))
    if n_duplicates:
        found.append(Fact(f"{n_duplicates:,}", "exact duplicate" if n_duplicates == 1 else "exact duplicates"))
    if n_skipped:
        found.append(Fact(f"{n_skipped:,}", "file skipped" if n_skipped == 1 else "files skipped"))
    return found


def curves(history: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """Every numeric column of the history that has at least two values, the known ones first."""
    columns = list(dict.fromkeys(key for row in history for key in row))
    known = [key for key in CURVES if key in columns]
    found = []
    for key in known + [key for key in columns if key not in CURVES and key != "round"]:
        pairs = [
            (int(row.get("round", t)), float(row[key]))
            for t, row in enumerate(history)
            if isinstance(row.get(key), (int, float, np.number)) and math.isfinite(row[key])
        ]
        if len(pairs) >= 2:
            found.append(_curve(key, [r for r, _ in pairs], [v for _, v in pairs]))
    return found


def _curve(key: str, rounds: list[int], values: list[float]) -> Curve:
    low, high = min(values), max(values)
    span, width = (high - low) or 1.0, (rounds[-1] - rounds[0]) or 1
    flat = high == low
    points = " ".join(
        f"{100 * (r - rounds[0]) / width:.2f},{20.0 if flat else 40 - 40 * (v - low) / span:.2f}"
        for r, v in zip(rounds, values, strict=True)
    )
    name = CURVES.get(key, key.replace("_", " ").capitalize())
    return Curve(key, name, points, number(low), number(high), number(values[-1]), rounds, values)


def health(run: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The health monitor's sentences about the whole run, or else about its rounds, each once."""
    said = run.get("health") or []
    sentences = [said] if isinstance(said, str) else [str(sentence) for sentence in said]
    if not sentences:
        for t, row in enumerate(history):
            if isinstance(row.get("health"), str) and row["health"].strip():
                sentences.append(f"Round {row.get('round', t)}: {row['health'].strip()}")
    return list(dict.fromkeys(sentence.strip() for sentence in sentences if sentence.strip()))


def score_rows(scores: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of each score."""
    return [
        (_score_name(key), f"{value:.4f}")
        for key, value in scores.items()
        if isinstance(value, (int, float, np.number)) and math.isfinite(value)
    ]


def _score_name(key: str) -> str:
    if key in SCORES:
        return SCORES[key]
    stem, _, variant = key.rpartition("_")
    if stem in SCORES:
        return f"{SCORES[stem]} ({variant})"
    return key.replace("_", " ").capitalize()


def pretrained(run: Mapping[str, Any]) -> str | None:
    """Name of the pretrained network whose features were used, or None."""
    if "pretrained" in run:
        return str(run["pretrained"]) if run["pretrained"] else None
    parameters = run.get("parameters")
    backbone = parameters.get("backbone") if isinstance(parameters, Mapping) else None
    return backbone if isinstance(backbone, str) and backbone.startswith(PRETRAINED) else None


def run_tables(run: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Everything known about the run, as titled tables of name and value."""
    general = [
        (_label(key), _value(value))
        for key, value in run.items()
        if key not in RUN_HEADINGS and key not in RUN_ELSEWHERE and not isinstance(value, Mapping)
    ]
    tables = [("Run", general)] if general else []
    for heading, content in run.items():
        if isinstance(content, Mapping) and content and heading not in RUN_ELSEWHERE:
            exact = heading in ("parameters", "versions")
            rows = [(str(key) if exact else _label(str(key)), _value(value)) for key, value in content.items()]
            tables.append((_label(heading), rows))
    return tables


def _label(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _value(value: Any) -> str:
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return number(float(value))
    if isinstance(value, (list, tuple)):
        sizes = all(isinstance(part, int) for part in value)
        return f" {TIMES} ".join(map(str, value)) if sizes else ", ".join(map(_value, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(part)}" for key, part in value.items())
    return str(value)
