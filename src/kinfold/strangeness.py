"""How strange an image is within its cluster."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

Labels = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

REFERENCES = 2000
CHUNK = 4096


class Strangeness:
    """Outlier scores, as ranks among the fitted images.

    The raw number of an image is its distance to the tenth nearest fitted image of its own cluster, divided by the
    median of that number in the cluster, so that wide and narrow clusters are judged alike. The score is the share of
    fitted images whose raw number is smaller: 0.99 is stranger than 99 of 100 fitted images. It is a rank, not a
    probability: in any run one image in a hundred scores above 0.99. A new image far from every cluster scores 1. In
    clusters above 2,000 images the neighbours are sought among 2,000 evenly spaced members. The only image of a cluster
    has no company at all and scores 1.

    Parameters
    ----------
    features
        Embedding of the fitted images, ``(n, d)``.
    labels
        Their clusters, ``(n,)``.
    n_neighbors
        Which neighbour; fewer in smaller clusters.

    Examples
    --------
    >>> features = np.array([[0.0], [0.1], [0.2], [0.3], [9.0]], dtype=np.float32)
    >>> strange = Strangeness(features, np.zeros(5, dtype=np.int64), n_neighbors=1)
    >>> int(strange.fitted.argmax())
    4
    >>> strange.score(np.array([[0.15], [99.0]], dtype=np.float32), np.zeros(2, dtype=np.int64)).round(1).tolist()
    [0.0, 1.0]
    """

    def __init__(self, features: Floats, labels: Labels, n_neighbors: int = 10) -> None:
        self._n_neighbors = n_neighbors
        self._references: dict[int, Tensor] = {}
        self._scale: dict[int, float] = {}
        x = torch.from_numpy(np.array(features, dtype=np.float32))
        raw = np.full(len(labels), np.inf)
        for cluster in np.unique(labels).tolist():
            members = np.flatnonzero(labels == cluster)
            if len(members) > REFERENCES:
                chosen = members[np.linspace(0, len(members) - 1, REFERENCES).astype(np.int64)]
            else:
                chosen = members
            self._references[cluster] = x[chosen]
            if len(members) > 1:
                raw[members] = self._distance(x[members], cluster, np.isin(members, chosen))
                self._scale[cluster] = float(np.median(raw[members]))
        usual = [scale for scale in self._scale.values() if scale > 0]
        # Clusters of one image, or of identical ones, have no width of their own.
        self._usual = float(np.median(usual)) if usual else 1.0
        raw /= np.array([self._width(cluster) for cluster in labels.tolist()]) if len(labels) else 1.0
        self._sorted = np.sort(raw)
        self.fitted: Floats = self._rank(raw)

    def score(self, features: Floats, labels: Labels) -> Floats:
        """Scores of new images and their clusters, ``(m, d), (m,) -> (m,)``."""
        x = torch.from_numpy(np.array(features, dtype=np.float32))
        raw = np.full(len(labels), np.inf)
        for cluster in np.unique(labels).tolist():
            members = np.flatnonzero(labels == cluster)
            if cluster in self._references:  # an empty cluster has no width and no images to be near
                raw[members] = self._distance(x[members], cluster) / self._width(cluster)
        return self._rank(raw)

    def _width(self, cluster: int) -> float:
        return self._scale.get(cluster, 0.0) or self._usual

    def _rank(self, raw: np.ndarray[Any, Any]) -> Floats:
        rank = np.searchsorted(self._sorted, raw, side="left") / max(len(self._sorted), 1)
        known = self._sorted[np.isfinite(self._sorted)]  # images without company are no measure of strangeness
        return np.where(raw > known.max(initial=0.0), 1.0, rank).astype(np.float32)

    def _distance(self, x: Tensor, cluster: int, itself: np.ndarray[Any, Any] | None = None) -> np.ndarray[Any, Any]:
        """Distance to the n-th neighbour in a cluster, not counting the image itself where it is a reference."""
        references = self._references[cluster]
        others = len(references) - (0 if itself is None else 1)
        nth = max(min(self._n_neighbors, others), 1)
        offset = torch.zeros(len(x), dtype=torch.int64) if itself is None else torch.from_numpy(itself).long()
        reach = min(nth + (0 if itself is None else 1), len(references))
        squares = references.square().sum(1)
        found = []
        for start in range(0, len(x), CHUNK):
            part = x[start : start + CHUNK]
            distances = squares - 2 * part @ references.T  # the image's own square changes no order
            nearest = distances.topk(reach, dim=1, largest=False).indices
            chosen = nearest.gather(1, (nth - 1 + offset[start : start + CHUNK, None]).clamp(max=reach - 1))
            found.append((part - references[chosen[:, 0]]).norm(dim=1))
        return torch.cat(found).double().numpy()
