"""Feature learners measured by a linear support vector machine on what they learnt without labels.

The machine is the one of the Coates-Ng papers: one against all, squared hinge, standardised features, solved to its end
by L-BFGS. Learner and machine see the training part of the set, the score is on its test part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kinfold.benchmark.fitting import hide_labels, outcome
from kinfold.errors import InputError

if TYPE_CHECKING:
    from kinfold.benchmark.scenarios import Scenario

Matrix = NDArray[np.float32]
Labels = NDArray[np.int64]

TRAINING = {"cifar10-full": 50_000}  # rows of the file, in its own order, that are the training part
COST = 100.0  # the papers' C for dictionaries below 4000 atoms
FLOOR = 0.01  # added to the variance of a feature
STEPS = 1000  # of L-BFGS, at most


def work(wanted: Scenario, task: dict[str, Any]) -> dict[str, Any]:
    """Learn features on the training part of a set, train the machine on them, score the test part."""
    import kinfold
    from kinfold.benchmark import datasets, measure
    from kinfold.data import as_images

    images = as_images(str(datasets.find(str(wanted.dataset), task["data"])))
    first = TRAINING[str(wanted.dataset)]
    y, k = hide_labels(images)
    train, test = images.select(slice(0, first)), images.select(slice(first, None))
    model = getattr(kinfold, wanted.algorithm)(random_state=task["seed"], **wanted.parameters)

    def learn() -> tuple[Matrix, Matrix]:
        return model.fit_transform(train), model.transform(test)

    (a, b), usage = measure.timed(learn)
    (hits, again), probing = measure.timed(lambda: score(a, y[:first], b, y[first:]))
    scores = {"acc_test": again, "acc_train": hits, "seconds_probe": probing.seconds}
    return outcome(len(images), k, scores, usage)


def score(train: Matrix, y_train: Labels, test: Matrix, y_test: Labels) -> tuple[float, float]:
    """Accuracy of the machine on both parts; the features are standardised in place.

    Examples
    --------
    >>> x, y = np.eye(4, dtype=np.float32)[[0, 1, 2, 3] * 5], np.array([0, 0, 1, 1] * 5)
    >>> score(x.copy(), y, x[:4].copy(), y[:4])
    (1.0, 1.0)
    """
    mean, spread = train.mean(axis=0), np.sqrt(train.var(axis=0) + FLOOR)
    for part in (train, test):
        part -= mean
        part /= spread
    weights, bias = linear_svm(train, y_train)
    hits = [(part @ weights + bias).argmax(axis=1) == y for part, y in ((train, y_train), (test, y_test))]
    return float(hits[0].mean()), float(hits[1].mean())


def linear_svm(x: Matrix, y: Labels, *, cost: float = COST, steps: int = STEPS) -> tuple[Matrix, Matrix]:
    """One linear machine a class ``(n, d), (n,) -> (d, k), (k,)``.

    Minimises ``|w|^2 / 2 + cost * mean(max(0, 1 - t (w.x + b))^2)`` with t = 1 for the class and -1 for the others; the
    bias counts as a weight. The products are in float32, as the features are, the sums over weights in float64.

    Examples
    --------
    >>> weights, bias = linear_svm(np.array([[1.0], [-1.0]], dtype=np.float32), np.array([0, 1]))
    >>> np.sign(weights).ravel()
    array([ 1., -1.], dtype=float32)
    """
    from scipy.optimize import minimize

    n, d = x.shape
    k = int(y.max()) + 1
    if k < 2:
        raise InputError("the labels have one class only; a linear machine needs two or more.")
    sign = np.full((n, k), -1, dtype=np.float32)
    sign[np.arange(n), y] = 1

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        theta = flat.reshape(d + 1, k)
        single = theta.astype(np.float32)
        slack = np.maximum(0, 1 - sign * (x @ single[:-1] + single[-1]))
        value = 0.5 * float((theta * theta).sum()) + cost / n * float(np.einsum("ij,ij->", slack, slack, dtype=float))
        pull = (-2 * cost / n) * slack * sign
        gradient = np.concatenate([x.T @ pull, pull.sum(axis=0, dtype=float)[None]])
        return value, (gradient + theta).ravel()

    found = minimize(loss, np.zeros((d + 1) * k), jac=True, method="L-BFGS-B", options={"maxiter": steps})
    theta = found.x.reshape(d + 1, k).astype(np.float32)
    return theta[:-1], theta[-1]
