"""Many image files to rows of one shape, in parallel, within a budget of memory."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from kinfold.data.decode import Header, read_header, read_pixels, reason_of, stretched
from kinfold.data.folder import NO_TEXT, Found, is_text, natural_key, shown
from kinfold.data.images import Images, ReadingProgress, Skipped, digest
from kinfold.data.store import Array, Store, allocate, as_folder, load
from kinfold.errors import InputError
from kinfold.phrases import plural

__all__ = ["DEFAULT_SIDE", "in_threads", "pillow_quiet", "plan_shape", "read_found", "say_plan"]

DEFAULT_SIDE = 128
"""Pixels a side to which images are brought when they are larger or of different sizes."""

_CHUNK = 16  # images a thread takes at a time
_TINT = 8  # of 255: what channels of a pixel may differ by in an image without colour
_RULE = 2  # raise when decoding changes, so that older caches are not reused

T = TypeVar("T")


def read_found(
    found: Sequence[Found],
    skipped: Sequence[Skipped] = (),
    *,
    source: str,
    shape: tuple[int, ...] | None = None,
    image_size: tuple[int, int] | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: ReadingProgress | None = None,
) -> tuple[Images, npt.NDArray[np.int64]]:
    """Decode files to images of one shape.

    Returns
    -------
    images, kept
        The images, and the position in `found` of each.

    Raises
    ------
    InputError
        When none can be read.
    """
    if shape is not None and (len(shape) != 3 or shape[0] not in (1, 3)):
        raise InputError(f"{source} holds image files; expected {shape}, as the model was fitted on.")
    folder = as_folder(cache)
    key = _fingerprint(found, shape, image_size) if folder is not None else ""
    cached = load(folder, key) if folder is not None else None
    if cached is not None:
        pixels, digests, facts = cached
        kept = np.array(facts["kept"], dtype=np.int64)
        failed = [Skipped(path, reason) for path, reason in facts["skipped"]]
        return _images(pixels, found, kept, [*skipped, *failed], source, facts["note"], digests), kept
    with pillow_quiet():
        headers, reasons = _headers(found, progress)
        store, digests, note = _decode(found, headers, reasons, shape, image_size, folder, source, progress)
    failed = [Skipped(shown(found[i].name), reasons[i]) for i in sorted(reasons)]
    kept = np.array([i for i in range(len(found)) if i not in reasons], dtype=np.int64)
    pixels = store.trim(kept)
    digests = digests[kept]
    if folder is not None:
        facts = {"kept": kept.tolist(), "skipped": [[one.path, one.reason] for one in failed], "note": note}
        store.keep(folder, key, facts, digests)
    return _images(pixels, found, kept, [*skipped, *failed], source, note, digests), kept


def in_threads(
    work: Callable[[int], T], indices: Sequence[int], progress: ReadingProgress | None, phase: str
) -> Iterator[tuple[int, T]]:
    """Do `work` for each index in a pool of threads; yield (index, result) in order.

    Pillow and NumPy let go of the interpreter's lock while they decode, so threads run side by side.
    """
    chunks = [indices[start : start + _CHUNK] for start in range(0, len(indices), _CHUNK)]
    if progress is not None:
        progress.phase(phase, len(indices))
    pool = ThreadPoolExecutor(_threads())
    try:
        for chunk, results in zip(chunks, pool.map(lambda part: [work(i) for i in part], chunks), strict=True):
            yield from zip(chunk, results, strict=True)
            if progress is not None:
                progress.advance(len(chunk))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if progress is not None:
            progress.done()


def plan_shape(
    headers: Sequence[Header], shape: tuple[int, ...] | None, image_size: tuple[int, int] | None
) -> tuple[int, int, int]:
    """The shape all images get: what was asked, or their own if they share one of at most 128 x 128, else 128 x 128."""
    if shape is not None:
        return shape[0], shape[1], shape[2]
    channels = 1 if all(header.grey for header in headers) else 3
    if image_size is not None:
        return channels, image_size[0], image_size[1]
    sizes = {header.size for header in headers}
    if len(sizes) == 1 and max(size := next(iter(sizes))) <= DEFAULT_SIDE:
        return channels, size[0], size[1]
    return channels, DEFAULT_SIDE, DEFAULT_SIDE


def say_plan(headers: Sequence[Header], plan: tuple[int, int, int]) -> list[str]:
    """What was done to bring all images to one shape, in sentences."""
    channels, height, width = plan
    note = []
    resized = sum(header.size != (height, width) for header in headers)
    if resized:
        rule = "shorter side, centre crop" if height == width else "height x width; scaled to cover, centre crop"
        note.append(f"resized {plural(resized, 'image')} to {height} x {width} ({rule})")
    grey = sum(header.grey for header in headers)
    if channels == 3 and grey:
        note.append(
            f"read {plural(grey, 'grey image')} as RGB" + (", since others have colour" if grey < len(headers) else "")
        )
    if channels == 1 and grey < len(headers):
        note.append(f"read {plural(len(headers) - grey, 'colour image')} as grey")
    deep = sum(header.deep for header in headers)
    if deep:
        note.append(stretched(deep, "more than 8 bits"))
    return note


def _headers(found: Sequence[Found], progress: ReadingProgress | None) -> tuple[list[Header | None], dict[int, str]]:
    reasons: dict[int, str] = {}

    def header(i: int) -> Header | str:
        if not is_text(found[i].name):
            return NO_TEXT
        try:
            return read_header(found[i].encoded)
        except Exception as error:  # Pillow raises nearly anything on damaged files
            return reason_of(error, found[i].encoded)

    headers: list[Header | None] = [None] * len(found)
    for i, result in in_threads(header, range(len(found)), progress, "reading headers"):
        if isinstance(result, str):
            reasons[i] = result
        else:
            headers[i] = result
    return headers, reasons


def _decode(
    found: Sequence[Found],
    headers: Sequence[Header | None],
    reasons: dict[int, str],
    shape: tuple[int, ...] | None,
    image_size: tuple[int, int] | None,
    folder: Path | None,
    source: str,
    progress: ReadingProgress | None,
) -> tuple[Store, npt.NDArray[np.uint8], list[str]]:
    """Fill a store with all that can be decoded; what cannot is added to `reasons`."""
    while True:
        good = {i: header for i, header in enumerate(headers) if header is not None and i not in reasons}
        if not good:
            raise InputError(_nothing(source, reasons))
        plan = plan_shape(list(good.values()), shape, image_size)
        store = allocate((len(found), *plan), np.uint8, folder)
        digests = np.zeros((len(found), 16), dtype=np.uint8)
        try:
            _fill(found, list(good), plan, store.rows, digests, reasons, progress)
        except BaseException:
            store.discard()
            raise
        rest = [header for i, header in good.items() if i not in reasons]
        # A damaged file must not decide the shape of the sound ones: when it did, decode again without it.
        if rest and plan_shape(rest, shape, image_size) == plan:
            if shape is not None or plan[0] == 1 or any(map(_has_colour, store.rows)):
                return store, digests, say_plan(rest, plan)
            grey = _first_channel(store, digests, folder)
            stored = sum(not header.grey for header in rest)
            note = f"read {plural(stored, 'image')} stored in colour as grey, since no image has any"
            return grey, digests, [*say_plan([replace(each, grey=True) for each in rest], (1, *plan[1:])), note]
        store.discard()


def _has_colour(image: Array) -> bool:
    """Whether channels differ anywhere ``(3, h, w) -> ()``; rows that were not filled have none."""
    return bool((np.ptp(image, axis=0) > _TINT).any())


def _first_channel(store: Store, digests: npt.NDArray[np.uint8], folder: Path | None) -> Store:
    """Room for one channel, filled with the first of three; digests are made anew."""
    n, _, *size = store.rows.shape
    try:
        grey = allocate((n, 1, *size), np.uint8, folder)
        for i in range(n):
            grey.rows[i] = store.rows[i, :1]
            digests[i] = digest(grey.rows[i])
    finally:
        store.discard()
    return grey


def _fill(
    found: Sequence[Found],
    indices: Sequence[int],
    plan: tuple[int, int, int],
    rows: Array,
    digests: npt.NDArray[np.uint8],
    reasons: dict[int, str],
    progress: ReadingProgress | None,
) -> None:
    def decode(i: int) -> str | None:
        try:
            rows[i] = read_pixels(found[i].encoded, plan)
        except Exception as error:  # Pillow raises nearly anything on damaged files
            return reason_of(error, found[i].encoded)
        digests[i] = digest(rows[i])
        return None

    for i, reason in in_threads(decode, indices, progress, "decoding images"):
        if reason is not None:
            reasons[i] = reason


def _nothing(source: str, reasons: dict[int, str]) -> str:
    if not reasons:
        return f"{source} holds no files; expected images (JPEG, PNG, WebP, BMP, GIF, TIFF)."
    first = reasons[min(reasons)]
    return (
        f"{source} holds no readable image among {plural(len(reasons), 'file')} (the first: {first}); "
        "expected JPEG, PNG, WebP, BMP, GIF or TIFF."
    )


def _images(
    pixels: Array,
    found: Sequence[Found],
    kept: npt.NDArray[np.int64],
    skipped: list[Skipped],
    source: str,
    note: Sequence[str],
    digests: npt.NDArray[np.uint8],
) -> Images:
    pixels.flags.writeable = False
    paths = [one.encoded for i in kept if isinstance((one := found[i]).encoded, Path)]
    return Images(
        pixels,
        names=[found[i].name for i in kept],
        paths=[path for path in paths if isinstance(path, Path)] if len(paths) == len(kept) else None,
        skipped=sorted(skipped, key=lambda one: natural_key(one.path)),
        source=source,
        note=note,
        digests=digests,
    )


def _fingerprint(found: Sequence[Found], shape: Any, image_size: Any) -> str:
    """A key of what is decoded and how: names, sizes, times and modes of the files, and the rule."""
    state = hashlib.blake2b(
        repr((_RULE, DEFAULT_SIDE, shape, image_size, Image.MAX_IMAGE_PIXELS)).encode(), digest_size=12
    )
    for one in found:
        facts: tuple[Any, ...] = ()
        if isinstance(one.encoded, Path):
            try:
                status = one.encoded.stat()
                facts = (status.st_size, status.st_mtime_ns, status.st_mode)
            except OSError:
                facts = ("gone",)
        else:
            facts = (hashlib.blake2b(one.encoded, digest_size=12).hexdigest(),)
        state.update(repr((one.name, facts)).encode())
    return state.hexdigest()


@contextmanager
def pillow_quiet() -> Iterator[None]:
    """Silence Pillow's warnings about damaged metadata; those about size become errors, that is skipped files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _threads() -> int:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(2, min(16, count))
