"""What every task that fits an estimator begins and ends with: hidden labels, the estimator, the numbers found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kinfold.benchmark.measure import Usage

if TYPE_CHECKING:
    from kinfold.benchmark.scenarios import Scenario
    from kinfold.data import Images


def hide_labels(images: Images) -> tuple[NDArray[np.int64], int]:
    """Take the known classes away from the images ``-> (n,), number of classes``."""
    y = np.asarray(images.labels)
    images.labels = None
    return y, int(np.unique(y).size)


def estimator(wanted: Scenario, n_clusters: int | None, seed: int) -> Any:
    """The scenario's estimator with its parameters, not fitted; one of codes has no number of clusters."""
    import kinfold

    constants: dict[str, Any] = {} if wanted.preset is None else {"preset": wanted.preset}
    if wanted.task != "retrieve":
        constants["n_clusters"] = n_clusters
    return getattr(kinfold, wanted.algorithm)(**{"random_state": seed, **constants, **wanted.parameters})


def outcome(n: int, n_clusters: int, scores: dict[str, float], usage: Usage, *, collapsed: int = 0) -> dict[str, Any]:
    """What a task returns.

    Examples
    --------
    >>> outcome(9, 3, {"acc": 1.0}, Usage(2.0, 1.0))["health"]
    {'restarts': 0, 'collapsed': 0}
    """
    health = {"restarts": 0, "collapsed": collapsed}
    return {"n": n, "n_clusters": n_clusters, "scores": scores, "health": health, **usage._asdict()}
