"""What is measured of IIC beside its clusters: a hundredth of the labels, and the loss of the first steps."""

from __future__ import annotations

import contextlib
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from kinfold.benchmark.fitting import hide_labels, outcome
from kinfold.benchmark.measure import timed
from kinfold.benchmark.scenarios import Scenario

if TYPE_CHECKING:
    from kinfold.data import Images

TRAINED = 60_000  # the official training part of MNIST, in official order
SHARE = 0.01
STEPS = 240  # of the first pass, 273 batches of 220 images: two and a half hours of a core without AVX-512
SHOWN = (1, 10, 20, 50, 100, 200)


def work(wanted: Scenario, task: dict[str, Any]) -> dict[str, Any]:
    """Do what the scenario's task says."""
    return (few_labels if wanted.task == "few-labels" else first_steps)(wanted, task)


def few_labels(wanted: Scenario, task: dict[str, Any]) -> dict[str, Any]:
    """Cluster the training part, name the clusters by one label in a hundred, sort the test part.

    Labelled are as many of each class, drawn with the seed. Scores: by the vote of all sub-heads; by the paper's one
    sub-head that classifies the labelled images best; and the latter when all training labels are known, its form.
    """
    from kinfold import IIC, OverclusteringClassifier

    images = _official(str(task["data"]))
    y, _ = hide_labels(images)
    train, test = images.select(np.arange(TRAINED)), images.select(np.arange(TRAINED, len(images)))
    rng = np.random.default_rng(task["seed"])
    few = np.full(TRAINED, -1)
    for digit in np.unique(y):
        chosen = rng.permutation(np.flatnonzero(y[:TRAINED] == digit))[: round(SHARE * TRAINED / 10)]
        few[chosen] = digit
    model = IIC(preset=str(wanted.preset), random_state=task["seed"], **wanted.parameters)
    _, usage = timed(lambda: model.fit(train))
    scores = {}
    for name, vote, labels in (
        ("acc", "all", few),
        ("acc_best_head", "best", few),
        ("acc_best_head_all_labels", "best", y[:TRAINED]),
    ):
        found = OverclusteringClassifier(model, vote=vote).fit(train, labels).predict(test)
        scores[name] = float((found == y[TRAINED:]).mean())
    return outcome(TRAINED, model.n_clusters_, scores, usage)


def _official(data: str) -> Images:
    from kinfold.benchmark import datasets
    from kinfold.data import as_images

    return as_images(str(datasets.find("mnist-full", data)))


class _Enough(Exception):
    """The steps that were wanted are done."""


def first_steps(wanted: Scenario, task: dict[str, Any]) -> dict[str, Any]:
    """Loss of the first steps of the published schedule, which belong to the overclustering (head A).

    Scores: the loss at a few steps, and the mean over all of them.
    """
    from kinfold.benchmark import datasets

    images = datasets.load(str(wanted.dataset), task["data"])
    _, n_clusters = hide_labels(images)
    losses, usage = timed(partial(_losses, wanted, images, n_clusters, task["seed"]))
    scores = {f"loss_A_{step}": losses[step - 1] for step in SHOWN if step <= len(losses)}
    scores["loss_A_mean"] = math.fsum(losses) / len(losses)
    return outcome(len(images), n_clusters, scores, usage)


def _losses(wanted: Scenario, images: Images, n_clusters: int, seed: int) -> list[float]:
    """Loss of each of the first steps."""
    from kinfold import IIC

    losses: list[float] = []

    class Watched(IIC):
        """IIC that says the loss of every step, and stops."""

        def _loss(self, *arguments: Any, **options: Any) -> Any:
            if len(losses) == STEPS:
                raise _Enough
            value = super()._loss(*arguments, **options)
            losses.append(float(value.detach()))
            return value

    model = Watched(n_clusters, preset=str(wanted.preset), passes="ABB", random_state=seed, **wanted.parameters)
    with contextlib.suppress(_Enough):
        model.fit(images)
    return losses
