"""Kinfold: clusters unlabelled images, and learns a model that sorts the next one.

The public names are spelled out here and loaded when first used, so that ``import kinfold`` costs nothing.

>>> import kinfold
>>> kinfold.JULE.__name__
'JULE'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinfold.algorithms import load
    from kinfold.algorithms.iic import IIC
    from kinfold.algorithms.imsat import IMSAT
    from kinfold.algorithms.imsat_hash import IMSATHash
    from kinfold.algorithms.jule import JULE
    from kinfold.checks import check_clusterer
    from kinfold.data import Images, as_images
    from kinfold.errors import InputError, KinfoldError
    from kinfold.estimator import DeepClusterer
    from kinfold.fewlabels import FineTunedClassifier, OverclusteringClassifier
    from kinfold.ops.agglomerate import MergeTree
    from kinfold.report import write_report
    from kinfold.results import Clustering
    from kinfold.runtime import Runtime

__version__ = "0.1.0"

__all__ = [
    "IIC",
    "IMSAT",
    "JULE",
    "Clustering",
    "DeepClusterer",
    "FineTunedClassifier",
    "IMSATHash",
    "Images",
    "InputError",
    "KinfoldError",
    "MergeTree",
    "OverclusteringClassifier",
    "Runtime",
    "__version__",
    "as_images",
    "check_clusterer",
    "load",
    "write_report",
]

_HOME = {
    "IIC": "kinfold.algorithms.iic",
    "IMSAT": "kinfold.algorithms.imsat",
    "IMSATHash": "kinfold.algorithms.imsat_hash",
    "JULE": "kinfold.algorithms.jule",
    "Clustering": "kinfold.results",
    "DeepClusterer": "kinfold.estimator",
    "FineTunedClassifier": "kinfold.fewlabels",
    "OverclusteringClassifier": "kinfold.fewlabels",
    "Images": "kinfold.data",
    "InputError": "kinfold.errors",
    "KinfoldError": "kinfold.errors",
    "MergeTree": "kinfold.ops.agglomerate",
    "Runtime": "kinfold.runtime",
    "as_images": "kinfold.data",
    "check_clusterer": "kinfold.checks",
    "load": "kinfold.algorithms",
    "write_report": "kinfold.report",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'kinfold' has no attribute {name!r}; the public names are {', '.join(__all__)}.")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
