from __future__ import annotations

import pytest

from kinfold.benchmark import published
from kinfold.benchmark.datasets import SETS

PAPER = [("umist", 0.877), ("coil20", 1.0), ("coil100", 0.985), ("usps", 0.913), ("mnist-test", 0.915)]
PAPER += [("mnist-full", 0.913), ("cmu-pie", 1.0)]


@pytest.mark.parametrize(("name", "nmi"), PAPER)
def test_the_quoted_table(name: str, nmi: float) -> None:
    found = published.figure(name)
    assert found is not None
    assert found.nmi == nmi


def test_every_figure_has_a_source_and_lies_in_range() -> None:
    for figure in published.FIGURES:
        assert figure.source
        assert figure.dataset in SETS
        for value in (figure.nmi, figure.acc, figure.ari):
            assert value is None or 0 < value <= 1


def test_a_recalled_figure_is_never_given_as_published() -> None:
    recalled = {(f.dataset, f.method, v) for f in published.FIGURES if f.status == "recalled" for v in (f.nmi, f.acc)}
    for figure in published.FIGURES:
        assert (figure.source == published.RECALLED) == (figure.status == "recalled")
        if figure.status == "published":
            for value in (figure.nmi, figure.acc):
                assert value is None or (figure.dataset, figure.method, value) not in recalled
    assert published.figure("frgc", "JULE-SF") is None


def test_a_method_has_one_published_figure_a_set() -> None:
    keys = [(f.dataset, f.method) for f in published.FIGURES if f.status == "published"]
    assert len(keys) == len(set(keys))
