"""Tables of the documents, made from ``benchmarks/results/*.json`` and nothing else; a file a family.

A document holds ``<!-- table: NAME -->`` and ``<!-- end -->``; what stands between them is replaced. Every table names
the command that makes it. A figure is the mean over seeds ± the standard deviation, of the last round of each run. A
score that used weights trained on other images carries a dagger.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from kinfold.benchmark.tables import algorithms, features, growth, iic, imsat, jule, scale, study
from kinfold.benchmark.tables.cells import FLOAT32, FLOAT32_NOTE, Results
from kinfold.errors import InputError
from kinfold.files import write_text

__all__ = ["TABLES", "documents", "read", "regenerate", "update"]

MARK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
TABLES: dict[str, Callable[[Results], str]] = {
    "jule": jule.clusters,
    "jule-paper": jule.paper,
    "jule-clock": jule.clock,
    "jule-own": jule.own,
    "jule-baselines": jule.baselines,
    "jule-ablation": jule.ablation,
    "jule-estimated": jule.estimated,
    "jule-predict": jule.predict,
    "algorithms": algorithms.side_by_side,
    "speed": scale.speed,
    "imsat": imsat.clusters,
    "imsat-codes": imsat.codes,
    "iic": iic.clusters,
    "iic-few-labels": iic.few_labels,
    "iic-first-steps": iic.first_steps,
    "information-study": study.information,
    "study-families": study.families,
    "coates-ng": features.coates_ng,
    "nat": features.nat,
    "deepcluster": features.deepcluster,
    "transfer": features.transfer,
    "vectors": scale.vectors,
    "streams": scale.streams,
    "views": scale.views,
    "growth": growth.steps,
}


def read(folder: str | Path) -> Results:
    """Results of a folder by scenario id."""
    found = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(Path(folder).glob("*.json"))]
    return {r["scenario"]: r for r in found}


def update(root: Path, results: Path) -> list[Path]:
    """Rewrite the tables of README.md and of the pages below docs/, and the picture; returns the files that changed.

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
    picture, path = growth.picture(found), root / growth.PICTURE
    if picture is not None and (not path.exists() or path.read_text(encoding="utf-8") != picture):
        write_text(path, picture)
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
        table = TABLES[name](results).rstrip() + "\n"
        return f"{match.group(1)}{table}{FLOAT32_NOTE if FLOAT32 in table else ''}{match.group(3)}"

    return MARK.sub(replace, text)
