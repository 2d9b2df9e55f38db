"""A clustering of drawn images for the tests of the report, and a browser to look at its page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinfold.data.images import Images, Skipped
from kinfold.report import write_report
from kinfold.results import Clustering

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chain(n_start: int, start: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """A merge tree that joins neighbouring clusters pair by pair until one is left."""
    alive, merges = list(range(n_start)), []
    while len(alive) > 1:
        for _ in range(len(alive) // 2):
            merges.append((alive.pop(0), alive.pop(0)))
            alive.append(n_start + len(merges) - 1)
    affinity = np.linspace(1.0, 0.1, len(merges))
    return {"start": start, "merges": np.array(merges, dtype=np.int64).reshape(-1, 2), "affinity": affinity}


def made(
    n: int, n_clusters: int = 4, side: int = 16, n_start: int | None = None, **run: Any
) -> tuple[Clustering, Images]:
    """n drawn images of noise around one shade a cluster, and their clustering."""
    from kinfold.ops.agglomerate import MergeTree

    rng = np.random.default_rng(0)
    n_start = n_start or 4 * n_clusters
    start = rng.permutation(np.arange(n) % n_start).astype(np.int64)
    tree = chain(n_start, start)
    labels = MergeTree(**tree).cut(n_clusters)
    shade = (40 + 180 * start / n_start).astype(np.uint8)
    pixels = np.broadcast_to(shade[:, None, None, None], (n, 3, side, side)).copy()
    pixels[:, :, : side // 2] //= 2
    pixels[:, 0] += rng.integers(0, 20, (n, side, side), dtype=np.uint8)
    duplicate_of = np.full(n, -1, dtype=np.int64)
    duplicate_of[n - 1] = 0
    images = Images(pixels, names=[f"folder {i % 3}/picture-{i:05d}.png" for i in range(n)], source="drawn")
    clustering = Clustering(
        labels=labels,
        confidence=rng.beta(5, 1, n).astype(np.float32),
        outlier=(rng.permutation(n) / n).astype(np.float32),
        embedding=(np.eye(n_start, 8)[start] * 4 + start[:, None] % 5 + rng.normal(0, 0.6, (n, 8))).astype(np.float32),
        names=images.names,
        duplicate_of=duplicate_of,
        skipped=[Skipped("bad/one.jpg", "cut short")],
        history=[
            {"round": r, "loss": 1 / r, "n_clusters": n_start - r, "changed": 0.5 / r, "seconds": 1.0, "health": ""}
            for r in range(1, 6)
        ],
        tree=tree,
        truth=start % n_clusters,
        run={
            "algorithm": "JULE",
            "parameters": {"n_clusters": n_clusters, "random_state": 0},
            "versions": {"kinfold": "0.1.0"},
            "source": "drawn",
            "health": ["4 clusters; nothing is wrong."],
            "label_names": [f"kind {c}" for c in range(n_clusters)],
            **run,
        },
    )
    return clustering, images


@pytest.fixture
def make() -> Callable[..., tuple[Clustering, Images]]:
    """The maker of drawn clusterings."""
    return made


@dataclass(frozen=True)
class Report:
    """A written page and what it shows."""

    clustering: Clustering
    images: Images
    path: Path


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A page of 240 images in 4 clusters."""
    clustering, images = made(240)
    return Report(
        clustering, images, write_report(clustering, images, tmp_path_factory.mktemp("report") / "report.html")
    )


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium, or a skip that says why there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on the path; install Debian's package chromium to test the page")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


def asks(url: str, path: Path) -> bool:
    """Whether a request leaves the page."""
    return url != path.as_uri() and not url.startswith(("blob:", "data:"))


@pytest.fixture
def show(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a page; at the end no error may have been logged and nothing asked from outside the file."""
    opened, trouble = [], []

    def open_page(path: Path, *, width: int = 1280, height: int = 900, theme: str = "light") -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=theme,
            reduced_motion="reduce",
            has_touch=width < 600,
        )
        opened.append(context)
        page = context.new_page()
        page.on("console", lambda said: trouble.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.on("request", lambda request: trouble.append(request.url) if asks(request.url, path) else None)
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", timeout=30_000)
        return page

    yield open_page
    for context in opened:
        context.close()
    assert trouble == []
