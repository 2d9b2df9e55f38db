from __future__ import annotations

from typing import Any

from tests.handmade import by_id, result, row, spread

from kinfold.benchmark.tables import features


def test_the_table_of_patch_features_by_hand() -> None:
    scores = {"acc_test": spread(0.6912), "acc_train": spread(0.7251)}
    one = result("coates-ng-k200-omp1", "cifar10-full", 0.0, metrics=scores)
    one["parameters"] = {"n_atoms": 200, "dictionary": "gain-shape"}
    text = features.coates_ng(by_id(one))
    cells = row(text, "OMP-1, soft threshold | 200")
    assert cells == ["OMP-1, soft threshold", "200", "—", "**69.1**", "72.5", "100", "1,234"]
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


def test_the_table_of_deepcluster_by_hand() -> None:
    def scored(identifier: str, acc: float, **more: Any) -> dict[str, Any]:
        scores = {"acc": spread(acc), "nmi": spread(0.61), "ami": spread(0.6)}
        return result(identifier, identifier.split("-", 2)[-1], acc, metrics=scores, **more)

    found = by_id(
        scored("deepcluster-v1-mnist-full", 0.7),
        scored("kmeans-pixels-mnist-full", 0.5),
        scored("deepcluster-v1-pic-mnist-test", 0.8),
        scored("kmeans-hundred-mnist-test", 0.13),
    )
    text = features.deepcluster(found)
    beside = ["0.500 ± 0.012", "0.610 ± 0.012", "0.600 ± 0.012"]
    expected = ["70,000", "0.656", "≥ 0.656", "0.700 ± 0.012", *beside[1:], *beside, "100"]
    assert row(text, "MNIST-full, v1")[1:] == expected
    assert row(text, "MNIST-full, v2")[2:5] == ["—", "≥ 0.900", "—"]
    assert row(text, "`variant='v1', final='kmeans', assignment='pic'`")[1:] == ["0.800 ± 0.012", *beside[1:], "100"]
    assert row(text, "k-means on pixels, `n_clusters=100`")[1:] == ["0.130 ± 0.012", *beside[1:], "100"]
    assert features.deepcluster({}) == "Not measured yet: `kinfold benchmark deepcluster --data DIR`\n"


def test_the_table_of_transfer_by_hand() -> None:
    kinds = {"pixels": 0.4, "random": 0.5, "learnt": 0.9}
    ways = ("kmeans_nmi", "kmeans_acc", "gdl_nmi", "gdl_acc")
    clusters = {f"{way}_{kind}": spread(value) for way in ways for kind, value in kinds.items()}
    faces = {f"{score}_{k}": spread(v) for score in ("auc", "accuracy") for k, v in kinds.items()}
    found = by_id(
        result("transfer-usps-mnist-test", "mnist-test", 0.0, metrics=clusters),
        result("verify-umist", "umist", 0.0, metrics=faces),
    )
    text = features.transfer(found)
    shown = [f"{v:.3f} ± 0.012 / {v:.3f} ± 0.012" for v in kinds.values()]
    assert row(text, "USPS | MNIST-test | JULE") == ["USPS", "MNIST-test", "JULE", *shown, *shown, "100"]
    assert row(text, "COIL-20 | COIL-100 | JULE")[3:] == ["—"] * 7
    assert row(text, "USPS | MNIST-test | NAT")[3:] == ["—"] * 7
    assert row(text, "UMIST | JULE") == ["UMIST", "JULE", *shown, "100"]
    assert features.transfer({}) == "Not measured yet: `kinfold benchmark transfer --data DIR`\n"
