from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinfold.data.decode import cover, load_picture, read_header, read_pixels, stretch, upright

RED, GREEN, BLUE = (200, 20, 30), (10, 180, 40), (20, 30, 220)


@pytest.fixture
def picture() -> Image.Image:
    """40 wide, 20 high: red left, blue right, green corner at the top left."""
    pixels = np.zeros((20, 40, 3), dtype=np.uint8)
    pixels[:, :20], pixels[:, 20:], pixels[:8, :8] = RED, BLUE, GREEN
    return Image.fromarray(pixels)


def saved(picture: Image.Image, path: Path, **options) -> Path:
    picture.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("suffix", "tolerance", "options"),
    [
        ("png", 0, {}),
        ("bmp", 0, {}),
        ("gif", 0, {}),
        ("tif", 0, {}),
        ("tif", 0, {"compression": "tiff_lzw"}),
        ("tif", 0, {"compression": "tiff_deflate"}),
        ("webp", 0, {"lossless": True}),
        ("webp", 40, {"quality": 95}),
        ("jpg", 12, {"quality": 98, "subsampling": 0}),
        ("jpg", 12, {"quality": 98, "subsampling": 0, "progressive": True}),
        ("ppm", 0, {}),
        ("jp2", 2, {}),
    ],
)
def test_every_format_gives_the_same_pixels(
    picture: Image.Image, tmp_path: Path, suffix: str, tolerance: int, options: dict
) -> None:
    path = saved(picture, tmp_path / f"a.{suffix}", **options)
    header = read_header(path)
    assert (header.size, header.grey, header.deep) == ((20, 40), False, False)
    pixels = read_pixels(path, (3, 20, 40))
    assert pixels.shape == (3, 20, 40)
    difference = np.abs(pixels.astype(int) - np.asarray(picture).transpose(2, 0, 1))
    assert np.quantile(difference, 0.95) <= tolerance


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tif", "jpg", "pgm"])
def test_grey_stays_grey(tmp_path: Path, suffix: str) -> None:
    grey = Image.fromarray(np.tile(np.arange(0, 250, 10, dtype=np.uint8), (25, 1)))
    path = saved(grey, tmp_path / f"a.{suffix}")
    assert read_header(path).grey
    np.testing.assert_allclose(read_pixels(path, (1, 25, 25))[0].astype(int), np.asarray(grey), atol=4)
    colour = read_pixels(path, (3, 25, 25))
    np.testing.assert_array_equal(colour[0], colour[2])


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(picture: Image.Image, tmp_path: Path, suffix: str, orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # the camera turned it by 270 degrees
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    as_taken = picture.transpose(undo[orientation]) if orientation > 1 else picture
    exif = Image.Exif()
    exif[274] = orientation
    options = {"quality": 98, "subsampling": 0} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    path = saved(as_taken, tmp_path / f"a.{suffix}", exif=exif, **options)
    assert read_header(path).size == (20, 40)
    pixels = read_pixels(path, (3, 20, 40)).transpose(1, 2, 0)
    for place, colour in (((3, 3), GREEN), ((15, 5), RED), ((10, 35), BLUE)):
        np.testing.assert_allclose(pixels[place].astype(int), colour, atol=12)
    small = read_pixels(path, (3, 10, 20)).transpose(1, 2, 0)
    np.testing.assert_allclose(small[1, 1].astype(int), GREEN, atol=25)


def test_palette_and_its_transparency(picture: Image.Image, tmp_path: Path) -> None:
    palette = picture.quantize(8)
    path = saved(palette, tmp_path / "p.png")
    assert not read_header(path).grey
    np.testing.assert_allclose(read_pixels(path, (3, 20, 40))[:, 15, 5].astype(int), RED, atol=4)
    clear = saved(palette, tmp_path / "t.png", transparency=palette.getpixel((5, 15)))
    pixels = read_pixels(clear, (3, 20, 40))
    assert pixels[:, 15, 5].tolist() == [255, 255, 255]
    np.testing.assert_allclose(pixels[:, 10, 35].astype(int), BLUE, atol=4)
    greys = Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10)).convert("P")
    assert read_header(saved(greys, tmp_path / "g.png")).grey


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_alpha_lies_over_white(tmp_path: Path, suffix: str) -> None:
    picture = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    picture.paste((*RED, 255), (0, 0, 4, 8))
    picture.paste((0, 0, 0, 128), (4, 4, 8, 8))
    path = saved(picture, tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    pixels = read_pixels(path, (3, 8, 8)).transpose(1, 2, 0)
    assert pixels[1, 6].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == list(RED)
    np.testing.assert_allclose(pixels[6, 6].astype(int), 127, atol=1)


def test_grey_with_alpha_stays_grey(tmp_path: Path) -> None:
    path = saved(Image.new("LA", (6, 6), (100, 0)), tmp_path / "a.png")
    assert read_header(path).grey
    assert (read_pixels(path, (1, 6, 6)) == 255).all()


def test_cmyk_and_one_bit(picture: Image.Image, tmp_path: Path) -> None:
    path = saved(picture.convert("CMYK"), tmp_path / "a.jpg", quality=98)
    np.testing.assert_allclose(read_pixels(path, (3, 20, 40))[:, 15, 5].astype(int), RED, atol=20)
    tiff = saved(picture.convert("CMYK"), tmp_path / "a.tif")
    np.testing.assert_allclose(read_pixels(tiff, (3, 20, 40))[:, 15, 5].astype(int), RED, atol=2)
    bits = Image.fromarray(np.eye(8, dtype=bool))
    for suffix in ("png", "tif"):
        path = saved(bits, tmp_path / f"b.{suffix}")
        np.testing.assert_array_equal(read_pixels(path, (1, 8, 8))[0], np.eye(8) * 255)


@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_sixteen_bits_are_stretched_by_the_stated_rule(tmp_path: Path, suffix: str) -> None:
    values = np.linspace(1000, 3000, 1600).astype(np.uint16).reshape(40, 40)
    path = saved(Image.fromarray(values), tmp_path / f"a.{suffix}")
    header = read_header(path)
    assert header.grey
    assert header.deep
    low, high = np.percentile(values, (0.5, 99.5))
    expected = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)
    np.testing.assert_allclose(read_pixels(path, (1, 40, 40))[0], expected, atol=1)


def test_floating_point_and_big_endian_tiff(tmp_path: Path) -> None:
    values = np.linspace(-1, 1, 400, dtype=np.float32).reshape(20, 20)
    pixels = read_pixels(saved(Image.fromarray(values), tmp_path / "f.tif"), (1, 20, 20))
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert (np.diff(pixels.ravel().astype(int)) >= 0).all()
    big = Image.frombytes("I;16B", (4, 4), np.arange(0, 1600, 100, dtype=">u2").tobytes())
    path = saved(big, tmp_path / "b.tif")
    assert (np.diff(read_pixels(path, (1, 4, 4)).ravel().astype(int)) > 0).all()


def test_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (10, 10), colour) for colour in (RED, BLUE, GREEN)]
    for suffix in ("gif", "tif", "webp", "png"):
        options = {"lossless": True} if suffix == "webp" else {}
        path = tmp_path / f"a.{suffix}"
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)
        np.testing.assert_allclose(read_pixels(path, (3, 10, 10))[:, 5, 5].astype(int), RED, atol=3)


def test_bytes_are_read_like_files(picture: Image.Image, tmp_path: Path) -> None:
    path = saved(picture, tmp_path / "a.png")
    content = io.BytesIO(path.read_bytes()).getbuffer()
    assert read_header(content) == read_header(path)
    np.testing.assert_array_equal(read_pixels(content, (3, 16, 16)), read_pixels(path, (3, 16, 16)))


def test_a_photo_is_decoded_small(tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 255, 1600).astype(np.uint8), (1200, 1))
    path = saved(Image.fromarray(ramp).convert("RGB"), tmp_path / "a.jpg", quality=95)
    assert load_picture(path, (128, 128), crop=False).size == (200, 150)
    pixels = read_pixels(path, (3, 128, 128))
    crop = np.asarray(cover(Image.fromarray(ramp), (128, 128)))
    assert np.abs(pixels[0].astype(int) - crop).max() <= 3


def test_cover_is_shorter_side_and_centre_crop() -> None:
    wide = Image.fromarray(np.tile(np.arange(0, 240, dtype=np.uint8), (120, 1)))
    np.testing.assert_array_equal(np.asarray(cover(wide, (120, 120))), np.asarray(wide)[:, 60:180])
    shorter = wide.resize((60, 30), Image.Resampling.BICUBIC).crop((15, 0, 45, 30))
    np.testing.assert_allclose(np.asarray(cover(wide, (30, 30))).astype(int), np.asarray(shorter), atol=1)
    assert cover(Image.new("L", (3, 5)), (64, 64)).size == (64, 64)


def test_stretch_by_hand() -> None:
    assert stretch(np.full((3, 3), 7, dtype=np.uint16)).max() == 0
    assert stretch(np.array([[0, 50, 100]], dtype=np.int64)).tolist() == [[0, 128, 255]]
    rare = np.zeros((50, 50), dtype=np.uint16)
    rare[0, 0] = 9
    assert stretch(rare)[0, 0] == 255


def test_upright_leaves_the_picture_alone() -> None:
    picture = Image.new("RGBA", (4, 4), (9, 9, 9, 100))
    upright(picture)
    assert picture.mode == "RGBA"
    assert picture.getpixel((0, 0)) == (9, 9, 9, 100)
