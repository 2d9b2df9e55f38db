from __future__ import annotations

from tests.handmade import by_id, result, row, spread

from kinfold.benchmark.tables import features


def test_the_table_of_patch_features_by_hand() -> None:
    scores = {"acc_test": spread(0.6912), "acc_train": spread(0.7251)}
    one = result("coates-ng-k200-omp1", "cifar10-full", 0.0, metrics=scores)
    one["parameters"] = {"n_atoms": 200, "dictionary": "gain-shape"}
    cells = row(features.coates_ng(by_id(one)), "gain-shape")
    assert cells == ["gain-shape", "200", "—", "**69.1**", "72.5", "100", "1,234"]
    assert row(features.coates_ng({}), "OMP-1")[1:3] == ["1600", "79.96"]


def test_the_table_of_nat_by_hand() -> None:
    found = by_id(
        result("nat-mnist-full-default", "mnist-full", 0.97),
        result("kmeans-pixels-mnist-full", "mnist-full", 0.5),
        result("nat-mnist-test-rotation", "mnist-test", 0.6, parameters={"rotation": True}),
    )
    text = features.nat(found)
    assert row(text, "MNIST-full")[3:7] == ["0.991", "0.970 ± 0.012", "0.970 ± 0.012", "0.500 ± 0.012"]
    assert row(text, "`rotation=True`")[1] == "0.600 ± 0.012"
