"""The rules of the architecture, read off the source: who imports whom, and what stands nowhere."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "kinfold"
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__") for path in FILES}

ALL = {*(name.split(".")[1] for name in MODULES if "." in name), ""}

# What each part may import from Kinfold, besides itself and `errors`. Nothing else may.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "phrases": set(),
    "allocator": set(),
    "files": set(),
    "metrics": set(),
    "health": set(),
    "data": {"files", "phrases"},
    "nn": set(),
    "runtime": {"files"},
    "ops": {"runtime"},
    "train": {"runtime", "data", "files"},
    "naming": {"files"},
    "results": {"files", "data", "metrics", "naming", "ops"},
    "strangeness": set(),
    "inputs": {"data"},
    "presets": set(),
    "parameters": set(),
    "warm_start": {"results"},
    "journal": {"runtime", "results", "health", "data", "files"},
    "estimator": {
        "allocator",
        "train",
        "warm_start",
        "runtime",
        "results",
        "inputs",
        "journal",
        "presets",
        "parameters",
        "health",
        "strangeness",
        "data",
        "metrics",
        "files",
    },
    "feature_learner": {"estimator", "train", "ops", "nn", "data", "runtime"},
    "checks": {"estimator", "runtime", "data", "results"},
    "algorithms": {
        "estimator",
        "feature_learner",
        "health",
        "inputs",
        "metrics",
        "parameters",
        "presets",
        "train",
        "ops",
        "nn",
        "data",
        "results",
        "runtime",
    },
    "fewlabels": {"algorithms", "estimator", "parameters", "train", "data", "runtime"},
    "report": {"results", "metrics", "naming", "data", "files", "ops", "phrases"},
    "benchmark": {
        "results",
        "metrics",
        "data",
        "files",
        "algorithms",
        "ops",
        "estimator",
        "runtime",
        "train",
        "embedding",
        "evaluate",
        "",
    },
    "embedding": {"data", "files", "runtime", "train", "nn", "estimator", "algorithms"},
    "curation": {"data", "files", "ops", "runtime"},
    "evaluate": {"metrics", "data", "estimator", "files", "ops", "runtime", "train"},
    "export": {"results", "estimator", "naming", "nn", "data", "files", "runtime"},
    "launch": set(),
    "locate": {"data", "results", "runtime"},
    "terminal": {"data", "export", "results", "runtime", "phrases"},
    "cli": ALL - {"cli", "__main__"},
    "__main__": {"cli"},
    "": ALL - {"cli", "__main__"},
}
SPEAKING = {"cli", "report"}  # where print, argument parsing and plotting may stand
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def part(path: Path) -> str:
    """The first name below the package: 'data' for data/images.py, 'cli' for cli.py, '' for the package itself."""
    name = path.relative_to(PACKAGE).with_suffix("").parts[0]
    return "" if name == "__init__" else name


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every imported name in full, with its line; those inside functions too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = path.relative_to(PACKAGE.parent).parts[: -node.level]
                base = ".".join([*above, *([base] if base else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def dotted(node: ast.AST) -> str:
    """'torch.distributed.all_reduce' for that expression, '' for anything that is not a chain of names."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else ""


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    yield from ((node, dotted(node.func)) for node in ast.walk(tree(path)) if isinstance(node, ast.Call))


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_arrows(path: Path) -> None:
    own = part(path)
    allowed = ARROWS.get(own)
    assert allowed is not None, f"{own!r} is a new part of the package: give it a line in ARROWS, and in the design."
    wrong = []
    for line, name in imports(path):
        if name.split(".")[0] != "kinfold":
            continue
        target = name.split(".")[1] if len(name.split(".")) > 1 and f"kinfold.{name.split('.')[1]}" in MODULES else ""
        if target not in {own, "errors", *allowed}:
            wrong.append(f"{where(path, line)} imports {name}; {own or 'kinfold'} may import {sorted(allowed)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", sorted((PACKAGE / "algorithms").glob("[!_]*.py")), ids=lambda path: path.stem)
def test_no_algorithm_imports_another(path: Path) -> None:
    wrong = [where(path, line) for line, name in imports(path) if name.startswith("kinfold.algorithms")]
    assert not wrong, f"{wrong}: what two papers need belongs in ops/."


def test_processes_are_talked_to_in_one_file() -> None:
    wrong = []
    for path in FILES:
        if path.name == "runtime.py":
            continue
        wrong += [where(path, line) for line, name in imports(path) if name.startswith("torch.distributed")]
        nodes = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)]
        wrong += [where(path, node.lineno) for node in nodes if dotted(node) == "torch.distributed"]
    assert not wrong, f"{wrong}: torch.distributed belongs in runtime.py; use run.mean, run.sum, run.gather, run.share."


def test_only_the_command_line_and_the_report_speak() -> None:
    silent = [path for path in FILES if part(path) not in SPEAKING]
    wrong = [where(path, call.lineno) for path in silent for call, name in calls(path) if name == "print"]
    tools = ("argparse", "optparse", "click", "typer", "matplotlib", "plotly", "seaborn")
    wrong += [where(p, line) for p in silent for line, name in imports(p) if name.split(".")[0] in tools]
    assert not wrong, f"{wrong}: printing, arguments and plots belong in cli.py and report/; use progress.say."


def test_nothing_is_unpickled() -> None:
    wrong = []
    for path in FILES:
        pickles = ("pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib")
        wrong += [where(path, line) for line, name in imports(path) if name.split(".")[0] in pickles]
        for call, name in calls(path):
            options = {keyword.arg: keyword.value for keyword in call.keywords}
            unsafe = isinstance(options.get("allow_pickle"), ast.Constant) and options["allow_pickle"].value is True
            # A pretrained package's own weight file is the one thing read by torch, which then refuses everything else.
            only_weights = (
                isinstance(options.get("weights_only"), ast.Constant) and options["weights_only"].value is True
            )
            torch_file = name == "torch.load" and not (only_weights and part(path) == "nn")
            if unsafe or torch_file or name == "torch.save":
                wrong.append(where(path, call.lineno))
    assert not wrong, f"{wrong}: save as safetensors, JSON or .npy with allow_pickle=False."


def test_no_seed_is_set_for_everyone() -> None:
    seeds = {"torch.manual_seed", "torch.seed", "np.random.seed", "numpy.random.seed", "random.seed"}
    wrong = [where(path, call.lineno) for path in FILES for call, name in calls(path) if name in seeds]
    assert not wrong, f"{wrong}: draw from the state's generator."


def test_errors_are_exceptions() -> None:
    nodes = [(path, node) for path in FILES for node in ast.walk(tree(path))]
    wrong = [where(path, node.lineno) for path, node in nodes if isinstance(node, ast.Assert)]
    assert not wrong, f"{wrong}: raise an exception that says what came, what was expected, and the cure."


def test_names_say_what_is_inside() -> None:
    wrong = [str(p.relative_to(ROOT)) for folder in (PACKAGE, ROOT / "tests") for p in folder.rglob("*.py")]
    wrong = [name for name in wrong if Path(name).stem.removeprefix("test_") in EMPTY_NAMES]
    assert not wrong, f"{wrong}: name the file after what it holds."


def test_importing_kinfold_runs_nothing() -> None:
    code = "import sys, kinfold; print([m for m in ('torch', 'numpy', 'sklearn', 'numba', 'rich') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["kinfold", "kinfold.algorithms"])
def test_public_names_are_spelled_out(name: str) -> None:
    module = importlib.import_module(name)
    path = PACKAGE.joinpath(*name.split(".")[1:], "__init__.py")
    guarded = [node for node in tree(path).body if isinstance(node, ast.If)]
    typed = {a.name for block in guarded for node in block.body if isinstance(node, ast.ImportFrom) for a in node.names}
    lazy = set(module._HOME)
    if name == "kinfold":
        assert lazy | {"__version__"} == set(module.__all__)
        assert typed == lazy
    else:
        assert lazy <= set(module.__all__)
        assert lazy <= typed
    for public in module.__all__:
        assert getattr(module, public) is not None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_all_names_what_is_there(path: Path) -> None:
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(name)
    for public in getattr(module, "__all__", []):
        assert hasattr(module, public), f"{name}.__all__ names {public!r}, which is not there."
