"""What a run was made with: versions, machine, time and memory."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

import torch

from kinfold.runtime import Runtime


def describe(run: Runtime, seconds: float) -> dict[str, Any]:
    """Versions, device, processes, seconds and peak memory, for run.json."""
    names = ("kinfold", "torch", "numpy", "scikit-learn")
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in names}},
        "device": run.device_name,
        "precision": run.precision,
        "processes": run.world,
        "threads": torch.get_num_threads(),
        "seconds": round(seconds, 3),
        "peak_mb": peak_mb(),
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def peak_mb() -> int | None:
    """Highest resident memory of this process so far, in MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak / (2**20 if sys.platform == "darwin" else 2**10))
