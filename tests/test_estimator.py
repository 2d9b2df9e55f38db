"""The scikit-learn face, and what a fit refuses, says and writes. The contract itself is in test_every_algorithm.py."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tests.tiny import Tiny, TinyState
from torch import nn

from kinfold.checks import pictures
from kinfold.data.images import Images
from kinfold.errors import InputError, KinfoldError
from kinfold.estimator import State
from kinfold.results import Clustering
from kinfold.runtime import Progress, Runtime

RUN = Runtime(device="cpu")


class Notes(Progress):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.phases: list[tuple[str, int | None]] = []
        self.steps = 0

    def phase(self, name: str, total: int | None = None) -> None:
        self.phases.append((name, total))

    def advance(self, n: int = 1) -> None:
        self.steps += n

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture(scope="module")
def fitted() -> Tiny:
    return Tiny(3, random_state=0).fit(pictures(), runtime=RUN)


def test_attributes(fitted: Tiny) -> None:
    assert fitted.labels_.shape == fitted.confidence_.shape == fitted.outlier_.shape == (60,)
    assert fitted.embedding_.shape == (60, 4)
    assert fitted.embedding_.dtype == np.float32
    assert (fitted.n_clusters_, fitted.images_shape_) == (3, (1, 16, 16))
    assert not hasattr(fitted, "n_features_in_")
    assert isinstance(fitted.result_, Clustering)
    assert isinstance(fitted.state_, State)
    np.testing.assert_array_equal(fitted.transform(pictures()), fitted.embedding_)


def test_confidence_is_the_probability_of_the_own_cluster(fitted: Tiny) -> None:
    own = fitted.predict_proba(pictures())[np.arange(60), fitted.labels_]
    np.testing.assert_allclose(fitted.confidence_, own, rtol=1e-6)


def test_strange_images_stand_out(fitted: Tiny) -> None:
    noise = np.random.default_rng(5).integers(0, 256, size=(5, 16, 16)).astype(np.uint8)
    strange = fitted.predict_table(noise)["outlier"]
    usual = fitted.predict_table(pictures(60, seed=7))["outlier"]
    assert strange.mean() > usual.mean() + 0.2


def test_tables_have_columns_and_images_do_not() -> None:
    X = np.random.default_rng(0).normal(size=(30, 4))
    model = Tiny(2, random_state=0).fit(X)
    assert model.n_features_in_ == 4
    with pytest.raises(ValueError, match="3 features"):
        model.predict(X[:, :3])
    model.fit(pictures())
    assert not hasattr(model, "n_features_in_")


def test_pipelines_clones_and_named_columns() -> None:
    X = np.random.default_rng(0).normal(size=(30, 4))
    pipe = make_pipeline(StandardScaler(), Tiny(2, random_state=0)).fit(X)
    assert pipe.predict(X).shape == (30,)
    assert list(pipe[-1].get_feature_names_out()) == ["tiny0", "tiny1", "tiny2", "tiny3"]
    assert clone(pipe[-1]).get_params() == pipe[-1].get_params()


def test_a_fitted_model_can_be_pickled_by_its_user(fitted: Tiny) -> None:
    back = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(back.predict(pictures(9, seed=2)), fitted.predict(pictures(9, seed=2)))


def test_an_unfitted_model_says_so() -> None:
    for method in ("predict", "predict_proba", "transform", "predict_table", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(Tiny(), method)(np.zeros((2, 2)))


def test_new_images_are_brought_to_the_fitted_shape(fitted: Tiny, tmp_path: Path) -> None:
    Image.fromarray(pictures(1)[0]).resize((64, 48)).convert("RGB").save(tmp_path / "big.png")
    assert fitted.predict(tmp_path).shape == (1,)
    with pytest.raises(InputError, match="a table came; expected images"):
        fitted.predict(np.zeros((3, 7), dtype=np.float32))


def test_random_state_of_every_kind() -> None:
    X = pictures(20)
    one, two = (Tiny(2, random_state=np.random.RandomState(3)).fit(X) for _ in range(2))
    np.testing.assert_array_equal(one.labels_, two.labels_)
    assert Tiny(2).fit(X).labels_.shape == (20,)
    assert one.result_.run["parameters"]["random_state"] == "<RandomState>"
    assert Tiny.from_result(one.result_).random_state == one.result_.run["seed"]


@pytest.mark.parametrize(
    ("X", "parameters", "words"),
    [
        (pictures(3), {"n_clusters": 4}, "n_clusters is 4, but there are only 3 images; ask for fewer"),
        (pictures(3).repeat(4, 0), {"n_clusters": 4}, "only 3 different images"),
        (pictures(1), {}, "only one image came (n_samples = 1)"),
        (np.full((9, 8, 8), 3, np.uint8), {}, "all 9 images are identical; there is nothing to tell apart"),
        (pictures(9), {"n_clusters": 0}, "n_clusters is 0; expected a whole number of 1 or more"),
        (pictures(9), {"n_clusters": 2.0}, "n_clusters is 2.0; expected"),
        (pictures(9), {"n_clusters": True}, "n_clusters is True; expected"),
        (pictures(9), {"preset": "best"}, "preset is 'best'; expected 'default' or 'wide'"),
        (np.where(np.eye(8) > 0, np.nan, pictures(9)[:, :8, :8]), {}, "NaN"),
    ],
)
def test_what_cannot_be_clustered(X: Any, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        Tiny(**{"n_clusters": 2, **parameters}).fit(X, runtime=RUN)
    assert words in str(caught.value)


def test_one_cluster_may_be_asked_for() -> None:
    model = Tiny(1, random_state=0).fit(pictures(12))
    assert model.labels_.tolist() == [0] * 12
    assert model.result_.run["health"] == ["All images are in one cluster, as one cluster is what the run aimed at."]


@pytest.mark.parametrize("y", [["a", "b"] * 6, np.arange(12) % 2 + 5, np.array([[0], [1]] * 6), [0.5, 1.5] * 6])
def test_known_classes_of_every_kind(y: Any) -> None:
    result = Tiny(2, random_state=0).fit(pictures(12), y).result_
    assert result.truth is not None
    assert len(np.unique(result.truth)) == 2
    assert {"nmi", "acc", "ari"} <= set(result.history[0])
    assert result.scores()["acc"] == result.history[-1]["acc"]


def test_known_classes_of_the_images_count(tmp_path: Path) -> None:
    images = Images(pictures(12)[:, None], labels=np.arange(12) % 3, label_names=["bar", "column", "square"])
    result = Tiny(3, random_state=0).fit(images, runtime=Runtime(device="cpu", folder=tmp_path / "a")).result_
    np.testing.assert_array_equal(result.truth, np.arange(12) % 3)
    assert Clustering.load(tmp_path / "a").run["label_names"] == ["bar", "column", "square"]


def test_classes_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match=r"y has shape \(3,\); expected \(12,\)"):
        Tiny(2).fit(pictures(12), [0, 1, 2])


def test_the_run_folder(tmp_path: Path) -> None:
    notes = Notes()
    run = Runtime(device="cpu", folder=tmp_path / "a", progress=notes)
    Tiny(3, n_rounds=2, random_state=7).fit(pictures(), runtime=run)
    said = json.loads((tmp_path / "a" / "run.json").read_text())
    assert said["algorithm"] == "Tiny"
    assert said["parameters"]["n_rounds"] == 2
    assert (said["seed"], said["rounds"], said["device"], said["processes"], said["n"]) == (7, 2, "cpu", 1, 60)
    assert said["source"] == "array (60, 16, 16)"
    assert set(said["versions"]) == {"python", "kinfold", "torch", "numpy", "scikit-learn"}
    assert said["peak_mb"] > 10
    assert said["seconds"] > 0
    assert str(tmp_path) not in (tmp_path / "a" / "run.json").read_text()
    assert [row["round"] for row in Clustering.load(tmp_path / "a").history] == [1, 2]
    assert not (tmp_path / "a" / "checkpoint").exists()
    assert ("rounds", 2) in notes.phases
    assert notes.steps >= 2
    assert any(sentence.startswith("round 2: loss") for sentence in notes.said)
    assert said["health"][-1] == notes.said[-1]


def test_a_checkpoint_may_be_kept(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    Tiny(2, random_state=0).fit(pictures(12), runtime=Runtime(device="cpu", folder=folder, keep_checkpoint=True))
    assert [path.name for path in (folder / "checkpoint").iterdir()] == ["step-00000003"]


def test_a_foreign_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    model = Tiny(2)
    model._start = None  # type: ignore[method-assign, assignment]
    with pytest.raises(InputError, match="not a Kinfold run"):
        model.fit(pictures(12), runtime=Runtime(device="cpu", folder=tmp_path))


class Telling(Tiny):
    """Adds facts, repairs and another labeling."""

    def _start(self, images: Images, run: Runtime) -> TinyState:
        state = super()._start(images, run)
        state.facts = {"pretrained": "none", "recall": np.float32(0.5)}
        return state

    def _round(self, state: State, images: Images, run: Runtime) -> Any:
        record = super()._round(state, images, run)
        record.done.append("restarted 1 empty cluster")
        record.extra["restarts"] = 1
        state.variants = {"first": np.zeros(len(images), dtype=np.int64)}  # type: ignore[attr-defined]
        return record


def test_an_algorithm_may_say_more() -> None:
    result = Telling(2, n_rounds=2, random_state=0).fit(pictures(12)).result_
    assert (result.run["pretrained"], result.run["recall"], result.run["restarts"]) == ("none", 0.5, 2)
    assert result.run["health"][-1] == "round 2: restarted 1 empty cluster."
    assert result.variants["first"].tolist() == [0] * 12


class Wild(Tiny):
    """Its network breaks in the last round."""

    def _round(self, state: State, images: Images, run: Runtime) -> Any:
        record = super()._round(state, images, run)
        with torch.no_grad():
            next(state.net.parameters()).fill_(float("nan"))
        return record


class Careless(Tiny):
    """Keeps features of its own making without looking at them."""

    def _round(self, state: State, images: Images, run: Runtime) -> Any:
        record = super()._round(state, images, run)
        state.features = torch.full((len(images), 2), float("nan"))
        return record


class Narrow(Tiny):
    """Gives probabilities of too few clusters."""

    def _assign(self, state: State) -> torch.nn.Module:
        whole = super()._assign(state)
        whole.centres = whole.centres[:1]
        return whole


def test_broken_algorithms_are_explained() -> None:
    with pytest.raises(KinfoldError, match="features became NaN or infinite; lower the learning rate"):
        Wild(2, n_rounds=1, random_state=0).fit(pictures(12))
    with pytest.raises(KinfoldError, match="features contain NaN after the last round"):
        Careless(2, n_rounds=1, random_state=0).fit(pictures(12))
    with pytest.raises(KinfoldError, match=r"Narrow\._assign gave \(12, 1\) for 12 images; expected"):
        Narrow(2, n_rounds=1, random_state=0).fit(pictures(12))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"algorithm": "Other"}, "was made by 'Other'; expected Tiny"),
        ({"parameters": {"os": "system"}}, "parameters that Tiny does not know"),
        ({"parameters": None}, "parameters that Tiny does not know"),
        ({"parameters": {"preset": "wide"}}, "does not fit the parameters"),
        ({"parameters": {"preset": 3, "dropout": "much"}}, "does not fit the parameters"),
        ({"shape": [1, 16, -16]}, "no valid shape"),
        ({"shape": [1, 16, 10**9]}, "no valid shape"),
        ({"shape": "big"}, "no valid shape"),
        ({"shape": [1, 65536, 65536]}, "no valid shape"),
        ({"shape": [1, 8, 8]}, "does not fit the parameters"),
        ({"n_clusters": 10**9}, "no valid n_clusters"),
        ({"n_clusters": 1}, "clusters outside 0 to 0"),
        ({"rounds": "many"}, "no valid shape or rounds"),
    ],
)
def test_hostile_runs(fitted: Tiny, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    result = Clustering.load(fitted.result_.save(tmp_path / "a"))
    result.run |= change
    with pytest.raises(InputError) as caught:
        Tiny.from_result(result)
    assert words in str(caught.value)


def test_weights_of_another_network_are_refused(fitted: Tiny, tmp_path: Path) -> None:
    result = Clustering.load(fitted.result_.save(tmp_path / "a"))
    result.weights = nn.Linear(2, 2).state_dict()
    with pytest.raises(InputError, match="does not fit the parameters"):
        Tiny.from_result(result)
