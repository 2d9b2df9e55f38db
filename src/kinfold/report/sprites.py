"""Thumbnails packed into sheets: a page of 10,000 images holds some forty pictures, not ten thousand."""

from __future__ import annotations

import base64
import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, features

from kinfold.data.images import Images

Ints = npt.NDArray[np.int64]
Drawn = Callable[[int, tuple[int, int]], Image.Image]

# Longer side of a tile in pixels and the encoder's quality, from the best to the smallest.
SMALL = [(128, 80), (96, 80), (80, 78), (64, 75), (56, 72), (48, 72), (48, 58), (40, 50), (32, 45), (32, 25)]
LARGE = [(160, 80), (144, 78), (128, 75), (112, 72), (96, 65), (80, 55)]
N_PROBES = 48


@dataclass(frozen=True)
class Sheets:
    """Tiles of one size, row by row on sheets of ``columns`` x ``columns``.

    Attributes
    ----------
    index : (m,) int64
        The image of each tile, in the order they are laid down.
    size : (int, int)
        Width and height of a tile in pixels.
    columns : int
        Tiles a row, and rows a sheet; the last sheet may hold fewer rows.
    mime : str
        Media type of the sheets.
    encoded : list of bytes
        The sheets.
    """

    index: Ints
    size: tuple[int, int]
    columns: int
    mime: str
    encoded: list[bytes]

    @property
    def n_bytes(self) -> int:
        """Size of all sheets before base64."""
        return sum(map(len, self.encoded))

    def texts(self) -> list[str]:
        """The sheets in base64."""
        return [base64.b64encode(sheet).decode("ascii") for sheet in self.encoded]


def tile_size(long_side: int, aspect: float) -> tuple[int, int]:
    """Width and height of a tile, in multiples of 8 so that neighbours on a sheet do not bleed into each other.

    Examples
    --------
    >>> tile_size(48, 92 / 112)
    (40, 48)
    """
    aspect = min(2.0, max(0.5, aspect))
    width, height = (1.0, 1 / aspect) if aspect >= 1 else (aspect, 1.0)
    return max(8, 8 * round(long_side * width / 8)), max(8, 8 * round(long_side * height / 8))


def drawer(images: Images) -> Drawn:
    """A function that draws image i at (width, height), from the decoded pixels where they are large enough."""
    pixels = images.pixels
    decoded = pixels.ndim == 4 and pixels.dtype == np.uint8

    def draw(i: int, size: tuple[int, int]) -> Image.Image:
        # Files are opened again only where the decoded pixels are too small: decoding is what takes the time.
        if decoded and (images.paths is None or min(pixels.shape[2:]) >= max(size)):
            array = np.moveaxis(np.asarray(pixels[i]), 0, -1)
            picture = Image.fromarray(np.ascontiguousarray(array[..., 0] if array.shape[-1] == 1 else array))
        else:
            picture = images.thumbnail(i, max(size))
        return ImageOps.fit(picture.convert("RGB"), size, Image.Resampling.LANCZOS)

    return draw


def aspect_ratio(images: Images) -> float:
    """Width over height that tiles have; 1 for vectors."""
    return 1.0 if images.is_vectors else images.shape[-1] / images.shape[-2]


def native_side(images: Images) -> int:
    """Longer side beyond which a tile would only be blown up, in pixels; files are judged by up to 16 of them."""
    if images.is_vectors:
        return 64
    side = max(images.shape[-2:])
    if images.paths is not None:
        for i in np.linspace(0, len(images) - 1, min(16, len(images)), dtype=int):
            # A file may have gone away since it was read; its decoded pixels are shown then.
            with contextlib.suppress(Exception), Image.open(images.paths[i]) as picture:
                side = max(side, *picture.size)
    return side


def pack(
    draw: Drawn, index: Ints, aspect: float, ladder: Sequence[tuple[int, int]], budget: int, columns: int, native: int
) -> Sheets:
    """Lay tiles of these images on sheets, at the best size and quality of ``ladder`` that fits ``budget`` bytes.

    The expected size comes from a trial sheet of tiles spread over all images.
    """
    ceiling = 8 * -(-max(native, 16) // 8)
    steps = list(dict.fromkeys((min(side, ceiling), quality) for side, quality in ladder))
    probe = index[np.linspace(0, len(index) - 1, min(N_PROBES, len(index)), dtype=int)] if len(index) else index
    mime = "image/webp" if features.check("webp") else "image/jpeg"
    size, quality = tile_size(steps[-1][0], aspect), steps[-1][1]
    for side, trial in steps:
        expected = len(_sheet(draw, probe, tile_size(side, aspect), 7, trial, mime)) / max(1, len(probe)) * len(index)
        if expected <= budget:
            size, quality = tile_size(side, aspect), trial
            break
    a_sheet = columns * columns
    encoded = [
        _sheet(draw, index[first : first + a_sheet], size, columns, quality, mime)
        for first in range(0, len(index), a_sheet)
    ]
    return Sheets(index, size, columns, mime, encoded)


def _sheet(draw: Drawn, index: Ints, size: tuple[int, int], columns: int, quality: int, mime: str) -> bytes:
    rows = max(1, -(-len(index) // columns))
    sheet = Image.new("RGB", (columns * size[0], rows * size[1]))
    for t, i in enumerate(index):
        sheet.paste(draw(int(i), size), (t % columns * size[0], t // columns * size[1]))
    stream = io.BytesIO()
    if mime == "image/webp":
        sheet.save(stream, "WEBP", quality=quality, method=3)
    else:
        sheet.save(stream, "JPEG", quality=quality, optimize=True)
    return stream.getvalue()


def chosen(
    groups: Sequence[Ints], orders: Sequence[Ints], n_each: Sequence[int], n: int, limit: int, seed: int = 0
) -> Ints:
    """Images that get a thumbnail ``-> (m,)``: those every gallery opens with, then others drawn at random.

    Parameters
    ----------
    groups : sequence of (n,) int64
        Partitions whose galleries must be complete. What leads a cluster leads one of its parts as well, so the
        finest cut serves all coarser ones.
    orders : sequence of (n,) int64
        Images in the order in which a gallery takes them (most typical first, ...).
    n_each : sequence of int
        How many of each order a gallery shows.
    n, limit : int
        Number of images, and of thumbnails.
    """
    if n <= limit:
        return np.arange(n)
    leading = leaders(groups, orders, n_each, limit)
    rest = np.setdiff1d(np.arange(n), leading)
    drawn = np.random.default_rng(seed).choice(rest, limit - len(leading), replace=False)
    return np.sort(np.concatenate([leading, drawn]))


def leaders(groups: Sequence[Ints], orders: Sequence[Ints], n_each: Sequence[int], limit: int) -> Ints:
    """The first images of every cluster in every order ``-> (m,)``, m at most ``limit``: fewer of each if need be."""
    taken: dict[int, None] = {}
    place = [[_place_in_group(labels, order) for order in orders] for labels in groups]
    # Rank by rank, so that a tight limit shortens every gallery alike.
    for rank in range(max(n_each)):
        for labels_places in place:
            for in_group, count in zip(labels_places, n_each, strict=True):
                if rank >= count:
                    continue
                for i in np.flatnonzero(in_group == rank):
                    if len(taken) >= limit:
                        return np.sort(np.fromiter(taken, dtype=np.int64))
                    taken[int(i)] = None
    return np.sort(np.fromiter(taken, dtype=np.int64, count=len(taken)))


def _place_in_group(labels: Ints, order: Ints) -> Ints:
    """Position of each image within its cluster when taken in this order; -1 where the order leaves it out."""
    place = np.full(len(labels), -1, dtype=np.int64)
    if len(order) == 0:
        return place
    of = labels[order]
    by_cluster = np.argsort(of, kind="stable")
    starts = np.searchsorted(of[by_cluster], np.arange(of.max() + 2))
    place[order[by_cluster]] = np.arange(len(order)) - starts[of[by_cluster]]
    return place
