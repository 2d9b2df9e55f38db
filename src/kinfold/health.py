"""A watch over a run: it measures every round and says in plain words what is wrong and what was done about it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Labels = np.ndarray[Any, np.dtype[np.int64]]
Row = dict[str, Any]

LARGEST_SHARE = 0.9
STILL_MOVING = 0.1


def changed(before: Labels, after: Labels) -> float:
    """Share of images that left their cluster, whatever the clusters are called, ``(n,), (n,) -> ()``.

    Every old cluster is taken to live on as the new cluster that holds most of it, so merging two clusters moves nobody
    and splitting one moves its smaller part.

    Examples
    --------
    >>> changed(np.array([0, 0, 1, 1]), np.array([5, 5, 3, 5]))
    0.25
    """
    if len(before) != len(after) or not len(after):
        return 1.0
    _, old = np.unique(before, return_inverse=True)
    _, new = np.unique(after, return_inverse=True)
    pairs, counts = np.unique(old.astype(np.int64) * (int(new.max()) + 1) + new, return_counts=True)
    best = np.zeros(int(old.max()) + 1, dtype=np.int64)
    np.maximum.at(best, pairs // (int(new.max()) + 1), counts)
    return 1.0 - float(best.sum()) / len(after)


def measure(labels: Labels) -> dict[str, float | int]:
    """Used clusters, share of the largest and entropy of the sizes (0 to 1, in units of the highest), ``(n,) -> ...``.

    Examples
    --------
    >>> measure(np.array([0, 0, 1, 1]))
    {'used': 2, 'largest': 0.5, 'entropy': 1.0}
    """
    counts = np.unique(labels, return_counts=True)[1]
    shares = counts / max(len(labels), 1)
    highest = math.log(len(shares)) if len(shares) > 1 else 1.0
    entropy = float(-(shares * np.log(shares)).sum()) / highest if len(shares) > 1 else 0.0
    return {"used": len(shares), "largest": float(shares.max(initial=0.0)), "entropy": entropy}


class Watch:
    """Measures the rounds of one run.

    Parameters
    ----------
    history
        Rows of the rounds done before, when a run is resumed; new rows are appended to this list.
    labels
        Clusters at the beginning, ``(n,)``.

    Examples
    --------
    >>> watch = Watch([], np.array([0, 0, 1, 1]))
    >>> watch.row(1, 0.5, 2, np.array([0, 1, 1, 1]), seconds=0.1)["changed"]
    0.25
    """

    def __init__(self, history: list[Row], labels: Labels) -> None:
        self.history = history
        self._before = np.array(labels)

    def row(
        self,
        round: int,
        loss: float | None,
        n_clusters: int,
        labels: Labels,
        *,
        seconds: float,
        extra: Mapping[str, Any] | None = None,
    ) -> Row:
        """Measure a finished round and append it to the history."""
        found: Row = {"round": round, "loss": loss, "n_clusters": n_clusters, **measure(labels)}
        found["changed"] = changed(self._before, labels)
        found["seconds"] = seconds
        found.update(extra or {})
        found["health"] = concern(found)
        self._before = np.array(labels)
        self.history.append(found)
        return found


def concern(row: Row) -> str:
    """What is wrong after one round, in one sentence; empty when nothing is.

    Examples
    --------
    >>> concern({"used": 1, "largest": 1.0, "n_clusters": 4, "loss": 0.2})
    'all images are in one cluster'
    """
    loss = row.get("loss")
    if loss is not None and not math.isfinite(loss):
        return f"the loss is {loss}"
    if row["n_clusters"] == 1:
        return ""
    if row["used"] <= 1:
        return "all images are in one cluster"
    if row["largest"] > LARGEST_SHARE:
        return f"one cluster holds {row['largest']:.0%} of the images"
    empty = row["n_clusters"] - row["used"]
    if empty > 0:
        return f"{empty} of {row['n_clusters']} clusters {'is' if empty == 1 else 'are'} empty"
    return ""


def summary(history: Sequence[Row], labels: Labels, done: Sequence[str] = ()) -> list[str]:
    """Plain sentences about a whole run: the state at its end, what happened on the way, what was done about it.

    Parameters
    ----------
    history
        Rows as :class:`Watch` makes them.
    labels
        Final clusters, ``(n,)``.
    done
        Sentences of the algorithm about what it did, such as "restarted 2 empty clusters".

    Examples
    --------
    >>> summary([], np.array([0, 0, 1, 1]))
    ['2 clusters, the largest with 50% of the images; nothing is wrong.']
    """
    last = measure(labels)
    words: list[str] = []
    asked = (history[-1].get("n_clusters") or 0) if history else 0
    if asked == 1:
        words.append("All images are in one cluster, as one cluster is what the run aimed at.")
    elif last["used"] <= 1:
        words.append(
            "Collapsed: all images ended in one cluster; ask for more clusters, lower the learning rate, or use other "
            "features."
        )
    elif last["largest"] > LARGEST_SHARE:
        words.append(
            f"Nearly collapsed: one of {last['used']} clusters holds {last['largest']:.0%} of the images; "
            "look at it in the report and ask for more clusters or other features."
        )
    if history:
        if asked > last["used"] > 1:
            words.append(f"{asked - last['used']} of {asked} clusters ended empty; ask for fewer.")
        moved = history[-1].get("changed") or 0.0
        if moved > STILL_MOVING:
            words.append(
                f"Unsettled: {moved:.0%} of the images changed cluster in the last round; more rounds may help."
            )
    passing = [row for row in history[:-1] if row.get("health")]
    if passing:
        where = f"round {passing[0]['round']}" if len(passing) == 1 else f"{len(passing)} rounds"
        words.append(f"On the way, in {where}: {passing[-1]['health']}.")
    words.extend(sentence if sentence.endswith(".") else f"{sentence}." for sentence in done)
    if not words:
        words.append(
            f"{last['used']} clusters, the largest with {last['largest']:.0%} of the images; nothing is wrong."
        )
    return words
