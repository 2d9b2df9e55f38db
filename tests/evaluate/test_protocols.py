"""Judging a run: tables, sentences, pictures, files, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from tests.tiny import Tiny
from tests.tiny_run import digits

from kinfold import algorithms
from kinfold.benchmark import datasets, streaming, transfer
from kinfold.benchmark.scenarios import SCENARIOS, Scenario
from kinfold.cli import main
from kinfold.cli.scale import Protocol
from kinfold.data import as_images
from kinfold.data.shards import samples
from kinfold.errors import InputError
from kinfold.evaluate import PROTOCOLS, evaluate, stored
from kinfold.evaluate.protocols import random_network
from kinfold.evaluate.transfer import people_apart, transferred, verified

Y = load_digits().target[:240]


@pytest.fixture(scope="module")
def model() -> Tiny:
    return Tiny(14, n_rounds=2, random_state=0).fit(digits(240))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_gives_a_table_and_words(model: Tiny, protocol: str, tmp_path: Path) -> None:
    found = evaluate(model, as_images(digits(240)), protocol, None if protocol == "filters" else Y)
    assert found.rows
    assert found.words
    assert all(set(row) == set(found.rows[0]) for row in found.rows)
    numbers = [value for row in found.rows for value in row.values() if isinstance(value, float)]
    assert all(-0.1 <= value <= 1 for value in numbers)
    assert (protocol == "filters") == bool(found.pictures)
    assert json.loads(found.save(tmp_path).read_text())["protocol"] == protocol
    (back,) = stored(tmp_path)
    assert back == found
    assert len(back.page()["rows"]) == len(found.rows)


def test_more_clusters_than_classes_are_explained(model: Tiny) -> None:
    found = evaluate(model, as_images(digits(240)), "kmeans", Y)
    assert found.rows[0]["k"] > 10
    assert {"nmi", "ami", "ari", "acc"} <= set(found.rows[0])
    assert {"k", "NMI", "AMI", "ARI", "accuracy"} <= set(found.page()["columns"])
    assert "NMI flatters" in " ".join(found.words)
    assert "read AMI and ARI" in " ".join(found.words)
    few = evaluate(Tiny(4, n_rounds=1, random_state=0).fit(digits(240)), as_images(digits(240)), "kmeans", Y)
    assert "NMI flatters" not in " ".join(few.words)


def test_names_of_classes_change_nothing(model: Tiny) -> None:
    images = as_images(digits(240))
    numbers = evaluate(model, images, "knn", Y).rows
    assert evaluate(model, images, "knn", [f"class {c}" for c in Y]).rows == numbers
    assert numbers[0]["k = 20"] > 0.4  # a tiny network; chance is 0.1


def test_a_random_network_has_learnt_nothing(model: Tiny) -> None:
    images = as_images(digits(240))
    untrained = random_network(model, images, 0)
    again = random_network(model, images, 0)
    weights = [dict(net.named_parameters()) for net in (untrained, again, model.state_.net)]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weight, weights[1][name], rtol=0, atol=0)
    assert not torch.equal(weights[0]["0.weight"], weights[2]["0.weight"])
    assert float(untrained[1].running_mean.abs().sum()) > 0
    assert not untrained.training


def test_what_cannot_be_judged_is_one_sentence(model: Tiny, tmp_path: Path) -> None:
    images = as_images(digits(240))
    with pytest.raises(InputError, match="model is Tiny; expected a deep clusterer after fit"):
        evaluate(Tiny(3), as_images(digits(240)), "knn", Y)
    assert evaluate(model, digits(240), "knn", Y).rows
    with pytest.raises(InputError, match="protocol is 'magic'; expected one of linear"):
        evaluate(model, images, "magic", Y)
    with pytest.raises(InputError, match="this protocol needs known labels; give --labels"):
        evaluate(model, images, "linear")
    with pytest.raises(InputError, match=r"labels has shape \(3,\); expected \(240,\)"):
        evaluate(model, images, "linear", [0, 1, 2])
    for protocol in ("linear", "knn", "kmeans", "few-labels", "retrieval"):
        with pytest.raises(InputError, match="the labels hold a single class, in which every answer is right"):
            evaluate(model, images, protocol, ["a"] * 240)
        with pytest.raises(InputError, match="every class has a single image; give labels"):
            evaluate(model, images, protocol, np.arange(240))
    vectors = as_images(np.eye(8, dtype=np.float32))
    with pytest.raises(InputError, match="filters are looked at in networks for images"):
        evaluate(Tiny(2, n_rounds=1, random_state=0).fit(vectors), vectors, "filters")
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "knn.json").write_text('{"rows": 3')
    assert stored(tmp_path) == []


def test_features_cross_over(model: Tiny) -> None:
    others, y = as_images(load_digits().images[300:460].astype(np.uint8) * 15), load_digits().target[300:460]
    found = transferred(model, others, y)
    assert set(found) == {"learnt", "random", "pixels"}
    assert set(found["learnt"]) == {"kmeans_nmi", "kmeans_acc", "gdl_nmi", "gdl_acc"}
    assert found["pixels"]["kmeans_nmi"] > 0.5
    pairs = verified(model, others, y)
    assert pairs["pixels"]["auc"] > 0.7
    first, second = people_apart(y, seed=1)
    assert not set(y[first]) & set(y[second])
    assert len(first) + len(second) == len(y)


def test_the_benchmarks_learn_without_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    import kinfold

    seen: list[object] = []

    class Watched(Tiny):
        def fit(self, X: object, y: object = None, **options: object) -> Tiny:
            seen.append((X.labels, y))
            return super().fit(X, y, **options)

    def load(name: str, data: object) -> object:
        start = 0 if name == "usps" else 200
        return as_images(load_digits().images[start : start + 160].astype(np.uint8) * 15, labels=Y[:160])

    monkeypatch.setattr(kinfold, "Tiny", Watched, raising=False)
    monkeypatch.setattr(datasets, "load", load)
    for task in ("transfer", "verify"):
        wanted = Scenario("x", "transfer", task, "Tiny", "mnist-test", "default", {"n_rounds": 1}, source="usps")
        found = transfer.work(wanted, {"data": "unused", "seed": 0})
        assert len(found["scores"]) == (12 if task == "transfer" else 6)
    assert seen == [(None, None)] * 2
    digits_by = [f"transfer-{way}-{by}" for way in ("usps-mnist-test", "mnist-test-usps")
                 for by in ("deepcluster", "nat", "imsat", "iic")]  # fmt: skip
    assert {s.id for s in SCENARIOS.values() if s.group == "transfer"} == {
        "transfer-coil20-coil100",
        "transfer-coil100-coil20",
        "transfer-usps-mnist-test",
        "transfer-mnist-test-usps",
        "transfer-mnist-full-usps",
        "verify-umist",
        "verify-cmu-pie",
        "verify-umist-deepcluster",
        "verify-umist-nat",
        "verify-umist-imsat",
        *digits_by,
    }
    assert [SCENARIOS[f"embed-{name}"].parameters["n"] for name in ("10k", "100k", "1m")] == [10**4, 10**5, 10**6]


def test_benchmark_shards_hold_augmented_digits(tmp_path: Path) -> None:
    images = as_images(digits(20), labels=Y[:20])
    assert streaming.write_shards(images, 70, tmp_path, 0) == 10
    found = [one for i in range(10) for one in samples(str(tmp_path / f"digits-{i:05d}.tar"), [])]
    assert [one.label for one in found] == [str(Y[i % 20]) for i in range(70)]
    assert found[0].data != found[20].data
    assert found[69].name == "digits-00009.tar/000000069.png"


def test_the_command_prints_a_table_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(algorithms._HOME, "Tiny", "tests.tiny")
    monkeypatch.chdir(tmp_path)
    for i, image in enumerate(digits(60)):
        target = tmp_path / "photos" / str(Y[i] % 2) / f"{i:02d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(target)
    common = ["--algorithm", "tiny", "-k", "3", "--param", "n_rounds=1"]
    assert main(["cluster", "photos", "--out", "runs/a", *common, "--no-report"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "runs/a", "--protocol", "knn", "--labels", "from-folders"]) == 0
    said = capsys.readouterr().out
    assert "random network" in said
    assert "Written: runs/a/evaluation/knn.json and runs/a/report.html" in said
    assert "Nearest-neighbour probe" in Path("runs/a/report.html").read_text()
    assert main(["evaluate", "runs/a", "--protocol", "filters"]) == 0
    page = Path("runs/a/report.html").read_text()
    assert "What filters look for" in page
    assert "Nearest-neighbour probe" in page
    assert "data:image/png;base64," in page
    assert (Path("runs/a/evaluation") / "filters-00.png").exists()
    assert main(["report", "runs/a"]) == 0
    assert "What filters look for" in Path("runs/a/report.html").read_text()
    names = [line.split(",")[0] for line in Path("runs/a/labels.csv").read_text().splitlines()[1:]]
    Path("y.txt").write_text("\n".join(name.split("/")[0] for name in names))
    assert main(["evaluate", "runs/a", "--protocol", "kmeans", "--labels", "y.txt", "--no-report"]) == 0
    capsys.readouterr()
    for wrong, sentence in ((["--labels", "z.txt"], "no such file"), ([], "needs known labels")):
        assert main(["evaluate", "runs/a", "--protocol", "knn", *wrong]) == 1
        assert sentence in capsys.readouterr().err
    Path("y.txt").write_text("0\n1\n")
    assert main(["evaluate", "runs/a", "--protocol", "knn", "--labels", "y.txt"]) == 1
    assert "y.txt has 2 labels for 60 images" in capsys.readouterr().err
    assert main(["evaluate", "runs/a", "--protocol", "magic"]) == 2


def test_the_command_knows_every_protocol() -> None:
    assert {one.value for one in Protocol} == set(PROTOCOLS)
