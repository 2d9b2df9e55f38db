"""The joint table and its information."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score
from tests.references import joint_information

from kinfold.ops.joint import coarsened, joint_table, table_information


def answers(b: int, s: int, k: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(b, s, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).softmax(2)


def test_two_pairs_by_hand() -> None:
    first = torch.tensor([[[1.0, 0.0]], [[0.5, 0.5]]])
    second = torch.tensor([[[0.5, 0.5]], [[0.0, 1.0]]])
    # Pairs give (.5 .5; 0 0) and (0 .5; 0 .5); their symmetric mean is (.25 .25; .25 .25).
    torch.testing.assert_close(joint_table(first, second)[0], torch.tensor([[0.25, 0.25], [0.25, 0.25]]))
    # Rows .6 and .4: .5 log(.5/.36) + .2 log(.1/.24) + .3 log(.3/.16)
    table = torch.tensor([[[0.5, 0.1], [0.1, 0.3]]])
    by_hand = 0.5 * math.log(0.5 / 0.36) + 0.2 * math.log(0.1 / 0.24) + 0.3 * math.log(0.3 / 0.16)
    assert float(table_information(table)) == pytest.approx(by_hand, abs=1e-6)


@pytest.mark.parametrize("marginal_weight", [1.0, 1.5])
def test_value_and_gradient_are_the_plain_ones(marginal_weight: float) -> None:
    logits = [torch.randn(9, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
    ours, plain = ([x.clone().requires_grad_() for x in logits] for _ in range(2))
    table = joint_table(ours[0].softmax(2), ours[1].softmax(2))
    value = -table_information(table, marginal_weight=marginal_weight).mean()
    expected = joint_information.loss(plain[0].softmax(2), plain[1].softmax(2), marginal_weight)
    torch.testing.assert_close(value, expected)
    value.backward()
    expected.backward()
    for one, two in zip(ours, plain, strict=True):
        torch.testing.assert_close(one.grad, two.grad)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 20), st.integers(1, 3), st.integers(1, 6), st.integers(0, 1000))
def test_a_table_is_a_distribution_and_its_information_is_bounded(b: int, s: int, k: int, seed: int) -> None:
    table = joint_table(answers(b, s, k, seed), answers(b, s, k, seed + 1))
    assert table.shape == (s, k, k)
    torch.testing.assert_close(table.sum((1, 2)), torch.ones(s, dtype=torch.float64))
    torch.testing.assert_close(table, table.transpose(1, 2))
    found = table_information(table)
    assert bool((found >= -1e-12).all()) and bool((found <= math.log(k) + 1e-12).all())


def test_certain_answers_have_the_information_of_labels() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, size=200)
    z = np.where(rng.random(200) < 0.7, y, rng.integers(0, 4, size=200))
    hot = [torch.eye(4, dtype=torch.float64)[torch.from_numpy(np.r_[a, b])][:, None] for a, b in ((y, z), (z, y))]
    assert float(table_information(joint_table(*hot))) == pytest.approx(mutual_info_score(np.r_[y, z], np.r_[z, y]))


def test_renaming_clusters_changes_nothing() -> None:
    first, second = answers(12, 2, 5), answers(12, 2, 5, 1)
    order = torch.randperm(5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        table_information(joint_table(first, second)),
        table_information(joint_table(first[:, :, order], second[:, :, order])),
    )


def test_the_mean_of_several_second_views_stands_for_all_pairs() -> None:
    first, seconds = answers(10, 2, 4), [answers(10, 2, 4, seed) for seed in (1, 2, 3)]
    pairs = joint_table(first.repeat(3, 1, 1), torch.cat(seconds))
    torch.testing.assert_close(joint_table(first, torch.stack(seconds).mean(0)), pairs)


def test_under_autocast_it_is_computed_in_float32() -> None:
    first, second = answers(40, 1, 50).float(), answers(40, 1, 50, 1).float()
    plain = table_information(joint_table(first, second))
    with torch.autocast("cpu", torch.bfloat16):
        found = table_information(joint_table(first, second))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, plain, rtol=0, atol=0)


def test_empty_cells_give_numbers() -> None:
    sure = torch.zeros(6, 1, 3)
    sure[:, :, 0] = 1.0
    sure.requires_grad_()
    value = table_information(joint_table(sure, sure)).sum()
    value.backward()
    assert float(value.detach()) == pytest.approx(0, abs=1e-6)
    assert sure.grad is not None and bool(torch.isfinite(sure.grad).all())


def information(p: torch.Tensor, to: torch.Tensor) -> float:
    one_hot = torch.eye(int(to.max()) + 1, dtype=torch.float64)[to]
    return float(table_information((one_hot.T @ p @ one_hot)[None])[0])


def joined_one_by_one(p: torch.Tensor, n_clusters: int) -> torch.Tensor:
    """Try every pair, keep the best, again and again: what `coarsened` does without looking twice."""
    to = torch.arange(len(p))
    while int(to.max()) + 1 > n_clusters:
        k = int(to.max()) + 1
        tried = {}
        for keep in range(k):
            for gone in range(keep + 1, k):
                after = torch.where(to == gone, keep, to)
                tried[keep, gone] = torch.where(after > gone, after - 1, after)
        to = max(tried.values(), key=lambda each: information(p, each))
    return to


@settings(deadline=None, max_examples=10)
@given(st.integers(2, 7), st.integers(1, 7), st.integers(0, 1000))
def test_each_join_costs_the_least_information(k: int, n_clusters: int, seed: int) -> None:
    sharp = torch.randn(30, 1, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    noisy = sharp + 0.5 * torch.randn(30, 1, k, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    p = joint_table((3 * sharp).softmax(2), (3 * noisy).softmax(2))[0]
    kept = p.clone()
    found = coarsened(p, min(n_clusters, k))
    torch.testing.assert_close(p, kept, rtol=0, atol=0)
    assert torch.equal(found, joined_one_by_one(p, min(n_clusters, k)))


def test_an_overclustering_is_joined_into_its_blocks() -> None:
    """Nine clusters of three blocks: inside a block images wander between clusters, across blocks they do not."""
    block = torch.arange(9) % 3
    p = torch.where(block[:, None] == block[None], 1.0, 0.01).double()
    p = p / p.sum()
    found = coarsened(p, 3)
    assert len(torch.unique(found)) == 3
    assert torch.equal(found[:, None] == found[None], block[:, None] == block[None])
    torch.testing.assert_close(coarsened(p, 9), torch.arange(9))
