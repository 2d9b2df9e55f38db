"""The page in a real browser. Every test also fails on a logged error and on any request (see conftest)."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinfold.data.images import Images
from kinfold.naming import read_names
from kinfold.report import write_report

Show = Callable[..., Any]


def wait_until(page: Any, expression: str, arg: Any = None) -> None:
    """Ask until it is true; the browser's own waiting is refused by the page's policy, which allows no eval."""
    for _ in range(400):
        if page.evaluate(expression, arg):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not true within 20 seconds: {expression}")


def set_slider(page: Any, k: int) -> None:
    page.evaluate(
        "k => { const s = document.getElementById('k'); s.value = k; s.dispatchEvent(new Event('input')); }", k
    )
    wait_until(page, "k => document.querySelectorAll('.card').length === k", k)


def sizes(page: Any) -> list[int]:
    texts = page.locator(".card .count").all_text_contents()
    return [int(text.split(" ")[0].replace(",", "")) for text in texts]


def widest(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth"))


def paper(page: Any) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def place(page: Any, i: int) -> tuple[float, float]:
    """Where image i lies in the window."""
    page.locator("#canvas").scroll_into_view_if_needed()
    box = page.locator("#canvas").bounding_box()
    x, y = page.evaluate(
        """i => {
      const data = JSON.parse(document.getElementById('payload').textContent);
      const byte = (text, at) => atob(text).charCodeAt(at);
      const at = (text) => (byte(text, 2 * i) + 256 * byte(text, 2 * i + 1)) / 65535;
      return [at(data.x), at(data.y)];
    }""",
        i,
    )
    pad = 26
    narrow = min(box["width"], box["height"]) - 2 * pad
    width, height = min(box["width"] - 2 * pad, 1.5 * narrow), min(box["height"] - 2 * pad, 1.5 * narrow)
    return box["x"] + box["width"] / 2 + (x - 0.5) * width, box["y"] + box["height"] / 2 + (y - 0.5) * height


def test_the_slider_regroups_the_galleries(show: Show, report: Any) -> None:
    page = show(report.path)
    assert sizes(page) == sorted(np.bincount(report.clustering.labels).tolist(), reverse=True)
    for k in (1, 2, 7, 16):
        set_slider(page, k)
        expected = np.bincount(report.clustering.cut(k))
        assert sizes(page) == sorted(expected.tolist(), reverse=True)
        assert sum(sizes(page)) == 240
        page.wait_for_selector(".card .tiles .thumb")
        first = int(page.locator(".card").first.locator(".tiles .thumb").first.get_attribute("data-image"))
        title = page.locator(".card").first.locator("h3").text_content()
        assert title == f"Cluster {report.clustering.cut(k)[first]}"
    page.locator("#reset").click()
    wait_until(page, "document.querySelectorAll('.card').length === 4")
    assert page.locator("#k-now").text_content() == "4"


def test_galleries_hold_images_of_their_cluster_and_no_copies(show: Show, report: Any) -> None:
    page = show(report.path)
    shown = page.evaluate("""() => [...document.querySelectorAll('.card')].map((card) => {
      card.scrollIntoView(); return card.id; }).length""")
    wait_until(
        page, "[...document.querySelectorAll('.card')].every((card) => card.querySelectorAll('.thumb').length == 24)"
    )
    galleries = page.evaluate("""() => [...document.querySelectorAll('.card')].map((card) => [
      Number(card.dataset.cluster), [...card.querySelectorAll('.thumb')].map((tile) => Number(tile.dataset.image))])""")
    assert shown == len(galleries) == 4
    for cluster, images in galleries:
        assert set(report.clustering.labels[images].tolist()) == {cluster}
        assert len(set(images)) == 24 and 239 not in images
    assert "blob:" in page.locator(".card .thumb").first.evaluate("tile => tile.style.backgroundImage")


def test_the_slider_and_the_tiles_obey_the_keyboard(show: Show, report: Any) -> None:
    page = show(report.path)
    page.locator("#k").focus()
    page.keyboard.press("ArrowRight")
    wait_until(page, "document.querySelectorAll('.card').length === 5")
    page.wait_for_selector(".card .tiles .thumb")
    tiles = page.locator(".card").first.locator(".tiles").first.locator(".thumb")
    tiles.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.image") == tiles.nth(7).get_attribute("data-image")
    page.keyboard.press("Enter")
    assert page.locator("#viewer").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()


def test_pointing_at_the_map_shows_the_image_and_a_click_goes_to_its_cluster(show: Show, report: Any) -> None:
    page = show(report.path)
    x, y = place(page, 17)
    page.mouse.move(x, y)
    page.wait_for_selector("#tip:not([hidden])")
    hovered = int(page.locator("#canvas").get_attribute("data-hover"))
    assert page.locator("#tip b").text_content() == report.clustering.names[hovered]
    assert "blob:" in page.locator("#tip .thumb").evaluate("tile => tile.style.backgroundImage")
    page.mouse.click(x, y)
    lit = page.wait_for_selector(".card.lit")
    assert int(lit.get_attribute("data-cluster")) == report.clustering.labels[hovered]


def test_the_map_zooms_moves_and_draws_pictures(show: Show, report: Any) -> None:
    page = show(report.path)
    picture = "() => document.getElementById('canvas').toDataURL()"
    page.wait_for_timeout(150)
    seen = {page.evaluate(picture)}
    for act in (
        lambda: page.locator("#zoom-in").click(),
        lambda: (page.locator("#canvas").focus(), page.keyboard.press("ArrowLeft")),
        lambda: page.locator("#as-pictures").click(),
    ):
        act()
        page.wait_for_timeout(250)
        seen.add(page.evaluate(picture))
    assert len(seen) == 4
    page.locator("#as-dots").click()
    page.locator("#zoom-all").click()
    page.wait_for_timeout(150)
    assert page.evaluate(picture) in seen


def test_a_file_is_found_by_its_name(show: Show, report: Any) -> None:
    page = show(report.path)
    page.locator("#search").fill("PICTURE-0012")
    page.wait_for_selector("#found .hit")
    names = page.locator("#found .hit > span").all_text_contents()
    assert len(names) == 10 and all("picture-0012" in name for name in names)
    assert "10 images; they are marked on the map" in page.locator("#found p").text_content()
    page.locator("#found .hit").nth(3).click()
    assert page.locator("#viewer-name").text_content() == report.clustering.names[123]
    assert "blob:" in page.locator("#viewer-picture .thumb").evaluate("tile => tile.style.backgroundImage")
    page.locator("#viewer-go").click()
    lit = page.wait_for_selector(".card.lit")
    assert int(lit.get_attribute("data-cluster")) == report.clustering.labels[123]
    page.locator("#search").fill("nowhere")
    assert "No file name holds this text" in page.locator("#found p").text_content()
    page.keyboard.press("Escape")
    assert page.locator("#found").is_hidden()


def test_the_tree_sets_the_number_of_clusters(show: Show, report: Any) -> None:
    page = show(report.path)
    drawing = page.locator("#dendrogram")
    assert drawing.locator(".branch").count() == 31
    box = drawing.bounding_box()
    drawing.click(position={"x": box["width"] - 14, "y": 60})
    wait_until(page, "document.querySelectorAll('.card').length === 16")
    assert "The dotted line marks the chosen number, 4" in page.locator("#cut-words").text_content()
    assert page.evaluate("document.querySelectorAll('#dendrogram .branch[style]').length") >= 16


def test_scores_and_confusion_follow_the_cut(show: Show, report: Any) -> None:
    from kinfold.metrics import ari, nmi

    page = show(report.path)
    for k in (4, 9):
        set_slider(page, k)
        labels = report.clustering.labels if k == 4 else report.clustering.cut(k)
        for name, score in (("nmi", nmi), ("ari", ari)):
            shown = float(page.locator(f"#live-{name}").text_content())
            np.testing.assert_allclose(shown, score(report.clustering.truth, labels), atol=2e-4)
    assert f"and {9} clusters" in page.locator("#confusion").get_attribute("aria-label")


@pytest.mark.parametrize("k", [4, 6])
def test_the_table_at_the_cut_is_downloaded(show: Show, report: Any, k: int) -> None:
    page = show(report.path)
    set_slider(page, k)
    with page.expect_download() as download:
        page.locator("#download").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))
    assert download.value.suggested_filename == f"labels-{k}.csv"
    assert list(rows[0]) == ["image", "cluster", "confidence", "outlier", "duplicate_of", "label"]
    assert [row["image"] for row in rows] == report.clustering.names
    expected = report.clustering.labels if k == 4 else report.clustering.cut(k)
    np.testing.assert_array_equal([int(row["cluster"]) for row in rows], expected)
    assert rows[239]["duplicate_of"] == "0" and rows[0]["duplicate_of"] == ""
    np.testing.assert_array_equal([int(row["label"]) for row in rows], report.clustering.truth)


def await_place(page: Any, text: str) -> None:
    """Wait for the map to say it; playwright's own way of waiting evaluates strings, which the page forbids."""
    for _ in range(200):
        if text in page.evaluate("drawn"):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"{text!r} is not on the map, which says {page.evaluate('drawn')}")


def test_names_are_typed_shown_and_saved(show: Show, report: Any, tmp_path: Path) -> None:
    named = replace(report.clustering, cluster_names={None: {0: "red <vans>"}, 6: {2: "cats, dogs"}})
    page = show(write_report(named, None, tmp_path / "named.html"))
    assert not page.locator("#naming").is_visible()
    assert page.locator(".card[data-cluster='0'] .called").input_value() == "red <vans>"
    page.evaluate("""() => {
      window.drawn = [];
      const draw = CanvasRenderingContext2D.prototype.fillText;
      CanvasRenderingContext2D.prototype.fillText = function (text, ...at) {
        drawn.push(text);
        draw.call(this, text, ...at);
      };
    }""")
    field = page.locator(".card[data-cluster='1'] .called")
    field.fill("  two   words ")
    field.press("Enter")
    assert field.input_value() == "two words"
    await_place(page, "two words")
    assert {"red <vans>", "2", "3"} <= set(page.evaluate("drawn"))
    field.fill("two words that go on and on")
    field.press("Enter")
    await_place(page, "two words that…")
    field.fill("two words")
    field.press("Enter")
    assert page.locator("#naming").is_visible()
    set_slider(page, 6)
    assert page.locator(".card[data-cluster='2'] .called").input_value() == "cats, dogs"
    assert page.locator(".card[data-cluster='1'] .called").input_value() == ""
    page.locator(".card[data-cluster='2'] .called").fill("")
    page.locator(".card[data-cluster='5'] .called").fill('"quoted"')
    page.locator("#order").focus()
    with page.expect_download() as download:
        page.locator("#save-names").click()
    assert download.value.suggested_filename == "names.csv"
    expected = {None: {0: "red <vans>", 1: "two words"}, 6: {5: '"quoted"'}}
    assert read_names(download.value.path()) == expected
    with page.expect_download() as download:
        page.locator("#download").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text("utf-8"))))
    assert {row["name"] for row in rows if row["cluster"] == "5"} == {'"quoted"'}
    assert {row["name"] for row in rows if row["cluster"] != "5"} == {""}


def test_all_images_of_a_cluster_can_be_seen(show: Show, report: Any) -> None:
    page = show(report.path)
    page.locator(".card").first.locator("footer button").first.click()
    assert page.locator("#all-tiles .thumb").count() == max(sizes(page))
    page.locator("#all-close").click()
    page.locator(".card").nth(1).locator("footer button").nth(1).click()
    page.wait_for_timeout(100)
    assert page.evaluate("window.scrollY") < page.locator("#clusters").evaluate("e => e.offsetTop")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_light_and_dark_follow_the_system_and_the_button(show: Show, report: Any, theme: str) -> None:
    page = show(report.path, theme=theme)
    expected = {"light": "rgb(251, 250, 248)", "dark": "rgb(20, 22, 26)"}
    assert paper(page) == expected[theme]
    for choice in ("light", "dark"):
        page.locator("#theme").click()
        assert paper(page) == expected[choice]
    page.locator("#theme").click()
    assert paper(page) == expected[theme]


def test_a_phone_needs_no_sideways_scrolling(show: Show, report: Any) -> None:
    page = show(report.path, width=360, height=740)
    assert widest(page) == 360
    set_slider(page, 16)
    assert widest(page) == 360
    x, y = place(page, 30)
    page.touchscreen.tap(x, y)
    page.wait_for_selector("#viewer[open]")
    box = page.locator("#viewer").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 360


def test_hostile_names_run_nothing(show: Show, tmp_path: Path, make: Callable[..., Any]) -> None:
    clustering, images = make(40)
    hostile = ['<img src=x onerror="window.hurt=1">.png', "</script><script>window.hurt=2</script>.png"]
    clustering.names[:2] = hostile
    page = show(write_report(clustering, images, tmp_path / "report.html"))
    for name in hostile:
        page.locator("#search").fill(name)
        page.wait_for_selector("#found .hit")
        page.locator("#found .hit").first.click()
        assert page.locator("#viewer-name").text_content() == name
        page.locator("#viewer-close").click()
    assert page.evaluate("window.hurt") is None
    assert page.locator("img").count() == 0


def test_a_page_without_images_tree_or_labels_works(show: Show, tmp_path: Path, make: Callable[..., Any]) -> None:
    clustering, _ = make(40)
    clustering.tree = clustering.truth = None
    page = show(write_report(clustering, None, tmp_path / "report.html"))
    page.wait_for_selector(".card .thumb.blank")
    assert sum(sizes(page)) == 40
    assert page.locator(".card .thumb").first.text_content().startswith("picture-")


def noisy(n: int, make: Callable[..., Any]) -> tuple[Any, Images]:
    clustering, _ = make(n, 10, side=2, n_start=300)
    rng = np.random.default_rng(0)
    # Smooth colour noise compresses about as well as photographs do; drawn once, shifted for every image.
    field = rng.integers(0, 255, (3, 96, 96), dtype=np.uint8)
    field = np.stack([np.asarray(_smooth(plane)) for plane in field])
    corners = rng.integers(0, 48, (n, 2))
    pixels = np.stack([field[:, a : a + 48, b : b + 48] for a, b in corners])
    return clustering, Images(pixels, names=clustering.names)


def _smooth(plane: np.ndarray[Any, Any]) -> Any:
    from PIL import Image, ImageFilter

    return Image.fromarray(plane).filter(ImageFilter.GaussianBlur(0.8))


def test_ten_thousand_images_stay_under_fifteen_megabytes(tmp_path: Path, make: Callable[..., Any]) -> None:
    clustering, images = noisy(10_000, make)
    clustering.embedding = clustering.embedding[:, :2].copy()
    path = write_report(clustering, images, tmp_path / "report.html")
    assert 3e6 < path.stat().st_size < 15e6


def test_seventy_thousand_images_open_within_20_seconds(show: Show, tmp_path: Path, make: Callable[..., Any]) -> None:
    clustering, images = make(70_000, 10, side=8)
    clustering.embedding = clustering.embedding[:, :2].copy()
    path = write_report(clustering, images, tmp_path / "report.html")
    assert path.stat().st_size < 15e6
    begin = time.monotonic()
    page = show(path)
    assert sum(sizes(page)) == 70_000
    assert "10,000 of the 70,000 images" in page.locator("#clusters").text_content()
    set_slider(page, 40)
    assert sum(sizes(page)) == 70_000
    assert time.monotonic() - begin < 20
