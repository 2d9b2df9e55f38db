from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinfold.data.images import Images, as_images
from kinfold.report import sprites


def greys(n: int, side: int = 16) -> Images:
    shade = np.linspace(0, 255, n).astype(np.uint8)
    return Images(np.broadcast_to(shade[:, None, None, None], (n, 1, side, side)).copy())


def test_tiles_lie_where_the_page_looks_for_them() -> None:
    images = greys(40)
    index = np.arange(40)[::-1].copy()
    sheets = sprites.pack(sprites.drawer(images), index, 1.0, [(16, 90)], 10**6, 4, 16)
    assert [Image.open(io.BytesIO(sheet)).size for sheet in sheets.encoded] == [(64, 64), (64, 64), (64, 32)]
    picture = np.asarray(Image.open(io.BytesIO(sheets.encoded[1])).convert("L"))
    # The sixth tile of the second sheet: row 1, column 1, image 39 - 16 - 5.
    assert abs(int(picture[24, 24]) - int(images.pixels[18, 0, 0, 0])) < 6


def test_a_small_budget_gives_small_tiles() -> None:
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 255, (64, 3, 64, 64), dtype=np.uint8))
    rich = sprites.pack(sprites.drawer(images), np.arange(64), 1.0, sprites.SMALL, 10**6, 8, 64)
    poor = sprites.pack(sprites.drawer(images), np.arange(64), 1.0, sprites.SMALL, 40_000, 8, 64)
    assert rich.size == (64, 64) and poor.size[0] < 64
    assert poor.n_bytes < 50_000


@pytest.mark.parametrize("shape", [(3, 30, 20), (1, 16, 64), (17,)], ids=["upright", "wide", "vector"])
def test_tiles_keep_the_shape_of_the_images(shape: tuple[int, ...]) -> None:
    dtype = np.float32 if len(shape) == 1 else np.uint8
    images = Images(np.ones((3, *shape), dtype=dtype))
    aspect = sprites.aspect_ratio(images)
    sheets = sprites.pack(sprites.drawer(images), np.arange(3), aspect, [(64, 80)], 10**6, 4, 64)
    assert sheets.size == {(3, 30, 20): (40, 64), (1, 16, 64): (64, 32), (17,): (64, 64)}[shape]


def test_files_larger_than_their_pixels_are_drawn_from_the_file(tmp_path: Path) -> None:
    Image.fromarray(np.kron([[0, 255], [255, 0]], np.ones((100, 100))).astype(np.uint8)).save(tmp_path / "a.png")
    images = as_images(tmp_path, image_size=8)
    assert sprites.native_side(images) == 200
    assert sprites.drawer(images)(0, (160, 160)).size == (160, 160)
    (tmp_path / "a.png").unlink()
    assert sprites.native_side(images) == 8
    assert sprites.drawer(images)(0, (160, 160)).size == (160, 160)


def test_galleries_come_first_when_thumbnails_are_few() -> None:
    n = 1000
    rng = np.random.default_rng(0)
    fine = rng.integers(0, 20, n)
    coarse = fine // 5
    orders = [rng.permutation(n), rng.permutation(n)]
    found = sprites.chosen([fine], orders, (3, 2), n, 200)
    assert len(found) == len(set(found.tolist())) == 200
    for labels in (fine, coarse):
        for cluster in np.unique(labels):
            for order, count in zip(orders, (3, 2), strict=True):
                assert set(order[labels[order] == cluster][:count].tolist()) <= set(found.tolist())
    np.testing.assert_array_equal(sprites.chosen([fine], orders, (3, 2), n, n), np.arange(n))


def test_a_limit_below_the_galleries_is_kept() -> None:
    labels = np.arange(100) % 10
    assert len(sprites.chosen([labels], [np.arange(100)], (6,), 100, 25)) == 25
