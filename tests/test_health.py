"""The watch measures by hand-checked rules and speaks plainly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kinfold.health import Watch, changed, concern, measure, summary

LABELS = hnp.arrays(np.int64, st.integers(1, 20), elements=st.integers(0, 5))


def test_change_by_hand() -> None:
    old = np.array([0, 0, 0, 1, 1, 2])
    assert changed(old, np.array([7, 7, 7, 3, 3, 5])) == 0.0  # renamed
    assert changed(old, np.array([0, 0, 0, 0, 0, 2])) == 0.0  # merged
    assert changed(old, np.array([0, 0, 9, 1, 1, 2])) == pytest.approx(1 / 6)  # split
    assert changed(old, np.array([0, 0])) == 1.0


@given(LABELS, st.permutations(range(6)))
def test_new_names_change_nothing(labels: np.ndarray, names: list[int]) -> None:
    assert changed(labels, np.array(names)[labels]) == 0.0
    renamed = measure(np.array(names)[labels])
    np.testing.assert_allclose([renamed[key] for key in renamed], [measure(labels)[key] for key in renamed])


@given(LABELS)
def test_measures_stay_in_their_range(labels: np.ndarray) -> None:
    found = measure(labels)
    assert 1 <= found["used"] <= len(labels)
    assert 0 < found["largest"] <= 1
    assert -1e-9 <= found["entropy"] <= 1 + 1e-9


def test_a_row_of_the_history() -> None:
    history: list[dict[str, object]] = []
    watch = Watch(history, np.array([0, 0, 1, 1]))
    row = watch.row(1, 0.25, 2, np.array([0, 1, 1, 1]), seconds=2.0, extra={"nmi": 0.5})
    assert history == [row]
    assert {key: row[key] for key in ("round", "loss", "used", "largest", "changed", "nmi", "health")} == {
        "round": 1, "loss": 0.25, "used": 2, "largest": 0.75, "changed": 0.25, "nmi": 0.5, "health": "",
    }  # fmt: skip
    assert watch.row(2, None, 2, np.array([0, 1, 1, 1]), seconds=2.0)["changed"] == 0.0


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"loss": math.nan}, "the loss is nan"),
        ({"used": 1, "largest": 1.0}, "all images are in one cluster"),
        ({"used": 1, "largest": 1.0, "n_clusters": 1}, ""),
        ({"largest": 0.95}, "one cluster holds 95% of the images"),
        ({"used": 3}, "1 of 4 clusters is empty"),
        ({"used": 2}, "2 of 4 clusters are empty"),
        ({}, ""),
    ],
)
def test_concerns(row: dict[str, float], words: str) -> None:
    assert concern({"loss": 0.1, "used": 4, "largest": 0.3, "n_clusters": 4, **row}) == words


def final(**values: object) -> dict[str, object]:
    return {"round": 1, "n_clusters": 4, "changed": 0.0, "health": "", **values}


def test_a_collapse_is_told_first() -> None:
    words = summary([final()], np.zeros(10, dtype=np.int64))
    assert words[0].startswith("Collapsed: all images ended in one cluster")


def test_one_cluster_that_was_wanted_is_no_collapse() -> None:
    assert summary([final(n_clusters=1)], np.zeros(10, dtype=np.int64)) == [
        "All images are in one cluster, as one cluster is what the run aimed at."
    ]


def test_a_near_collapse_empty_clusters_and_unrest_are_told() -> None:
    words = summary([final(changed=0.4)], np.array([0] * 95 + [1] * 5))
    assert [sentence.split()[0] for sentence in words] == ["Nearly", "2", "Unsettled:"]


def test_passing_trouble_and_what_was_done_are_told() -> None:
    labels = np.array([0, 1, 2, 3])
    history = [final(health="2 of 4 clusters are empty"), final(round=2)]
    words = summary(history, labels, ["round 2: restarted 2 empty clusters"])
    assert words == ["On the way, in round 1: 2 of 4 clusters are empty.", "round 2: restarted 2 empty clusters."]
    assert summary([final(health="x"), final(health="x"), final()], labels) == ["On the way, in 2 rounds: x."]


def test_a_sound_run_is_told_too() -> None:
    assert summary([final()], np.array([0, 1, 2, 3])) == [
        "4 clusters, the largest with 25% of the images; nothing is wrong."
    ]
