"""Benchmarks of what crosses over: features of one set used on another, and faces of people not seen before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kinfold.benchmark import datasets, measure
from kinfold.benchmark.fitting import estimator, hide_labels, outcome
from kinfold.benchmark.scenarios import Scenario

if TYPE_CHECKING:
    from kinfold.data import Images


def work(wanted: Scenario, task: dict[str, Any]) -> dict[str, Any]:
    """Learn on the source without labels, use the features on the scenario's set; see `kinfold.evaluate.transfer`."""
    return (_verify if wanted.task == "verify" else _transfer)(wanted, task)


def _transfer(wanted: Scenario, task: dict[str, Any]) -> dict[str, Any]:
    from kinfold.evaluate.transfer import transferred

    source = datasets.load(str(wanted.source), task["data"])
    target = datasets.load(str(wanted.dataset), task["data"])
    y = np.asarray(target.labels)
    model, usage = measure.timed(lambda: _fitted(wanted, source, task["seed"]))
    found = transferred(model, target, y, seed=task["seed"])
    scores = {f"{score}_{name}": value for name, each in found.items() for score, value in each.items()}
    return outcome(len(target), int(np.unique(y).size), scores, usage)


def _verify(wanted: Scenario, task: dict[str, Any]) -> dict[str, Any]:
    from kinfold.evaluate.transfer import people_apart, verified

    images = datasets.load(str(wanted.dataset), task["data"])
    people = np.asarray(images.labels)
    known, unknown = people_apart(people, task["seed"])
    model, usage = measure.timed(lambda: _fitted(wanted, images.select(known), task["seed"]))
    others = images.select(unknown)
    found = verified(model, others, people[unknown], seed=task["seed"])
    scores = {f"{score}_{name}": each[score] for name, each in found.items() for score in ("auc", "accuracy")}
    return outcome(len(others), int(np.unique(people[unknown]).size), scores, usage)


def _fitted(wanted: Scenario, images: Images, seed: int) -> Any:
    """The estimator, fitted without labels; it is told how many classes the source has, as in the papers."""
    _, k = hide_labels(images)
    return estimator(wanted, k, seed).fit(images)
