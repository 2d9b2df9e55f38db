from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinfold.data.images import Images, Skipped
from kinfold.errors import InputError
from kinfold.report import write_report
from kinfold.results import Clustering

HOSTILE = [
    '<img src=x onerror="alert(1)">.png',
    "</script><script>alert(2)</script>.png",
    "<!--<script>.png",
    "\"'><svg onload=alert(3)>.png",
    "{{ 7 * 7 }}.png",
    "a\u2028b&amp;.png",
    "\udce9.png",
]


class Elements(HTMLParser):
    """Every element with its attributes, and the text of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline: list[tuple[str, dict[str, str | None], str]] = []
        self.open = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self.open = tag in ("script", "style")
        if self.open:
            self.inline.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self.open = False

    def handle_data(self, data: str) -> None:
        if self.open:
            tag, attrs, text = self.inline[-1]
            self.inline[-1] = (tag, attrs, text + data)


def elements(path: Path) -> Elements:
    parser = Elements()
    parser.feed(path.read_text("utf-8"))
    return parser


def payload(path: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="payload">(.*?)</script>', path.read_text("utf-8"), re.S)
    assert found is not None
    return dict(json.loads(found[1]))


def test_the_page_refers_to_nothing_outside_itself(report: Any) -> None:
    for tag, attributes in elements(report.path).found:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes)


def test_only_the_scripts_and_styles_of_the_package_may_run(report: Any) -> None:
    parser = elements(report.path)
    metas = [attributes for tag, attributes in parser.found if tag == "meta"]
    policy = next(meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy and "http" not in policy
    for tag, attributes, text in parser.inline:
        if "type" not in attributes:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy


def test_hostile_names_stay_text(tmp_path: Path, make: Callable[..., Any]) -> None:
    clustering, images = make(40)
    clustering.names[: len(HOSTILE)] = HOSTILE
    clustering.skipped = [Skipped(name, name) for name in HOSTILE]
    clustering.run |= {"source": HOSTILE[0], "algorithm": HOSTILE[3], "health": HOSTILE, "label_names": HOSTILE[:4]}
    clustering.run["parameters"][HOSTILE[2]] = HOSTILE[1]
    path = write_report(clustering, images, tmp_path / "report.html")
    parser = elements(path)
    assert not any(tag in ("img", "object", "iframe") for tag, _ in parser.found)
    assert not any(name.startswith("on") for _, attributes in parser.found for name in attributes)
    assert sum(tag == "script" and "type" not in attributes for tag, attributes, _ in parser.inline) == 1
    assert payload(path)["names"][: len(HOSTILE)] == HOSTILE
    assert "{{ 7 * 7 }}" in path.read_text("utf-8") and ">49<" not in path.read_text("utf-8")


def test_the_page_holds_the_result(report: Any) -> None:
    found, clustering = payload(report.path), report.clustering
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(found["labels"]), "<u2"), clustering.labels)
    confidence = np.frombuffer(base64.b64decode(found["confidence"]), "<u2") / 65535
    np.testing.assert_allclose(confidence, clustering.confidence, atol=1e-5)
    assert found["names"] == clustering.names
    assert found["copies"] == [[239, 0]]
    assert found["tree"]["leaves"] == 16
    text = report.path.read_text("utf-8")
    told = (
        "240 images in 4 clusters",
        "sorted by <b>JULE</b>",
        "4 clusters; nothing is wrong.",
        "bad/one.jpg",
        "t-SNE",
    )
    for words in told:
        assert words in text


def test_the_same_result_gives_the_same_page(tmp_path: Path, make: Callable[..., Any]) -> None:
    clustering, images = make(30)
    first = write_report(clustering, images, tmp_path / "a.html").read_bytes()
    assert write_report(clustering, images, tmp_path / "b.html").read_bytes() == first


def test_a_saved_and_loaded_run_gives_the_same_page(tmp_path: Path, make: Callable[..., Any]) -> None:
    clustering, images = make(30)
    first = payload(write_report(clustering, images, tmp_path / "a.html"))
    loaded = Clustering.load(clustering.save(tmp_path / "run"))
    assert payload(write_report(loaded, images, tmp_path / "b.html")) == first


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_smallest_clusterings_have_a_page(tmp_path: Path, n: int) -> None:
    images = Images(np.zeros((n, 1, 8, 8), dtype=np.uint8))
    clustering = Clustering.of(np.zeros(n, dtype=np.int64), embedding=np.zeros((n, 2)))
    text = write_report(clustering, images, tmp_path / "deep" / "report.html").read_text("utf-8")
    assert f"{n} image{'' if n == 1 else 's'} in 1 cluster<" in text


def test_without_images_and_labels_and_tree_the_page_says_so(tmp_path: Path, make: Callable[..., Any]) -> None:
    clustering, _ = make(30)
    clustering.tree = clustering.truth = None
    path = write_report(clustering, None, tmp_path / "report.html")
    text = path.read_text("utf-8")
    assert "were not at hand" in text and 'id="scores"' not in text and '<input type="range"' not in text
    assert payload(path)["sheets"] == []


def test_estimated_numbers_and_pretrained_networks_are_told(tmp_path: Path, make: Callable[..., Any]) -> None:
    clustering, images = make(30, pretrained="efficientnet-lite0")
    clustering.run["parameters"]["n_clusters"] = None
    text = write_report(clustering, images, tmp_path / "report.html").read_text("utf-8")
    assert "The number of clusters was estimated." in text and "Estimated: 4" in text
    assert "pretrained on other, labelled images: <b>efficientnet-lite0</b>" in text


def test_labels_that_left_the_tree_are_told(tmp_path: Path, make: Callable[..., Any]) -> None:
    clustering, images = make(40)
    clustering.labels = clustering.labels.copy()
    clustering.labels[:4] = (clustering.labels[:4] + 1) % 4
    text = write_report(clustering, images, tmp_path / "report.html").read_text("utf-8")
    assert "10 % of the images stand in another cluster than the tree gives at 4" in text


def test_few_thumbnails_are_told(tmp_path: Path, make: Callable[..., Any]) -> None:
    clustering, images = make(200)
    path = write_report(clustering, images, tmp_path / "report.html", max_thumbnails=120)
    assert "thumbnails of 120 of the 200 images" in path.read_text("utf-8")
    assert len(base64.b64decode(payload(path)["sheets"][0]["index"])) == 4 * 120


def test_wrong_calls_are_told_the_cure(tmp_path: Path, make: Callable[..., Any]) -> None:
    clustering, images = make(30)
    with pytest.raises(InputError, match="has 30 images and 10 were given"):
        write_report(clustering, images.select(range(10)), tmp_path / "report.html")
    with pytest.raises(InputError, match="holds no image"):
        write_report(Clustering.of([], embedding=np.zeros((0, 2))), None, tmp_path / "report.html")
    with pytest.raises(InputError, match="max_thumbnails is 0"):
        write_report(clustering, images, tmp_path / "report.html", max_thumbnails=0)
    assert list(tmp_path.iterdir()) == []
