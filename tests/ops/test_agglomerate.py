"""Agglomeration: by hand, against the definitions, its invariances, and the published values on real images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array
from sklearn.metrics import normalized_mutual_info_score
from tests.references import dense_gdl

from kinfold.errors import InputError
from kinfold.metrics import accuracy
from kinfold.ops.affinity import affinity, graph_of
from kinfold.ops.agglomerate import (
    MergeTree,
    agglomerate,
    agglomerate_sized,
    by_size,
    initial_clusters,
    join_isolated,
)
from kinfold.ops.centres import at_centres
from kinfold.ops.knn import neighbours
from kinfold.ops.merge_tree import regrouped

DATA = Path(os.environ.get("KINFOLD_DATA", "nowhere"))


def graph(edges: dict[tuple[int, int], float], n: int) -> csr_array:
    rows, columns = zip(*edges, strict=True)
    return coo_array((list(edges.values()), (rows, columns)), shape=(n, n)).tocsr()


def pairs(affinities: dict[tuple[int, int], float], n: int) -> csr_array:
    """Graph in which these single samples have these affinities."""
    both = {(i, j): np.sqrt(a / 2) for (p, q), a in affinities.items() for i, j in ((p, q), (q, p))}
    return graph(both, n)


def blobs(n: int, seed: int, d: int = 4, k: int = 6, n_neighbors: int = 8) -> tuple[np.ndarray, csr_array, np.ndarray]:
    """Samples, their graph, their initial clusters."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, d)) + 2.5 * rng.normal(size=(k, d))[rng.integers(k, size=n)]).astype(np.float32)
    near = neighbours(x, n_neighbors)
    return x, graph_of(near), initial_clusters(near.index[:, 0])


def same_partition(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_array_equal(a[:, None] == a[None], b[:, None] == b[None])


# --- values by hand ---------------------------------------------------------------------------------------------------

THREE = {(0, 1): 0.8, (1, 0): 0.5, (1, 2): 0.6, (2, 1): 0.4, (0, 2): 0.1, (2, 0): 0.2}


def test_three_samples_by_hand() -> None:
    # A(0, 1) = 2 · .8 · .5 = .8 comes first. Then U({0, 1} -> 2) = .1 · .2 + .6 · .4 = .26, over 1²;
    # U(2 -> {0, 1}) = (.2 + .4) · (.1 + .6) = .42, over 2².
    tree = agglomerate(graph(THREE, 3), np.arange(3), n_local=1)
    np.testing.assert_array_equal(tree.merges, [[0, 1], [2, 3]])
    np.testing.assert_allclose(tree.affinity, [0.8, 0.26 + 0.42 / 4])


def test_without_cross_terms_by_hand() -> None:
    # U(2 -> {0, 1}) loses .2 · .6 + .4 · .1 and is .26 as well.
    tree = agglomerate(graph(THREE, 3), np.arange(3), n_local=1, exact=False)
    np.testing.assert_allclose(tree.affinity, [0.8, 0.26 + 0.26 / 4])


def test_an_affinity_may_begin_with_a_cross_term() -> None:
    # 2 reaches 0 and is reached by 1: nothing is mutual until 0 and 1 are one.
    w = graph({(0, 1): 0.9, (1, 0): 0.9, (2, 0): 0.5, (1, 2): 0.8}, 3)
    exact, fast = agglomerate(w, np.arange(3)), agglomerate(w, np.arange(3), exact=False)
    np.testing.assert_allclose(exact.affinity, [2 * 0.81, 0.5 * 0.8 / 4])
    np.testing.assert_allclose(fast.affinity, [2 * 0.81, 0])


FIVE = {(0, 1): 0.5, (0, 4): 0.45, (1, 4): 0.45, (2, 3): 0.4}


def test_the_local_term_prefers_what_stands_out() -> None:
    # K_c = 2: score(0) = .5 + (.5 - .45) = .55, score(2) = .4 + (.4 - 0) = .8.
    w = pairs(FIVE, 5)
    np.testing.assert_array_equal(agglomerate(w, np.arange(5), n_local=1).merges[0], [0, 1])
    np.testing.assert_array_equal(agglomerate(w, np.arange(5), n_local=2).merges[0], [2, 3])
    # lambda = .1: .505 against .44.
    np.testing.assert_array_equal(agglomerate(w, np.arange(5), n_local=2, weight_local=0.1).merges[0], [0, 1])
    np.testing.assert_array_equal(agglomerate(w, np.arange(5), n_local=2, weight_local=0).merges[0], [0, 1])


def test_the_local_term_goes_out_at_its_threshold() -> None:
    w = pairs(FIVE, 5)
    np.testing.assert_array_equal(agglomerate(w, np.arange(5), n_local=2, local_above=5).merges[0], [0, 1])
    np.testing.assert_array_equal(agglomerate(w, np.arange(5), n_local=2, local_above=4).merges[:2], [[2, 3], [0, 1]])


def test_half_sees_only_lower_positions() -> None:
    # 1 sees 0 alone and scores .5 + .5, more than .4 + .4 of 3. Then 4 sees their union at .45 + .9 / 4, twice.
    tree = agglomerate(pairs(FIVE, 5), np.arange(5), n_local=2, half=True)
    np.testing.assert_array_equal(tree.merges[:3], [[0, 1], [4, 5], [2, 3]])
    np.testing.assert_allclose(tree.affinity[:3], [0.5, 0.675, 0.4])


def test_ties_go_to_the_lower_position() -> None:
    w = pairs({(0, 3): 0.5, (1, 2): 0.5, (1, 3): 0.5}, 4)
    np.testing.assert_array_equal(agglomerate(w, np.arange(4), n_local=1).merges[0], [0, 3])
    np.testing.assert_array_equal(agglomerate(w, np.array([3, 0, 1, 2]), n_local=1).merges[0], [0, 1])


def test_a_sample_s_edge_to_itself_does_not_matter() -> None:
    w = graph(THREE, 3).tolil()
    w.setdiag(1.0)
    np.testing.assert_allclose(agglomerate(csr_array(w), np.arange(3), n_local=1).affinity, [0.8, 0.26 + 0.42 / 4])


# --- against the definitions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("n_local", [1, 5])
@pytest.mark.parametrize("local_above", [0, 10])
def test_the_merges_are_those_of_the_definitions(n_local: int, exact: bool, half: bool, local_above: int) -> None:
    options = {"n_local": n_local, "exact": exact, "half": half, "local_above": local_above}
    for seed in range(2):
        _, w, start = blobs(70, seed)
        expected = dense_gdl.merge(w.toarray(), start, 3, **options)
        tree = agglomerate(w, start, 3, **options)
        n = len(expected.affinity)
        np.testing.assert_allclose(tree.affinity[:n], expected.affinity, rtol=1e-9)
        np.testing.assert_array_equal(tree.affinity[n:], 0)
        same_partition(tree.cut(expected.labels.max() + 1), expected.labels)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(2, 14).flatmap(
        lambda n: st.tuples(
            st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1), st.floats(0.0625, 1)), max_size=4 * n),
            st.lists(st.integers(0, n - 1), min_size=n, max_size=n),
        )
    ),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
)
def test_any_graph_agrees_with_the_definitions(
    drawn: tuple[list[tuple[int, int, float]], list[int]], n_local: int, exact: bool, half: bool
) -> None:
    edges, labels = drawn
    start = np.unique(labels, return_inverse=True)[1]
    n = len(start)
    w = np.zeros((n, n))
    for t, (i, j, weight) in enumerate(edges):
        w[i, j] = weight * (1 + t / 1000) if i != j else 0  # equal weights, and so ties, are for a test of their own
    options = {"n_local": n_local, "exact": exact, "half": half}
    expected = dense_gdl.merge(w, start, 1, **options)
    tree = agglomerate(csr_array(w), start, 1, **options)
    np.testing.assert_allclose(tree.affinity[: len(expected.affinity)], expected.affinity, rtol=1e-6)
    np.testing.assert_array_equal(tree.affinity[len(expected.affinity) :], 0)


# --- properties -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(st.integers(20, 120), st.integers(0, 10_000), st.integers(1, 6))
def test_the_log_is_a_linkage_and_its_cuts_are_nested(n: int, seed: int, n_local: int) -> None:
    x, w, start = blobs(n, seed)
    tree = agglomerate(w, start, n_local=n_local, features=x)
    k = tree.n_start
    assert tree.n_end == 1 and tree.merges.shape == (k - 1, 2) and tree.affinity.shape == (k - 1,)
    np.testing.assert_array_equal(np.sort(tree.merges.ravel()), np.arange(2 * k - 2))  # each node is used once
    assert (tree.merges < k + np.arange(k - 1)[:, None]).all()  # after it was made
    assert (tree.affinity >= 0).all()
    finer = tree.cut(k)
    same_partition(finer, start)
    for n_clusters in range(k - 1, 0, -1):
        labels = tree.cut(n_clusters)
        assert len(np.unique(labels)) == n_clusters
        assert len(np.unique(finer * k + labels)) == n_clusters + 1
        assert (np.diff(np.bincount(labels)) <= 0).all()
        finer = labels


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([1, 5]))
def test_the_order_of_samples_does_not_matter(seed: int, n_local: int) -> None:
    x, w, start = blobs(90, seed)
    order = np.random.default_rng(seed).permutation(90)
    tree = agglomerate(w, start, n_local=n_local, features=x)
    shuffled = agglomerate(w[order][:, order], start[order], n_local=n_local, features=x[order])
    np.testing.assert_allclose(shuffled.affinity, tree.affinity, rtol=1e-9)
    for k in (1, 3, 7, tree.n_start):
        same_partition(shuffled.cut(k), tree.cut(k)[order])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_the_numbers_of_the_initial_clusters_do_not_matter(seed: int) -> None:
    x, w, start = blobs(90, seed)
    tree = agglomerate(w, start, features=x)
    renamed = agglomerate(w, np.random.default_rng(seed).permutation(tree.n_start)[start], features=x)
    for k in (1, 3, 7):
        same_partition(renamed.cut(k), tree.cut(k))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_the_scale_of_the_weights_does_not_matter(seed: int, scale: float) -> None:
    x, w, start = blobs(90, seed)
    tree, scaled = agglomerate(w, start, n_local=1, features=x), agglomerate(w * scale, start, n_local=1, features=x)
    np.testing.assert_allclose(scaled.affinity, tree.affinity * scale**2, rtol=1e-9)
    np.testing.assert_array_equal(scaled.merges, tree.merges)


def test_stopping_earlier_gives_the_beginning_of_the_log() -> None:
    x, w, start = blobs(200, 0)
    whole, part = agglomerate(w, start, features=x), agglomerate(w, start, 9, features=x)
    assert part.n_end == 9
    np.testing.assert_array_equal(part.merges, whole.merges[: len(part.merges)])
    np.testing.assert_array_equal(part.cut(12), whole.cut(12))


def test_merging_in_slices_equals_merging_at_once() -> None:
    # JULE goes on from a partition with tables made anew: the updates must have lost nothing.
    x, w, start = blobs(200, 1)
    middle = agglomerate(w, start, 20, features=x).cut(20)
    same_partition(agglomerate(w, middle, 5, features=x).cut(5), agglomerate(w, start, 5, features=x).cut(5))


def test_the_inputs_are_left_alone_and_the_types_are_free() -> None:
    x, w, start = blobs(100, 3)
    kept = [w.data.copy(), w.indices.copy(), start.copy(), x.copy()]
    tree = agglomerate(w, start, features=x)
    for now, before in zip([w.data, w.indices, start, x], kept, strict=True):
        np.testing.assert_array_equal(now, before)
    again = agglomerate(w.tocoo().astype(np.float32), start.astype(np.int32), features=x.astype(np.float64))
    np.testing.assert_array_equal(again.merges, tree.merges)


def test_more_clusters_than_there_are_is_no_merge() -> None:
    tree = agglomerate(pairs(FIVE, 5), np.arange(5), 9)
    assert len(tree.merges) == 0 and tree.n_end == 5


def test_one_sample() -> None:
    tree = agglomerate(csr_array((1, 1)), np.array([0]))
    np.testing.assert_array_equal(tree.cut(1), [0])


# --- where the graph ends ---------------------------------------------------------------------------------------------


def test_groups_without_edges_join_by_centres() -> None:
    x = np.array([[0.0], [1.0], [10.0], [11.0], [2.5]])
    w = pairs({(0, 1): 0.5, (2, 3): 0.4}, 5)
    tree = agglomerate(w, np.arange(5), features=x)
    np.testing.assert_allclose(tree.affinity, [0.5, 0.4, 0, 0])
    np.testing.assert_array_equal(tree.cut(2), [0, 0, 1, 1, 0])


def test_groups_without_edges_and_features_join_by_size() -> None:
    start = np.repeat([0, 1, 2], [5, 1, 3])
    np.testing.assert_array_equal(agglomerate(csr_array((9, 9)), start).merges, [[1, 2], [0, 3]])


# --- isolated clusters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_isolated_clusters_join_the_nearest(seed: int) -> None:
    x, w, start = with_strays(seed)
    k = start.max() + 1
    member = np.eye(k)[start]
    dense = w.toarray()
    flow = ((dense @ member) * (dense.T @ member)).T @ member  # U(i -> j), both ways round
    np.fill_diagonal(flow, 0)
    alone = (flow.sum(axis=0) == 0) & (flow.sum(axis=1) == 0)
    assert 0 < alone.sum() < k
    centre = np.stack([x[start == c].mean(axis=0) for c in range(k)])
    far = ((centre[:, None] - centre[None]) ** 2).sum(axis=-1)
    np.fill_diagonal(far, np.inf)
    label = np.arange(k)
    for c in np.flatnonzero(alone):
        label[label == label[c]] = label[far[c].argmin()]
    same_partition(join_isolated(w, start, x), label[start])


def test_nobody_isolated_or_nobody_else() -> None:
    x, w, start = blobs(60, seed=0)
    together = np.zeros(60, dtype=np.int64)
    np.testing.assert_array_equal(join_isolated(w, together, x), together)
    np.testing.assert_array_equal(join_isolated(graph_of(neighbours(x, 59)), start, x), start)


# --- clusters of a size -----------------------------------------------------------------------------------------------


def with_strays(seed: int) -> tuple[np.ndarray, csr_array, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = 4 * rng.normal(size=(8, 4))
    x = np.concatenate([rng.normal(size=(300, 4)) + centres[rng.integers(8, size=300)], 20 * rng.normal(size=(30, 4))])
    near = neighbours(x, 8)
    return x, graph_of(near), initial_clusters(near.index[:, 0])


@pytest.mark.parametrize("seed", range(4))
def test_strays_do_not_take_up_clusters(seed: int) -> None:
    x, w, start = with_strays(seed)
    plain = agglomerate(w, start, features=x)
    tree = agglomerate_sized(w, start, 8, smallest=10, features=x)
    assert np.bincount(plain.cut(8)).min() < 10
    assert np.bincount(tree.cut(8)).min() >= 10
    # By hand, from the plain tree: the fewest clusters with eight large ones, the others to the nearest centre.
    k = next(k for k in range(8, plain.n_start) if (np.bincount(plain.cut(k)) >= 10).sum() >= 8)
    labels = plain.cut(k)
    np.testing.assert_array_equal(tree.cut(k), labels)
    centres = np.stack([x[labels == c].mean(axis=0) for c in range(k)])
    to = np.arange(k)
    to[8:] = ((centres[8:, None] - centres[None, :8]) ** 2).sum(axis=-1).argmin(axis=1)
    same_partition(tree.cut(8), to[labels])


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 40))
def test_a_sized_tree_is_one_log(seed: int, n_clusters: int, smallest: int) -> None:
    x, w, start = with_strays(seed)
    one_log(agglomerate_sized(w, start, n_clusters, smallest=smallest, features=x))


def one_log(tree: MergeTree) -> None:
    """Every node is merged once, after it came to be, down to one; its cuts are nested."""
    k = tree.n_start
    np.testing.assert_array_equal(np.sort(tree.merges.ravel()), np.arange(2 * k - 2))
    assert (tree.merges < k + np.arange(k - 1)[:, None]).all()
    np.testing.assert_array_equal(tree.merges, np.sort(tree.merges, axis=1))
    assert len(tree.affinity) == k - 1
    finer = tree.start
    for level in range(k, 0, -1):
        labels = tree.cut(level)
        assert len(np.unique(finer * k + labels)) == len(np.unique(finer))
        finer = labels


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_after_a_move_to_the_centres_it_is_still_one_log(seed: int, n_clusters: int) -> None:
    x, w, start = blobs(150, seed)
    tree = agglomerate(w, start, features=x)
    n_clusters = min(n_clusters, tree.n_start)
    labels = at_centres(x, tree.cut(n_clusters))
    moved = regrouped(tree, labels, lambda groups: agglomerate(w, groups, features=x))
    one_log(moved)
    same_partition(moved.cut(n_clusters), labels)
    same_partition(moved.cut(1 + n_clusters // 2), agglomerate(w, labels, features=x).cut(1 + n_clusters // 2))


def test_below_the_level_it_goes_by_affinity_again() -> None:
    x, w, start = with_strays(0)
    tree = agglomerate_sized(w, start, 8, smallest=10, features=x)
    rest = agglomerate(w, tree.cut(8), features=x)
    assert tree.affinity[-7:].max() > 0
    np.testing.assert_allclose(tree.affinity[-7:], rest.affinity)
    for k in range(1, 8):
        same_partition(tree.cut(k), rest.cut(k))


def test_the_plain_tree_where_sizes_change_nothing() -> None:
    x, w, start = with_strays(1)
    plain = agglomerate(w, start, features=x)
    for n_clusters, smallest in ((8, 1), (8, 200), (10**6, 3)):
        tree = agglomerate_sized(w, start, n_clusters, smallest=smallest, features=x)
        np.testing.assert_array_equal(tree.merges, plain.merges)


# --- initial clusters -------------------------------------------------------------------------------------------------


def test_chains_are_followed_to_their_end() -> None:
    np.testing.assert_array_equal(initial_clusters(np.array([1, 2, 1, 2, 5, 4])), [0, 0, 0, 0, 1, 1])


def test_an_index_out_of_range_is_refused() -> None:
    with pytest.raises(InputError, match="nearest holds -1 to 2; expected indices of 3 samples"):
        initial_clusters(np.array([1, -1, 2]))


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"graph": csr_array((4, 4))}, r"graph has shape \(4, 4\) and start has 3 labels"),
        ({"start": np.array([0, 2, 2])}, "without a gap"),
        ({"start": np.array([0, -1, 1])}, "without a gap"),
        ({"graph": csr_array((0, 0)), "start": np.empty(0, dtype=int)}, "without a gap"),
        ({"graph": csr_array(-np.ones((3, 3)))}, "graph holds the weight -1.0"),
        ({"graph": csr_array(np.full((3, 3), np.nan))}, "graph holds the weight nan"),
        ({"n_clusters": 0}, "n_clusters is 0"),
        ({"n_local": 0}, "n_local is 0"),
        ({"weight_local": -1.0}, "weight_local is -1.0"),
        ({"features": np.zeros((4, 2))}, r"features has shape \(4, 2\) and start has 3 labels"),
        ({"features": np.zeros(3)}, r"features has shape \(3,\)"),
    ],
)
def test_what_does_not_fit_is_said(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        agglomerate(**{"graph": csr_array((3, 3)), "start": np.arange(3), **change})


# --- published values -------------------------------------------------------------------------------------------------


def unit(images: np.ndarray, centred: bool) -> np.ndarray:
    x = images.reshape(len(images), -1).astype(np.float32)
    x -= x.mean(axis=0) if centred else np.float32(0)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("file", "rows", "centred", "nmi", "acc"),
    [("cmu_pie", slice(None), False, 0.934, 0.842), ("mnist", slice(60_000, None), True, 0.864, 0.933)],
    ids=["CMU-PIE", "MNIST-test"],
)
def test_plain_linkage_gives_the_published_values(
    file: str, rows: slice, centred: bool, nmi: float, acc: float
) -> None:
    path = DATA / f"{file}.npz"
    if not path.is_file():
        pytest.skip(f"KINFOLD_DATA has no {file}.npz")
    with np.load(path) as held:
        images, truth = held["images"][rows], held["labels"][rows]
    x = unit(images, centred)
    near = neighbours(x, 20)
    k = len(np.unique(truth))
    labels = agglomerate(graph_of(near), initial_clusters(near.index[:, 0]), k, n_local=1, features=x).cut(k)
    assert abs(normalized_mutual_info_score(truth, labels, average_method="geometric") - nmi) < 0.002
    assert abs(accuracy(truth, labels) - acc) < 0.002


def test_the_public_names() -> None:
    tree = agglomerate(affinity(np.arange(6.0)[:, None], 2), np.arange(6))
    assert isinstance(tree, MergeTree)
    np.testing.assert_array_equal(by_size(tree.start), np.arange(6))
