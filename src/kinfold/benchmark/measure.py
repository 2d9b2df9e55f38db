"""Wall seconds, CPU seconds and peak memory of this process, and what it ran on."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

PACKAGES = ("torch", "numpy", "scikit-learn", "numba", "faiss-cpu")


class Usage(NamedTuple):
    """What a piece of work took: wall seconds, and CPU seconds of all threads and child processes."""

    seconds: float
    cpu_seconds: float


def timed(work: Callable[[], T]) -> tuple[T, Usage]:
    """Do the work and say what it took.

    Examples
    --------
    >>> value, usage = timed(lambda: sum(range(10)))
    >>> value, usage.seconds >= 0
    (45, True)
    """
    wall, cpu = time.perf_counter(), _cpu_seconds()
    value = work()
    return value, Usage(time.perf_counter() - wall, _cpu_seconds() - cpu)


def _cpu_seconds() -> float:
    import resource

    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def peak_mb() -> int:
    """Largest resident memory of this process so far, in MB of 10^6 bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss of a new process begins at what its parent had; the high-water mark of /proc does not.
        lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        if lines:
            return round(int(lines[0].split()[1]) * 1024 / 1e6)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def versions() -> dict[str, str]:
    """Versions of everything that can move a number."""
    import kinfold

    found = {"kinfold": kinfold.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def machine() -> dict[str, Any]:
    """Processor, its cores, the threads that numerical libraries were allowed, and what it multiplies matrices with."""
    import torch

    from kinfold.runtime import native_bfloat16

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        name = models[0] if models else name
    cores = os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return {
        "cpu": name,
        "cores": cores,
        "threads": int(threads) if threads.isdigit() else cores,
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": native_bfloat16(),
    }


def source_digest() -> str:
    """Digest of the package's source, so that a resumed benchmark never mixes two versions of the code."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root).as_posix()
        if not relative.startswith(("report/", "cli/", "terminal.py", "export.py", "benchmark/tables.py")):
            digest.update(relative.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
