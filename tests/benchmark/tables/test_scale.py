from __future__ import annotations

from typing import Any

from tests.handmade import by_id, result, row

from kinfold.benchmark import vectors
from kinfold.benchmark.tables import scale


def parts(identifier: str, algorithm: str, names: tuple[str, ...], **more: Any) -> dict[str, Any]:
    """A speed result whose parts cost 2 seconds."""
    clock = {"mean": 2.0, "sd": 0.1, "values": [2.0]}
    one = {"seconds": clock, "cpu_seconds": clock, "peak_mb": 2500, "n": 1000.0}
    return result(identifier, "", 0.0, algorithm=algorithm, parts={name: dict(one) for name in names}, **more)


def test_the_table_of_speed_speaks_of_merging_and_training_only() -> None:
    growth = {"sizes": [2500, 5000, 10000], "seconds": [1.0, 2.0, 4.0], "exponent": 1.0}
    merging = parts("agglomerate-10000", "agglomerate", ("kinfold", "ward"), growth=growth)
    views = parts("views-mnist", "views", ("batches-grey", "torchvision-grey"), ratio={"value": 9.0, "against": "x"})
    text = scale.speed(by_id(merging, views))
    assert row(text, "scikit-learn ward")[1:] == ["1,000", "2 ± 0.1", "2", "2,500", "—"]
    assert "- agglomerate-10000: merging grows with exponent 1.00 from 2,500 to 10,000." in text
    assert "views" not in text
    assert "Not measured yet" in scale.speed(by_id(views))


def test_the_table_of_vectors_by_hand() -> None:
    growth = {"sizes": [100, 1000], "cpu_seconds": [1.0, 10.0], "exponent": 1.0}
    quick = {"ratio": 2.5, "inertia_quick": 21.5, "inertia_minibatch": 21.75}
    against = {"against": "faiss k-means", "value": 0.97}
    flat = parts("kmeans-10m", "kmeans", ("codebook", "faiss"), growth=growth, minibatch=quick, ratio=against)
    flat["parts"]["codebook"] |= {"n_clusters": 50.0, "inertia": 21.1234}
    flat["parts"]["faiss"] |= {"n_clusters": 50.0, "inertia": 21.2}
    deep = parts("hierarchical-10m", "hierarchical_kmeans", ("hierarchy",))
    deep["parts"]["hierarchy"]["levels"] = [1000, 100, 10]
    text = scale.vectors(by_id(flat, deep))
    assert row(text, "**Kinfold**, k-means")[1:] == ["1,000", "50", "2.0", "2.0", "2,500", "21.123"]
    assert row(text, "**Kinfold**, hierarchical k-means")[2:] == ["1,000, 100, 10", "2.0", "2.0", "2,500", "—"]
    assert "- kmeans-10m: 0.97 times as fast as faiss k-means; its quick form 2.5 times as fast as" in text
    assert "at an inertia of 21.5 against 21.75; the cost grows with exponent 1.00 from 100 to 1,000." in text
    assert scale.vectors({}) == "Not measured yet: `kinfold benchmark speed --only kmeans-10m`\n"


def test_every_part_of_a_run_from_disk_has_a_title() -> None:
    assert {*vectors.KMEANS, *vectors.HIERARCHY} == set(scale.VECTORS)


def test_the_table_of_streams_by_hand() -> None:
    values = {"images_per_cpu_second": 1782.6, "resident_mb_first": 1081.6, "resident_mb_last": 1089.5}
    scores = {name: {"mean": v, "sd": 12.1, "values": [v, v]} for name, v in values.items()}
    scores["resident_mb_most"] = {"mean": 1090.0, "sd": 0.0, "values": [1090.0]}
    text = scale.streams(by_id(result("embed-10k", "mnist-full", 0.0, metrics=scores)))
    assert row(text, "10,000") == ["10,000", "1,783 ± 12", "1,082 ± 12", "1,090 ± 12", "1,090", "1,234", "100"]
    assert row(text, "1,000,000")[1:] == ["—"] * 6
    assert scale.streams({}) == "Not measured yet: `kinfold benchmark embed-10k --data DIR`\n"


def test_the_table_of_views_by_hand() -> None:
    one = parts("views-mnist", "views", ("batches-grey", "torchvision-grey"), ratio={"value": 12.0, "against": "x"})
    one["parts"]["batches-grey"]["views_per_cpu_second"] = 36000.4
    one["parts"]["torchvision-grey"]["views_per_cpu_second"] = 3000.0
    text = scale.views(by_id(one))
    assert row(text, "grey") == ["grey, 28 px, as for MNIST", "1,000", "36,000", "3,000", "12"]
    share = {"scenario": "information-training-share", "share_of_bare_passes": {"imsat": 0.734, "iic": 0.9}}
    assert "IMSAT 73 %, IIC 90 %" in scale.views(by_id(one, share))
    assert scale.views({}) == "Not measured yet: `kinfold benchmark speed --only views-mnist`\n"
