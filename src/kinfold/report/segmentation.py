"""Pictures beside their classes of pixels, as one HTML file that opens from disk and asks nobody for anything."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from PIL import Image

from kinfold.data.pictures import as_pictures
from kinfold.errors import InputError
from kinfold.files import write_bytes
from kinfold.report import words
from kinfold.report.palette import palette

__all__ = ["painted", "write_segmentation_report"]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
STRENGTH = 0.55  # of the colours over the picture


def write_segmentation_report(
    pictures: Any, maps: Sequence[Ints] | Ints, path: str | Path, *, title: str = "Classes of pixels"
) -> Path:
    """Write pictures and their classes of pixels as one self-contained HTML file, the pictures inside as PNG.

    Parameters
    ----------
    pictures
        As `kinfold.IICSegmentation` was given them, see `kinfold.data.pictures.as_pictures`.
    maps : n of (h, w) int
        What its `predict` said of them.
    path : str or Path
        The file to write, whole or not at all.
    title : str
        Heading.

    Raises
    ------
    InputError
        If a map is missing or has another size than its picture.

    Examples
    --------
    >>> import tempfile
    >>> picture = np.zeros((16, 16), dtype=np.uint8)
    >>> file = write_segmentation_report(picture, np.eye(16, dtype=np.int64)[None], tempfile.mkdtemp() + "/report.html")
    >>> "94 % of the pixels" in file.read_text()
    True
    """
    found = as_pictures(pictures)
    if len(found) != len(maps):
        raise InputError(f"{len(found)} pictures came with {len(maps)} maps; expected one map a picture.")
    n_classes = 1 + max(int(np.max(each)) for each in maps)
    colours = palette(n_classes)
    rows = []
    for i, (picture, classes) in enumerate(zip(found, maps, strict=True)):
        if tuple(classes.shape) != tuple(picture.shape[1:]):
            raise InputError(f"map {i} has shape {classes.shape}; expected {tuple(picture.shape[1:])} of its picture.")
        pixels = _bytes(picture.numpy())
        rows.append([_png(pixels), _png(painted(pixels, classes, colours)), _png(_flat(classes, colours))])
    counts = np.sum([np.bincount(np.asarray(each).ravel(), minlength=n_classes) for each in maps], axis=0)
    legend = [(colour, words.percent(count / counts.sum())) for colour, count in zip(colours, counts, strict=True)]
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, _page(title, rows, legend).encode())
    return path


def painted(pixels: Bytes, classes: Ints, colours: Sequence[str]) -> Bytes:
    """A picture in the colours of its classes, with lines where two meet ``(h, w, 3), (h, w) -> (h, w, 3)``."""
    grey = pixels @ np.array([0.299, 0.587, 0.114])
    mixed = (1 - STRENGTH) * grey[..., None] + STRENGTH * _flat(classes, colours)
    edge = np.zeros(classes.shape, dtype=bool)
    edge[1:] |= classes[1:] != classes[:-1]
    edge[:, 1:] |= classes[:, 1:] != classes[:, :-1]
    mixed[edge] = 255
    found: Bytes = mixed.round().astype(np.uint8)
    return found


def _flat(classes: Ints, colours: Sequence[str]) -> Bytes:
    """Classes as their colours ``(h, w) -> (h, w, 3)``."""
    table = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours], dtype=np.uint8)
    return np.asarray(table[classes])


def _bytes(picture: npt.NDArray[Any]) -> Bytes:
    """A picture to look at ``(c, h, w) -> (h, w, 3)``; floating point beyond [0, 1] is stretched."""
    if picture.dtype.kind == "f":
        low, high = min(0.0, float(picture.min())), max(1.0, float(picture.max()))
        picture = np.rint((picture - low) * (255 / (high - low))).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(picture, (3, *picture.shape[1:])).transpose(1, 2, 0))


def _png(pixels: Bytes) -> str:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _page(title: str, rows: list[list[str]], legend: list[tuple[str, str]]) -> str:
    folder = files("kinfold.report") / "page"
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string((folder / "segmentation.html.jinja").read_text("utf-8"))
    style = "".join(f".class-{i} {{ background: {colour}; }}\n" for i, (colour, _) in enumerate(legend))
    style = (folder / "segmentation.css").read_text("utf-8") + style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return template.render(title=title, rows=rows, legend=legend, style=style, style_hash=digest)
