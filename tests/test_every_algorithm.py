"""Every public algorithm keeps the contract."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny import Tiny
from tests.torchrun import run_twice

import kinfold.algorithms
from kinfold.algorithms import _HOME
from kinfold.checks import ContractError, check_clusterer, clusterer_checks, pictures
from kinfold.errors import InputError
from kinfold.estimator import DeepClusterer
from kinfold.results import Clustering
from kinfold.runtime import Progress, Runtime

# Left out by name: what they are instead, and where they are checked.
EXCLUDED = {
    "CoatesNg": "a transformer: learns features and no clusters; tests/algorithms/test_coates_ng.py",
    "IICSegmentation": "its labels are of pixels and its pictures have sizes of their own; tests/algorithms/"
    "test_iic_segmentation.py has its seeds, its resuming and its two processes",
}
PUBLIC = [getattr(kinfold.algorithms, name) for name in kinfold.algorithms.__all__ if name not in EXCLUDED]
ALGORITHMS: list[type[DeepClusterer]] = [Tiny, *(each for each in PUBLIC if isinstance(each, type))]


def small(algorithm: type[DeepClusterer]) -> DeepClusterer:
    """An instance with the settings that its file gives for tests."""
    settings: dict[str, Any] = algorithm._small()  # type: ignore[attr-defined]
    return algorithm(**settings)


CASES = [
    pytest.param(algorithm, check, id=f"{algorithm.__name__} {name}")
    for algorithm in ALGORITHMS
    for name, check in clusterer_checks(small(algorithm))
]


@pytest.mark.parametrize(("algorithm", "check"), CASES)
def test_the_contract_is_kept(algorithm: type[DeepClusterer], check: Any) -> None:
    check(small(algorithm))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_cluster_is_a_result(algorithm: type[DeepClusterer]) -> None:
    model = small(algorithm)
    if "n_clusters" not in model.get_params():
        pytest.skip("learns codes, and is told how many bits")
    model.set_params(n_clusters=1).fit(pictures(40), runtime=Runtime(device="cpu"))
    assert set(model.labels_.tolist()) == {0}
    assert model.predict(pictures(5)).tolist() == [0] * 5


class Shares(Progress):
    """What a fit tells of its rounds."""

    def __init__(self) -> None:
        self.told = [0.0]

    def partly(self, share: float) -> None:
        self.told[-1] += share

    def advance(self, n: int = 1) -> None:
        self.told.append(0.0)


@pytest.mark.parametrize("preset", ["default", "paper"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_rounds_tell_how_far_they_are(algorithm: type[DeepClusterer], preset: str) -> None:
    model = small(algorithm)
    if preset == "paper":
        if "paper" not in getattr(model, "_presets", {}):
            pytest.skip("has no preset of that name")
        model.set_params(preset=preset)
    heard = Shares()
    model.fit(pictures(90), runtime=Runtime(device="cpu", progress=heard))
    rounds = [told for told in heard.told if told > 0]
    assert rounds == pytest.approx([1.0] * len(model.result_.history), rel=0.15)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_more_clusters_than_a_batch_holds(algorithm: type[DeepClusterer]) -> None:
    """Learnt all the same, or refused in a sentence where the shares of a batch are what is learnt from."""
    model = small(algorithm)
    if not {"n_clusters", "batch_size"} <= set(model.get_params()):
        pytest.skip("has no batches, or learns codes")
    model.set_params(n_clusters=9, batch_size=6)
    try:
        model.fit(pictures(60), runtime=Runtime(device="cpu"))
    except InputError as error:
        assert str(error).startswith("batch_size is 6 for 9 clusters; expected at least ")
    else:
        assert model.labels_.shape == (60,)
        assert 1 < len(set(model.labels_.tolist())) <= 9


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of all algorithms by two processes."""
    folder = tmp_path_factory.mktemp("joined")
    run_twice("tests.test_every_algorithm", folder, timeout=280)
    return folder


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_two_processes_are_as_one(algorithm: type[DeepClusterer], joined: Path) -> None:
    two = Clustering.load(joined / algorithm.__name__)
    one = (
        small(algorithm)
        .set_params(random_state=0)
        .fit(pictures(), runtime=Runtime(device="cpu", precision="float32"))
        .result_
    )
    assert two.run["processes"] == 2
    losses = [[np.nan if row["loss"] is None else row["loss"] for row in each.history] for each in (one, two)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=5e-3, atol=1e-6)
    np.testing.assert_array_equal(two.labels, one.labels)
    # Sums in another order differ in the last digit, which Adam makes a whole step where a gradient is next to nothing:
    # changing the pixels by one part in ten million moves the weights as much. test_processes.py has the exact figures.
    alone, apart = (torch.cat([each.weights[name].double().flatten() for name in one.weights]) for each in (one, two))
    assert float((apart - alone).norm() / alone.norm()) < 5e-3


def test_only_what_clusters_no_images_is_left_out() -> None:
    assert set(EXCLUDED) == set(_HOME) - set(kinfold.algorithms.names())
    for name in EXCLUDED:
        assert not issubclass(getattr(kinfold.algorithms, name), DeepClusterer)


class Careless(Tiny):
    """Breaks the contract: what changes does not live in the state."""

    _seen = 0

    def _round(self, state: Any, images: Any, run: Runtime) -> Any:
        self._seen += 1
        state.generator.manual_seed(self._seen)
        return super()._round(state, images, run)


def test_a_broken_contract_is_found() -> None:
    with pytest.raises(ContractError, match="Careless fails the check 'resume is exact'"):
        check_clusterer(Careless(n_rounds=2))


def test_a_check_is_skipped_by_name_with_a_reason() -> None:
    with pytest.raises(ValueError, match="without a reason"):
        check_clusterer(Tiny(n_rounds=1), skip={"input untouched": " "})
    names = [name for name, _ in clusterer_checks(Tiny())]
    ran = check_clusterer(Tiny(n_rounds=1), skip=dict.fromkeys(names, "the list of names is what is looked at"))
    assert ran == []
    with pytest.raises(ValueError, match="there is no check 'no such'"):
        check_clusterer(Tiny(n_rounds=1), skip=dict.fromkeys([*names, "no such"], "misspelt"))


def together(folder: str) -> None:
    """Fit every algorithm on two processes."""
    world_size = Runtime(device="cpu").world
    assert world_size == 2
    for algorithm in ALGORITHMS:
        run = Runtime(device="cpu", precision="float32", folder=Path(folder) / algorithm.__name__)
        small(algorithm).set_params(random_state=0).fit(pictures(), runtime=run)


if __name__ == "__main__":
    together(sys.argv[1])
