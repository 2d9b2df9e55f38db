"""What an algorithm needs before it is finished. The messages are the contributor's guide."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALGORITHMS = sorted(path.stem for path in (ROOT / "src" / "kinfold" / "algorithms").glob("[!_]*.py"))
RESULTS = ROOT / "benchmarks" / "results"


def missing(name: str, root: Path = ROOT) -> list[str]:
    """Everything that algorithm `name` lacks, one sentence each; empty when it is complete."""
    wanted = []
    source = root / "src" / "kinfold" / "algorithms"
    if f"kinfold.algorithms.{name}" not in (source / "__init__.py").read_text(encoding="utf-8"):
        wanted.append(f"a line in src/kinfold/algorithms/__init__.py: its class in __all__ and _HOME, beside {name}.py")
    if f"kinfold.algorithms.{name}" not in (root / "src" / "kinfold" / "__init__.py").read_text(encoding="utf-8"):
        wanted.append("a line in src/kinfold/__init__.py, so that users import it from kinfold")
    if not ast.get_docstring(ast.parse((source / f"{name}.py").read_text(encoding="utf-8"))):
        wanted.append("a docstring at the top of the file: citation, then our deviations from paper and code")
    if not (root / "tests" / "algorithms" / f"test_{name}.py").exists():
        wanted.append(
            f"tests/algorithms/test_{name}.py: a value worked out by hand, loss and gradient against a plain "
            "re-statement in tests/references/, a property, an invariance, a tiny run that reaches its band"
        )
    page = root / "docs" / "algorithms" / f"{name}.md"
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    if not text:
        wanted.append(
            f"docs/algorithms/{name}.md: usage, what the logged numbers mean, each deviation with its measured effect, "
            "the table paper / authors' code / ours"
        )
    keys = re.findall(r"^@\w+\{([^,]+),", (root / "docs" / "references.bib").read_text(encoding="utf-8"), re.MULTILINE)
    if text and not any(key in text for key in keys):
        wanted.append(f"its paper in docs/references.bib, and that key in docs/algorithms/{name}.md, as [yang2016]")
    if not committed(name, root) and "No benchmark:" not in text:
        wanted.append(
            "a committed scenario in benchmarks/results/ (`kinfold benchmark` writes it), or a sentence in its page "
            "that begins 'No benchmark:' and says why"
        )
    return wanted


def committed(name: str, root: Path = ROOT) -> list[str]:
    """The ids of the committed results of an algorithm."""
    found = []
    for path in sorted((root / "benchmarks" / "results").glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        if str(result.get("algorithm", "")).lower() == name.lower().replace("_", ""):
            found.append(str(result["scenario"]))
    return found


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_is_complete(name: str) -> None:
    wanted = missing(name)
    assert not wanted, f"algorithms/{name}.py still needs:\n" + "\n".join(f"- {sentence}." for sentence in wanted)


def test_the_guide_names_everything_a_bare_file_lacks(tmp_path: Path) -> None:
    package = tmp_path / "src" / "kinfold"
    (package / "algorithms").mkdir(parents=True)
    for file in (package / "__init__.py", package / "algorithms" / "__init__.py", package / "algorithms" / "new.py"):
        file.write_text("")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "references.bib").write_text("@article{someone2020,\n}\n")
    assert len(missing("new", tmp_path)) == 6
    page = tmp_path / "docs" / "algorithms" / "new.md"
    page.parent.mkdir()
    page.write_text("See [someone2020]. No benchmark: its data cannot be had.")
    assert len(missing("new", tmp_path)) == 4


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_a_result_stands_under_its_own_id(path: Path) -> None:
    result = json.loads(path.read_text(encoding="utf-8"))
    assert result["scenario"] == path.stem


def test_the_changes_are_written_down() -> None:
    text = (ROOT / "docs" / "changes" / "unreleased.md").read_text(encoding="utf-8")
    for name in ALGORITHMS:
        assert name.lower() in text.lower(), f"docs/changes/unreleased.md does not speak of {name}."
