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
    from kinfold.algorithms.cluster_fit import ClusterFit
    from kinfold.algorithms.coates_ng import CoatesNg
    from kinfold.algorithms.deepcluster import DeepCluster
    from kinfold.algorithms.iic import IIC
    from kinfold.algorithms.iic_segmentation import IICSegmentation
    from kinfold.algorithms.imsat import IMSAT
    from kinfold.algorithms.imsat_hash import IMSATHash
    from kinfold.algorithms.information_study import InformationStudy
    from kinfold.algorithms.jule import JULE
    from kinfold.algorithms.nat import NAT
    from kinfold.algorithms.rotnet import RotNet
    from kinfold.algorithms.simclr import SimCLR
    from kinfold.checks import check_clusterer
    from kinfold.curation import curate
    from kinfold.data import Images, as_images
    from kinfold.data.features import FeatureShards
    from kinfold.embedding import write_features
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
    "NAT",
    "ClusterFit",
    "Clustering",
    "CoatesNg",
    "DeepCluster",
    "DeepClusterer",
    "FeatureShards",
    "FineTunedClassifier",
    "IICSegmentation",
    "IMSATHash",
    "Images",
    "InformationStudy",
    "InputError",
    "KinfoldError",
    "MergeTree",
    "OverclusteringClassifier",
    "RotNet",
    "Runtime",
    "SimCLR",
    "__version__",
    "as_images",
    "check_clusterer",
    "curate",
    "load",
    "write_features",
    "write_report",
]

_HOME = {
    "JULE": "kinfold.algorithms.jule",
    "IMSAT": "kinfold.algorithms.imsat",
    "IMSATHash": "kinfold.algorithms.imsat_hash",
    "IIC": "kinfold.algorithms.iic",
    "IICSegmentation": "kinfold.algorithms.iic_segmentation",
    "InformationStudy": "kinfold.algorithms.information_study",
    "DeepCluster": "kinfold.algorithms.deepcluster",
    "NAT": "kinfold.algorithms.nat",
    "CoatesNg": "kinfold.algorithms.coates_ng",
    "RotNet": "kinfold.algorithms.rotnet",
    "SimCLR": "kinfold.algorithms.simclr",
    "ClusterFit": "kinfold.algorithms.cluster_fit",
    "Clustering": "kinfold.results",
    "DeepClusterer": "kinfold.estimator",
    "FeatureShards": "kinfold.data.features",
    "FineTunedClassifier": "kinfold.fewlabels",
    "OverclusteringClassifier": "kinfold.fewlabels",
    "Images": "kinfold.data",
    "InputError": "kinfold.errors",
    "KinfoldError": "kinfold.errors",
    "MergeTree": "kinfold.ops.agglomerate",
    "Runtime": "kinfold.runtime",
    "as_images": "kinfold.data",
    "check_clusterer": "kinfold.checks",
    "curate": "kinfold.curation",
    "load": "kinfold.algorithms",
    "write_features": "kinfold.embedding",
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
