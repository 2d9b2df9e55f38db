"""Entropies, divergences, priors, and the verdict that needs no label."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.references import information as plain
from tests.references.agreement import agree

from kinfold.errors import InputError
from kinfold.ops import information as info


def rows(n: int, k: int, seed: int, *, sharp: float = 2.0) -> torch.Tensor:
    logits = sharp * torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return logits.requires_grad_()


def test_entropies_by_hand() -> None:
    # Two decided images in two of four clusters, two undecided between the other two.
    p = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0.5, 0.5], [0, 0, 0.5, 0.5]])
    torch.testing.assert_close(info.conditional_entropy(p), torch.tensor(math.log(2) / 2))
    torch.testing.assert_close(info.marginal_entropy(p), torch.tensor(math.log(4)))
    torch.testing.assert_close(info.mutual_information(p), torch.tensor(1.5 * math.log(2)))
    # KL of (1, 0) from (1/4, 3/4), log 4, and of (1/2, 1/2) from itself, 0.
    target, q = torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    torch.testing.assert_close(info.kl(target, q), torch.tensor(math.log(4) / 2))
    torch.testing.assert_close(info.kl_to_prior(target[0], q[0].flip(0)), torch.tensor(math.log(4 / 3)))


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 6), k=st.integers(1, 5), seed=st.integers(0, 999))
def test_values_and_gradients_equal_the_loops(n: int, k: int, seed: int) -> None:
    for ours, theirs in (
        (info.marginal_entropy, plain.marginal_entropy),
        (info.conditional_entropy, plain.conditional_entropy),
    ):
        x, z = rows(n, k, seed), rows(n, k, seed)
        one, two = ours(x.softmax(1)), theirs(z.softmax(1), info.EPS)
        agree(one, two, (x, z))
    target = rows(n, k, seed + 1).softmax(1)
    x, z = rows(n, k, seed), rows(n, k, seed)
    one, two = info.kl(target, x.softmax(1)), plain.kl(target.detach(), z.softmax(1), info.EPS)
    agree(one, two, (x, z))


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 30), k=st.integers(2, 12), seed=st.integers(0, 999), sharp=st.sampled_from([0.1, 2.0, 30.0]))
def test_information_lies_between_nought_and_log_k(n: int, k: int, seed: int, sharp: float) -> None:
    p = rows(n, k, seed, sharp=sharp).softmax(1).detach()
    assert -1e-6 <= float(info.mutual_information(p)) <= math.log(k) + 1e-6
    q = rows(n, k, seed + 1).softmax(1).detach()
    assert float(info.kl(p, q)) > -1e-6
    permuted = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(info.mutual_information(p[:, permuted]), info.mutual_information(p))


@settings(max_examples=20, deadline=None)
@given(k=st.integers(2, 5), seed=st.integers(0, 999))
def test_the_prior_is_matched_as_well_as_can_be(k: int, seed: int) -> None:
    shares, prior = rows(1, k, seed).softmax(1)[0].detach(), rows(1, k, seed + 1).softmax(1)[0].detach()
    ours = info.kl_to_prior(shares, prior.sort(descending=True).values)
    best = min(float(info.divergence(shares, prior[list(order)])) for order in permutations(range(k)))
    np.testing.assert_allclose(float(ours), best, atol=1e-9)


def test_a_running_marginal_has_the_gradient_of_the_batch() -> None:
    before = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    x = rows(5, 3, 0)
    p = x.softmax(1)
    running = info.marginal(p, before, rate=0.1)
    torch.testing.assert_close(running, 0.9 * before + 0.1 * p.mean(0))
    (whole,) = torch.autograd.grad(running @ before, x, retain_graph=True)
    (batch,) = torch.autograd.grad(p.mean(0) @ before, x)
    torch.testing.assert_close(whole, batch)
    torch.testing.assert_close(info.marginal(p), p.mean(0))


def test_the_divergence_from_equal_shares_is_the_missing_entropy() -> None:
    p = rows(20, 6, 3).softmax(1)
    equal = info.as_prior(None, 6)
    torch.testing.assert_close(
        info.kl_to_prior(p.mean(0), equal), math.log(6) - info.marginal_entropy(p), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(("prior", "says"), [
    ([0.5, 0.6], "prior sums to 1.1; expected one"),
    ([0.5, 0.25, 0.25], "one share for each of 2 clusters"),
    ([1.0, 0.0], "prior has a share of 0; expected positive"),
    ([0.5, float("nan")], "expected positive numbers"),
])  # fmt: skip
def test_a_prior_that_is_none(prior: list[float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        info.as_prior(prior, 2)


def test_verdicts() -> None:
    ten = math.log(10)
    assert info.verdict(ten, ten - 0.01, 10) == "dead"
    assert info.verdict(0.0, 0.0, 10) == "collapsed"
    assert info.verdict(math.log(2), 0.0, 10) == "collapsed"
    assert info.verdict(ten, 0.3, 10) == "well"
    # Stated unequal shares ask for less entropy.
    skewed = float(info.entropy(torch.tensor([0.9, 0.05, 0.05])))
    assert info.verdict(skewed, 0.0, 3) == "collapsed"
    assert info.verdict(skewed, 0.0, 3, expected=skewed) == "well"
    assert info.verdict(0.0, 0.0, 1) == "well"


def test_used_clusters() -> None:
    labels = np.array([0] * 90 + [1] * 9 + [3])
    assert info.used_clusters(labels, 4) == 3
    assert info.used_clusters(labels, 4, smallest=0.1) == 2
