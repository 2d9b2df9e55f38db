"""How good features are, by what a simple reader makes of them: probes on features alone, all of scikit-learn's making.

Every probe takes features that no label has touched, and labels that only the reader sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kinfold import metrics
from kinfold.errors import InputError
from kinfold.ops.source import unit

__all__ = [
    "chance",
    "few_labels",
    "kmeans_scores",
    "knn_accuracy",
    "linear_accuracy",
    "retrieval",
    "split",
    "verification",
]

Features = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

TEMPERATURE = 0.07  # of the vote of the nearest; Wu et al. 2018, which DeepCluster's successors follow


def split(labels: Labels, seed: int, share: float = 0.2) -> tuple[Labels, Labels]:
    """Positions to learn from and to test on, every class in both in proportion ``(n,) -> (a,), (b,)``.

    Raises
    ------
    InputError
        When a class has a single image, or there are too few images to test on.

    Examples
    --------
    >>> train, test = split(np.repeat([0, 1], 10), seed=0)
    >>> len(train), len(test)
    (16, 4)
    """
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise InputError("the labels hold a single class; a probe needs at least two.")
    if counts.min() < 2:
        rare = classes[counts.argmin()]
        raise InputError(f"class {rare} has a single image; a probe needs at least two of each, one to test on.")
    dice = np.random.default_rng(seed)
    held_out = np.zeros(len(labels), dtype=bool)
    for c, count in zip(classes, counts, strict=True):
        n_test = min(max(1, round(share * count)), count - 1)
        held_out[dice.permutation(np.flatnonzero(labels == c))[:n_test]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def chance(labels: Labels) -> float:
    """Accuracy of always naming the largest class ``(n,) -> ()``.

    >>> chance(np.array([0, 0, 1]))
    0.6666666666666666
    """
    return float(np.bincount(labels).max() / len(labels))


def linear_accuracy(x: Features, y: Labels, train: Labels, test: Labels, *, strength: float = 1.0) -> float:
    """Accuracy of a logistic regression on standardised features ``(n, d), (n,) -> ()``.

    Parameters
    ----------
    strength
        The larger, the freer the weights: scikit-learn's C. It is not tuned on the test half.

    Examples
    --------
    >>> y = np.repeat([0, 1], 20)
    >>> linear_accuracy(np.eye(2, dtype=np.float32)[y], y, *split(y, 0))
    1.0
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # A tolerance below which no digit of the accuracy moves; two hundred steps are the setting, converged or not.
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, tol=1e-3, max_iter=200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x[train], y[train])
    return float(model.score(x[test], y[test]))


def knn_accuracy(x: Features, y: Labels, train: Labels, test: Labels, *, n_neighbors: int = 20) -> float:
    """Accuracy of the vote of the nearest by cosine, weighed by ``exp(cosine / 0.07)`` ``(n, d), (n,) -> ()``.

    Examples
    --------
    >>> y = np.repeat([0, 1], 20)
    >>> knn_accuracy(np.eye(2, dtype=np.float32)[y], y, *split(y, 0))
    1.0
    """
    from sklearn.neighbors import KNeighborsClassifier

    rows = unit(x)
    k = min(n_neighbors, len(train))
    # On the unit sphere d² = 2 - 2 cosine: the weight, up to a constant, from the distance.
    weights = lambda distance: np.exp(-(distance**2) / (2 * TEMPERATURE))  # noqa: E731
    model = KNeighborsClassifier(k, weights=weights, algorithm="brute").fit(rows[train], y[train])
    return float(model.score(rows[test], y[test]))


def kmeans_scores(x: Features, y: Labels, *, seed: int = 0, n_clusters: int | None = None) -> dict[str, float]:
    """Scores of k-means on the features, as many clusters as classes unless told ``(n, d), (n,) -> {name: score}``.

    Examples
    --------
    >>> y = np.repeat([0, 1], 20)
    >>> kmeans_scores(np.eye(2, dtype=np.float32)[y], y)["acc"]
    1.0
    """
    from sklearn.cluster import KMeans

    k = int(np.unique(y).size) if n_clusters is None else n_clusters
    labels = KMeans(k, n_init=10, random_state=seed).fit_predict(x)
    return metrics.scores(y, labels)


def few_labels(
    x: Features,
    y: Labels,
    train: Labels,
    test: Labels,
    *,
    counts: Sequence[int] = (1, 5, 10, 50, 100),
    draws: int = 5,
    seed: int = 0,
) -> list[dict[str, float]]:
    """Accuracy of a linear reader that sees a few labels of each class ``(n, d), (n,) -> rows``.

    Parameters
    ----------
    counts
        Labels of each class; counts that the smallest class does not have are left out.
    draws
        Random choices of the labelled images for each count.

    Returns
    -------
    list of dict
        ``labels``: of each class, ``accuracy``: mean over the draws, ``sd``.

    Examples
    --------
    >>> y = np.repeat([0, 1], 20)
    >>> few_labels(np.eye(2, dtype=np.float32)[y], y, *split(y, 0), counts=(1,))
    [{'labels': 1, 'accuracy': 1.0, 'sd': 0.0}]
    """
    dice = np.random.default_rng(seed)
    members = [train[y[train] == c] for c in np.unique(y)]
    smallest = min(len(m) for m in members)
    rows = []
    for count in [c for c in counts if c <= smallest]:
        found = []
        for _ in range(draws):
            chosen = np.concatenate([dice.choice(m, count, replace=False) for m in members])
            found.append(linear_accuracy(x, y, chosen, test, strength=0.1))
        rows.append({"labels": count, "accuracy": float(np.mean(found)), "sd": float(np.std(found, ddof=1))})
    return rows


def retrieval(x: Features, y: Labels, *, n_queries: int = 1000, seed: int = 0) -> dict[str, float]:
    """Retrieval of images of the same class by cosine, every other image a candidate ``(n, d), (n,) -> scores``.

    The average precision of a query is the mean, over the images of its class, of the share of its class among those
    ranked as high; mAP is its mean over the queries.

    Returns
    -------
    dict
        ``map``, ``precision_at_1``, ``precision_at_10``, and ``chance``: the mAP of a random order, to a good
        approximation the share of the class.

    Examples
    --------
    >>> y = np.repeat([0, 1], 20)
    >>> retrieval(np.eye(2, dtype=np.float32)[y], y)["map"]
    1.0
    """
    rows = unit(x)
    n = len(y)
    queries = np.random.default_rng(seed).permutation(n)[: min(n_queries, n)]
    queries = queries[np.bincount(y)[y[queries]] > 1]  # an image alone in its class has nothing to find
    if not len(queries):
        raise InputError("every class has a single image; retrieval needs at least two of a class.")
    precisions, first, tenth = [], [], []
    for start in range(0, len(queries), 256):
        part = queries[start : start + 256]
        closeness = rows[part] @ rows.T
        closeness[np.arange(len(part)), part] = -np.inf  # the query itself comes last
        order = np.argsort(-closeness, axis=1, kind="stable")[:, :-1]
        right = y[order] == y[part][:, None]
        hits = right.cumsum(axis=1) / np.arange(1, n)
        precisions.append((hits * right).sum(axis=1) / right.sum(axis=1))
        first.append(right[:, 0])
        tenth.append(right[:, :10].mean(axis=1))
    share = (np.bincount(y)[y[queries]] - 1) / (n - 1)
    return {
        "map": float(np.concatenate(precisions).mean()),
        "precision_at_1": float(np.concatenate(first).mean()),
        "precision_at_10": float(np.concatenate(tenth).mean()),
        "chance": float(share.mean()),
    }


def verification(x: Features, people: Labels, *, n_pairs: int = 20_000, seed: int = 0) -> dict[str, Any]:
    """Whether two images show the same one, judged by their cosine ``(n, d), (n,) -> scores``.

    As many pairs of the same as of different ones are drawn, without repetition; the threshold is the best on one half
    of the pairs and its accuracy is that on the other half, both ways around.

    Returns
    -------
    dict
        ``auc``: area under the curve, ``accuracy``, ``threshold``: of cosine, ``pairs``, and the curve: ``false``
        and ``true``, shares of pairs called the same among different and same ones, at 101 points.

    Examples
    --------
    >>> people = np.repeat([0, 1], 20)
    >>> verification(np.eye(2, dtype=np.float32)[people], people)["accuracy"]
    1.0
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    dice = np.random.default_rng(seed)
    same, other = _pairs(people, n_pairs // 2, dice)
    pairs = np.concatenate([same, other])
    truth = np.repeat([True, False], [len(same), len(other)])
    rows = unit(x)
    closeness = np.einsum("pd,pd->p", rows[pairs[:, 0]], rows[pairs[:, 1]])
    order = dice.permutation(len(pairs))
    halves = order[::2], order[1::2]
    thresholds = [_best_threshold(closeness[half], truth[half]) for half in halves]
    accuracies = [
        float(((closeness[half] >= threshold) == truth[half]).mean())
        for half, threshold in zip(halves[::-1], thresholds, strict=True)
    ]
    wrong, right, _ = roc_curve(truth, closeness)
    grid = np.linspace(0, 1, 101)
    return {
        "auc": float(roc_auc_score(truth, closeness)),
        "accuracy": float(np.mean(accuracies)),
        "threshold": float(np.mean(thresholds)),
        "pairs": len(pairs),
        "false": grid.round(2).tolist(),
        "true": np.interp(grid, wrong, right).round(4).tolist(),
    }


def _pairs(people: Labels, count: int, dice: np.random.Generator) -> tuple[Labels, Labels]:
    """At most `count` pairs of the same and as many of different ones ``-> (p, 2), (p, 2)``."""
    same = np.concatenate(
        [
            members[np.stack(np.triu_indices(len(members), 1), axis=1)]
            for person in np.unique(people)
            if len(members := np.flatnonzero(people == person))
        ]
    )
    n = len(people)
    few = n * (n - 1) // 2 <= 8 * count  # then all of them are looked at
    a, b = np.triu_indices(n, 1) if few else np.sort(dice.integers(n, size=(2, 8 * count)), axis=0)
    different = np.unique(np.stack([a, b], axis=1)[people[a] != people[b]], axis=0)
    if not len(same) or not len(different):
        raise InputError("verification needs two images of the same one, and two of different ones.")
    count = min(count, len(same), len(different))
    return dice.permutation(same)[:count], dice.permutation(different)[:count]


def _best_threshold(closeness: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_]) -> float:
    """Threshold of the highest accuracy ``(p,), (p,) -> ()``."""
    order = np.argsort(-closeness)
    right = np.concatenate([[0], np.cumsum(np.where(truth[order], 1, -1))])  # gained by calling the first i the same
    i = int(right.argmax())
    ranked = closeness[order]
    upper = ranked[i - 1] if i else ranked[0] + 1e-6
    lower = ranked[i] if i < len(ranked) else ranked[-1] - 1e-6
    return float((upper + lower) / 2)
