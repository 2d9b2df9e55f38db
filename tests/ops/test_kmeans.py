"""k-means: its two steps against a plain restatement, its forms, and that nothing depends on where the rows are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.references.lloyd import e_step
from tests.references.threads import together

from kinfold.errors import InputError
from kinfold.ops import kmeans as module
from kinfold.ops.kmeans import Codebook, Sums, kmeans, m_step, split_empty
from kinfold.ops.source import Parts


def blobs(n: int = 600, d: int = 5, k: int = 4, seed: int = 0, spread: float = 0.1) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    y = rng.integers(k, size=n)
    x = rng.normal(size=(k, d))[y] + spread * rng.normal(size=(n, d))
    return x.astype(np.float32), y


def same_partition(a: Any, b: Any) -> bool:
    pairs = set(zip(a.tolist(), b.tolist(), strict=True))
    return len(pairs) == len(set(a.tolist())) == len(set(b.tolist()))


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_two_steps_by_hand() -> None:
    x = np.array([[0.0], [1.0], [5.0], [7.0]], dtype=np.float32)
    book = Codebook(np.array([[0.0], [4.0]], dtype=np.float32))
    sums = book.e_step(x)
    np.testing.assert_array_equal(sums.counts, [2, 2])
    np.testing.assert_array_equal(sums.sums, [[1], [12]])
    assert sums.inertia == 0 + 1 + 1 + 9
    following, split = m_step(book, sums, np.random.default_rng(0))
    np.testing.assert_array_equal(following.centres, [[0.5], [6.0]])
    assert split == 0


def test_a_gain_may_be_negative() -> None:
    book = Codebook(np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32), "gain-shape")
    x = np.array([[-3.0, 1.0], [2.0, 0.0], [0.0, -2.0]], dtype=np.float32)
    sums = book.e_step(x)
    np.testing.assert_array_equal(book.assign(x), [0, 0, 1])
    # -3 (-3, 1) + 2 (2, 0), and -2 (0, -2)
    np.testing.assert_array_equal(sums.sums, [[13, -3], [0, 4]])
    assert sums.inertia == 1.0


def test_an_empty_cluster_takes_half_of_another() -> None:
    centres, counts = np.array([[1.0, -1.0], [9.0, 9.0], [8.0, 8.0]]), np.array([7.0, 0.0, 1.0])
    assert split_empty(centres, counts, np.random.default_rng(0)) == {1: 0}
    np.testing.assert_array_equal(counts, [4, 3, 1])
    np.testing.assert_allclose(centres[:2].mean(axis=0), [1, -1])
    assert (centres[0] != centres[1]).all()


def test_a_centre_at_zero_can_be_split() -> None:
    centres, counts = np.zeros((2, 2)), np.array([4.0, 0.0])
    split_empty(centres, counts, np.random.default_rng(0), spread=1.0)
    assert np.abs(centres[0] - centres[1]).min() > 1e-4


# -- against the restatement -------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(3, 40), d=st.integers(1, 6), k=st.integers(1, 3), block=st.integers(1, 50), seed=st.integers(0, 99)
)
def test_the_e_step_is_that_of_the_loops(n: int, d: int, k: int, block: int, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    labels = np.zeros(n, dtype=np.int64)
    sums = Codebook(x[:k].copy()).e_step(Parts([x], block=block), labels=labels)
    theirs, counts, total, inertia = e_step(x, x[:k])
    np.testing.assert_array_equal(labels, theirs)
    np.testing.assert_array_equal(sums.counts, counts)
    np.testing.assert_allclose(sums.sums, total, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(sums.inertia, inertia, rtol=1e-9, atol=1e-12)


def test_sums_add_up() -> None:
    x, _ = blobs()
    book = Codebook(x[:4].copy())
    whole, parts = book.e_step(x), book.e_step(x[:100]) + book.e_step(x[100:])
    np.testing.assert_allclose(parts.sums, whole.sums, rtol=1e-12)
    np.testing.assert_array_equal(parts.counts, whole.counts)
    assert abs(parts.inertia / whole.inertia - 1) < 1e-12
    assert Sums.none((2, 3)).sums.shape == (2, 3)


def test_sums_keep_their_digits() -> None:
    """Ten thousand equal rows far from zero: float32 sums would be off in the fifth digit."""
    x = np.full((100_000, 1), 1000.1, dtype=np.float32)
    sums = Codebook(np.array([[1000.0]], dtype=np.float32)).e_step(x)
    np.testing.assert_allclose(sums.sums[0, 0] / 100_000, np.float64(np.float32(1000.1)), rtol=1e-12)


# -- properties --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["euclidean", "spherical"])
@pytest.mark.parametrize("start", ["k-means++", "random"])
def test_blobs_are_found(form: Any, start: str) -> None:
    x, y = blobs()
    found = kmeans(x, 4, form=form, start=start, n_starts=8)
    assert same_partition(found.labels, y)
    np.testing.assert_array_equal(np.bincount(found.labels), found.counts)
    np.testing.assert_array_equal(found.book.assign(x), found.labels)
    if form == "spherical":
        np.testing.assert_allclose(np.linalg.norm(found.centres, axis=1), 1, rtol=1e-5)


def test_steps_never_lose() -> None:
    x, _ = blobs(spread=1.0)
    history = kmeans(x, 8, growing=False, start="random").history
    assert (np.diff(history) <= 1e-9).all()


def test_a_length_does_not_matter_to_directions() -> None:
    x, _ = blobs(spread=0.5)
    scaled = x * np.random.default_rng(1).uniform(0.5, 2, size=(len(x), 1)).astype(np.float32)
    one, two = (kmeans(each, 5, form="spherical") for each in (x, scaled))
    assert (one.labels == two.labels).mean() > 0.99


def test_gain_shape_finds_lines() -> None:
    rng = np.random.default_rng(0)
    atoms = np.eye(3)
    y = rng.integers(3, size=500)
    x = atoms[y] * rng.choice([-1, 1], 500)[:, None] * rng.uniform(1, 2, 500)[:, None]
    found = kmeans(x + 0.05 * rng.normal(size=x.shape), 3, form="gain-shape", n_starts=4)
    assert same_partition(found.labels, y)


def test_a_penalty_evens_the_sizes() -> None:
    x = np.random.default_rng(0).laplace(size=(1500, 3)).astype(np.float32)  # a dense middle, a thin rim
    free, even = kmeans(x, 6, seed=1), kmeans(x, 6, seed=1, balanced=True, n_iterations=20)
    assert even.counts.max() / even.counts.min() < 1.2 < 2 < free.counts.max() / free.counts.min()
    assert even.book.penalty is not None
    np.testing.assert_array_equal(even.book.assign(x), even.labels)


def test_fewer_distinct_rows_than_clusters() -> None:
    x = np.repeat(np.eye(3, dtype=np.float32), 5, axis=0)
    found = kmeans(x, 6)
    assert found.inertia < 1e-3
    assert np.isfinite(found.centres).all()
    assert found.counts.sum() == 15


def test_no_cluster_stays_empty_without_reason() -> None:
    """All first centres on one spot: all but one of them die, and are revived."""
    x, _ = blobs(400, spread=0.5)
    found = kmeans(x, 6, start=np.repeat(x[:1], 6, axis=0), n_iterations=30)
    assert found.n_split > 0
    assert found.counts.min() > 0


# -- invariances -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["euclidean", "spherical", "gain-shape"])
def test_memory_files_shards_and_processes_agree(form: Any, tmp_path: Path) -> None:
    x, _ = blobs(900, spread=0.5)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    one = kmeans(x, 5, form=form)
    others = [kmeans(source, 5, form=form) for source in (mapped, [x[:500], mapped[500:]], Parts([x], block=37))]
    others += together(lambda run: kmeans(Parts([x], block=37), 5, form=form, run=run))
    for two in others:
        np.testing.assert_array_equal(two.labels, one.labels)
        np.testing.assert_allclose(two.centres, one.centres, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(two.inertia, one.inertia, rtol=1e-6)


def test_a_seed_repeats() -> None:
    x, _ = blobs(spread=1.0)
    one, two = kmeans(x, 7, seed=3), kmeans(x, 7, seed=3)
    np.testing.assert_array_equal(one.centres, two.centres)


def test_labels_go_into_a_file(tmp_path: Path) -> None:
    x, _ = blobs(100)
    out = np.lib.format.open_memmap(tmp_path / "labels.npy", mode="w+", dtype=np.int32, shape=(100,))
    book = Codebook(x[:4].copy())
    book.assign(Parts([x], block=9), out=out)
    np.testing.assert_array_equal(out, book.assign(x))


def test_sizes_grow_and_all_rows_are_labelled() -> None:
    x, _ = blobs(3000)
    found = kmeans(x, 4, most=200)
    assert len(found.labels) == 3000
    assert module._sizes(800, 3000, 5, 128) == [128, 256, 512, 800]
    assert module._sizes(10**9, 10**9, 64, 2**20) == [2**20, 2**21, 10**9]  # half a gigabyte, then the files


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wrong", "says"), [
    ({"n_clusters": 0}, "n_clusters is 0"),
    ({"n_clusters": 11}, "ask for fewer"),
    ({"n_clusters": 2.5}, "n_clusters is 2.5 and there are 10 vectors; expected a whole number"),
    ({"form": "cosine"}, "form is 'cosine'"),
    ({"start": "best"}, "start is 'best'"),
    ({"start": np.zeros((2, 9))}, "start has shape"),
    ({"form": "gain-shape", "balanced": True}, "balanced goes with"),
])  # fmt: skip
def test_wrong_choices_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        kmeans(np.random.default_rng(0).normal(size=(10, 2)), **{"n_clusters": 2, **wrong})


def test_a_row_that_is_no_number_is_named() -> None:
    x = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    book = Codebook(x[:2].copy())
    x[17, 1] = np.nan
    with pytest.raises(InputError, match="vector 17 holds NaN"):
        book.e_step(Parts([x], block=8))
    with pytest.raises(InputError, match="NaN"):
        kmeans(x, 2)
    with pytest.raises(InputError, match="columns"):
        book.e_step(np.zeros((3, 5)))
