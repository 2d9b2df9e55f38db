"""Any number of images to features on disk, part by part: what `kinfold embed` does."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from kinfold.data.brightness import alike
from kinfold.data.features import (
    FORMAT,
    MANIFEST,
    RESTORE,
    VERSION,
    FeatureShards,
    PartWriter,
    check_part,
    part_line,
    part_name,
    write_manifest,
)
from kinfold.data.images import Images
from kinfold.data.stream import Parts, parts_of
from kinfold.errors import InputError, NoRoomError
from kinfold.estimator import DeepClusterer
from kinfold.files import read_json, weights, write_text
from kinfold.nn import pretrained
from kinfold.runtime import Runtime
from kinfold.train import pixels

__all__ = ["write_features"]

LISTING = "files.jsonl"


class Model(NamedTuple):
    """A network, the shape of the images it takes (None: as they come), what identifies it, and their `scale_of`."""

    net: nn.Module
    shape: tuple[int, ...] | None
    about: dict[str, Any]
    scale: str | None = None


def write_features(
    source: Any,
    folder: str | Path,
    model: str | Path | DeepClusterer[Any] | nn.Module = "efficientnet-lite0",
    *,
    image_size: int | None = None,
    part_size: int = 10_000,
    batch_size: int = 256,
    labels: bool = False,
    resume: bool = False,
    runtime: Runtime | None = None,
) -> FeatureShards:
    """Compute features of images that need not fit in memory, and write them as half-precision parts with checksums.

    Parameters
    ----------
    source
        Tar shards (``"digits-{000..099}.tar"``, an address that fsspec opens, a folder of them), a folder of files, a
        list of paths, a ``.npy``, or anything else that `kinfold.as_images` reads.
    folder
        Where the parts go; see `kinfold.data.features`.
    model
        A run folder, a fitted estimator, the name of a pretrained network, or a network ``(b, c, h, w) -> (b, d)``.
    image_size
        Pixels a side for a network that was not fitted by Kinfold: a pretrained one has its own size, and one of yours
        takes the rows of an array as they come, but needs a size for image files.
    part_size
        Images in a part; tar shards are parts as they are.
    batch_size
        Images at a time.
    labels
        Whether class folders are known classes, to be kept beside the names.
    resume
        Go on with what a stopped call has left: parts that are whole are kept; those that are damaged, or whose source
        has changed since, are written again.
    runtime
        Device, precision and processes; several processes share the parts out.

    Returns
    -------
    FeatureShards

    Raises
    ------
    InputError
        When the source or the model cannot be used, the source holds no picture, or the folder holds something else or
        was begun with other parts.
    NoRoomError
        When the disk is full; finished parts are kept.

    Examples
    --------
    >>> import tempfile
    >>> images = np.zeros((5, 8, 8), dtype=np.uint8)
    >>> write_features(images, tempfile.mkdtemp() + "/features", nn.Flatten()).shape
    (5, 64)
    """
    run, folder = runtime or Runtime(), Path(folder)
    chosen = _model(model, image_size)
    source_name = str(source) if isinstance(source, (str, Path)) else type(source).__name__
    about = {"model": chosen.about, "source": source_name, "part_size": part_size, "labels": labels}
    if run.is_main:
        _claim(folder, about, resume)
        parts = _parts(source, folder, part_size, labels, run)
        _begin(folder, about, parts.names)
    run.wait()
    if not run.is_main:
        parts = _parts(source, folder, part_size, labels, run)
    _embed_all(parts, folder, chosen, batch_size, run)
    run.wait()
    if run.is_main:
        run.progress.phase("checking features", len(parts.names))
        said = [check_part(folder, number) for number in range(len(parts.names))]
        _refuse_nothing(said, folder, source_name)
        lines = [part_line(one, name) for one, name in zip(said, parts.names, strict=True)]
        write_manifest(folder, about, said[-1]["d"], lines)
    run.wait()
    return FeatureShards(folder, check=False)  # each part has just been checked


def _embed_all(parts: Parts, folder: Path, model: Model, batch_size: int, run: Runtime) -> None:
    """Write this process's share of the parts that are not there yet."""
    net = run.to(model.net).eval()
    own = range(run.rank, len(parts.names), run.world)
    run.progress.phase("embedding parts", len(own))
    for number in own:
        origin = parts.origin(number)  # before it is read: a change on the way is found later
        if not _is_whole(folder, number, origin, run):
            blocks = parts.blocks(number, model.shape, batch_size)
            try:
                _embed_part(blocks, folder, number, origin, net, model, run)
            except NoRoomError as error:
                raise NoRoomError(
                    f"{folder} has no room left for part {number + 1} of {len(parts.names)}; the parts before it are "
                    "kept: make room and go on with --resume."
                ) from error
        run.progress.advance()


def _embed_part(
    blocks: Iterator[Images],
    folder: Path,
    number: int,
    origin: dict[str, Any],
    net: nn.Module,
    model: Model,
    run: Runtime,
) -> None:
    """Features of one part, decoding the next block while this one is looked at."""
    writer: PartWriter | None = None
    d = _width(net, model.shape, run) if model.shape is not None else None
    with ThreadPoolExecutor(1) as ahead:
        coming = ahead.submit(next, blocks, None)
        first = coming.result()
        d = d or _width(net, (1,) if first is None else first.shape, run)
        with PartWriter(folder, number, d, origin) as writer:
            block = first
            while block is not None:
                coming = ahead.submit(next, blocks, None)
                if len(block):
                    block = alike(block, model.scale)
                    with torch.inference_mode(), run.autocast():
                        rows = net(pixels(block, np.arange(len(block)), run)).reshape(len(block), -1)
                    known = block.labels.tolist() if block.labels is not None else block.label_names
                    writer.add(rows.float().cpu().numpy(), block.names, known)
                writer.skipped += block.skipped
                block = coming.result()


def _width(net: nn.Module, shape: tuple[int, ...], run: Runtime) -> int:
    with torch.inference_mode(), run.autocast():
        return int(net(run.to(torch.zeros(1, *shape))).reshape(1, -1).shape[1])


def _is_whole(folder: Path, number: int, origin: dict[str, Any], run: Runtime) -> bool:
    """Whether a part needs no work; one that is damaged, or whose source has changed, is said to be written again."""
    if not (folder / f"{part_name(number)}.json").exists():
        return False
    try:
        then = check_part(folder, number).get("read_from", {})
    except InputError as error:
        run.progress.say(f"{error} Writing it again.")
        return False
    if any(then[key] != origin[key] for key in then.keys() & origin.keys()):
        run.progress.say(f"What {part_name(number)} was read from ({origin['name']}) has changed. Writing it again.")
        return False
    return True


def _parts(source: Any, folder: Path, part_size: int, labels: bool, run: Runtime) -> Parts:
    return parts_of(source, folder / LISTING, per_part=part_size, labels=labels, progress=run.progress)


def _claim(folder: Path, about: dict[str, Any], resume: bool) -> None:
    """Agree that a folder is free for these features, or holds a part of them already.

    Raises
    ------
    InputError
        When it holds something else, or may not be gone on with.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; give a folder for the features.")
    if folder.exists() and any(folder.iterdir()):
        found = read_json(folder, MANIFEST, RESTORE) if (folder / MANIFEST).exists() else {}
        if _holds_no_part(folder, found):
            if not (resume and _differing(found, about) is None):
                _forget(folder)
            return
        if found.get("format") != FORMAT:
            raise InputError(f"{folder} holds files that are no features; give an empty or a new folder.")
        if not resume:
            state = "features that are not finished" if found.get("unfinished") else "features already"
            raise InputError(f"{folder} holds {state}; add --resume to go on, or give another folder.")
        if "curated" in found:
            raise InputError(f"{folder} holds features that kinfold curate has chosen; give another folder.")
        key = _differing(found, about)
        if key is not None:
            raise InputError(
                f"{folder} was begun with {key} {found.get(key)!r}, not {about[key]!r}; give the same, or another one."
            )


def _differing(found: dict[str, Any], about: dict[str, Any]) -> str | None:
    """The first thing that a manifest says otherwise."""
    return next((key for key in about if found.get(key) != json.loads(json.dumps(about[key]))), None)


def _holds_no_part(folder: Path, found: dict[str, Any]) -> bool:
    """Whether a folder holds only what a call leaves that ended, or was killed, before its first part was whole."""
    names = {path.name for path in folder.iterdir()}
    if MANIFEST in names:
        return bool(found.get("unfinished")) and not any(folder.glob("part-*.json"))
    if not names <= {LISTING, f".{LISTING}.tmp", f".{MANIFEST}.tmp"}:
        return False
    with (folder / LISTING).open("rb") if LISTING in names else io.BytesIO() as file:
        return file.read(1) in (b"", b'"', b"[")  # what is listed, one a line; else a file of the user's own


def _refuse_nothing(said: Sequence[dict[str, Any]], folder: Path, source: str) -> None:
    """Raise InputError when no part has a row, and leave the folder to another source."""
    if any(part["rows"] for part in said):
        return
    _forget(folder)
    skipped = [one for part in said for one in part["skipped"]]
    if skipped:
        path, reason = skipped[0]
        raise InputError(f"none of the {len(skipped)} images of {source} could be used; the first is {path}: {reason}.")
    raise InputError(f"{source} holds no picture; expected JPEG, PNG, WebP, BMP, GIF or TIFF files.")


def _forget(folder: Path) -> None:
    """Remove what was written for the parts of a source, so that those of another can be begun."""
    for path in (folder / MANIFEST, folder / LISTING, *folder.glob("part-*"), *folder.glob(".*.tmp")):
        path.unlink(missing_ok=True)


def _begin(folder: Path, about: dict[str, Any], names: Sequence[str]) -> None:
    """Write down what is made and of which parts, or agree that it is what was begun.

    Raises
    ------
    InputError
        When the source had other parts then: a part is known by its number, and would get another's images.
    """
    found = read_json(folder, MANIFEST) if (folder / MANIFEST).exists() else {}
    before = found.get("names") or [part["source"] for part in found.get("parts", [])]
    if before and before != list(names):
        known, here = set(before), set(names)
        changes = [f"{name} is gone" for name in before if name not in here]
        changes += [f"{name} has come" for name in names if name not in known]
        more = f", and {len(changes) - 1} more" if len(changes) > 1 else ""
        first = changes[0] if changes else "in another order"
        raise InputError(
            f"{folder} was begun with {len(before)} parts, and {about['source']} has {len(names)} now ({first}{more}); "
            "bring back what there was, or give another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    head = {"format": FORMAT, "format_version": VERSION, "unfinished": True}
    write_text(folder / MANIFEST, json.dumps({**head, **about, "names": list(names)}, indent=1) + "\n")


def _model(model: str | Path | DeepClusterer[Any] | nn.Module, image_size: int | None) -> Model:
    """The network behind a name, a run folder or an object."""
    if isinstance(model, (str, Path)) and not (Path(model) / "run.json").is_file():
        name = str(model)
        if not pretrained.available(name) and not name.startswith("timm:") and name != pretrained.LITE0:
            raise InputError(
                f"the model {name!r} is neither a run folder nor a pretrained network; expected runs/NAME, "
                f"{pretrained.LITE0!r} or 'timm:NAME'."
            )
        frozen = pretrained.frozen(name)
        side = image_size or frozen.size
        return Model(frozen, (3, side, side), {"name": name, "shape": [3, side, side]})
    if isinstance(model, (str, Path)):
        from kinfold.algorithms import load

        model = load(model)
    if isinstance(model, DeepClusterer):
        if image_size is not None:
            raise InputError(f"image_size is {image_size}, but a run takes images of the size it was fitted on.")
        net, name = model.state_.net, type(model).__name__
        about = {"name": name, "shape": model.images_shape_, "weights": _digest(net)}
        return Model(net, model.images_shape_, about, model.result_.run.get("scale"))
    shape = None if image_size is None else (3, image_size, image_size)
    return Model(model, shape, {"name": type(model).__name__, "shape": shape, "weights": _digest(model)})


def _digest(net: nn.Module) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(weights(net).items()):
        digest.update(name.encode() + value.float().numpy().tobytes())
    return digest.hexdigest()
