"""Files that are written whole or not at all, and values turned into files without pickle.

Two forms are used everywhere in Kinfold: a JSON text for structure and numbers, a safetensors file for arrays.
:func:`pack` splits a value into the two, :func:`unpack` puts it together again, bit for bit.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
import os
import shutil
import stat
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TextIO

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kinfold.errors import InputError, KinfoldError, room_for

MAX_JSON = 256 * 2**20


@contextlib.contextmanager
def written(path: str | Path) -> Iterator[BinaryIO]:
    """A file to fill under a temporary name; flushed to disk and renamed at the end: a kill leaves the old or the new.

    Whatever goes wrong on the way takes the temporary file with it; a full disk is told as `room_for` tells it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with written(folder / "a.bin") as file:
    ...     _ = file.write(b"abc")
    >>> [p.name for p in folder.iterdir()]
    ['a.bin']
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with room_for(path):
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)  # the name that the user gave
        raise
    _sync_folder(path.parent)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a whole file as :func:`written` does.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_bytes(folder / "a.bin", b"abc")
    >>> [p.name for p in folder.iterdir()]
    ['a.bin']
    """
    with written(path) as file:
        file.write(content)


def write_text(path: str | Path, content: str) -> None:
    """Write UTF-8 text as :func:`write_bytes` does; file names that are not valid text survive the round trip."""
    write_bytes(path, content.encode("utf-8", errors="surrogateescape"))


class _OneLine:
    """Rows of a csv.writer that end in the sign of Windows, one at a time, written to end in a newline alone."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, row: str) -> int:
        return self.file.write(row.removesuffix("\r\n") + "\n")


def csv_writer(file: TextIO) -> Any:
    """A csv.writer whose lines end in a newline, and which quotes a cell that holds a carriage return, too.

    Python before 3.13 quotes only signs that end its own lines, and reads back two rows where a name holds another.

    Examples
    --------
    >>> import io
    >>> text = io.StringIO(newline="")
    >>> _ = csv_writer(text).writerow(["a\\rb", "c", "d,e"])
    >>> text.getvalue()
    '"a\\rb",c,"d,e"\\n'
    """
    return csv.writer(_OneLine(file), lineterminator="\r\n")


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder durable; Windows has no such call and needs none."""
    if os.name == "nt":  # pragma: no cover
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def safe_join(root: str | Path, relative: str) -> Path:
    """Join a path from a table to a folder, refusing whatever would leave that folder.

    Raises
    ------
    InputError
        If `relative` is empty, absolute, holds ``..``, a drive or a NUL, or passes through a link that leads out.

    Examples
    --------
    >>> safe_join("sorted", "a/b.png").as_posix()
    'sorted/a/b.png'
    >>> safe_join("sorted", "../b.png")
    Traceback (most recent call last):
    ...
    kinfold.errors.InputError: '../b.png' points outside its folder; expected a relative path without '..'.
    """
    refused = InputError(f"{relative!r} points outside its folder; expected a relative path without '..'.")
    if not relative or "\0" in relative:
        raise refused
    parts = PurePosixPath(relative.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or not parts.parts or ":" in parts.parts[0]:
        raise refused
    base = Path(root)
    joined = base.joinpath(*parts.parts)
    if not joined.resolve().is_relative_to(base.resolve()):
        raise refused
    return joined


RUN = "expected a complete run folder written by Kinfold"
AGAIN = "restore it or run again"


def regular_file(folder: Path, name: str, cure: str = RUN) -> Path:
    """Path of a plain file in a run folder, or another one whose `cure` ends the sentence.

    Raises
    ------
    InputError
        If it is missing, a symbolic link, a device or a folder.
    """
    path = folder / name
    try:
        mode = path.lstat().st_mode
    except OSError:
        raise InputError(f"{folder} has no {name}; {cure}.") from None
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is not a plain file; {cure}.")
    return path


def read_json(folder: Path, name: str, cure: str | None = None) -> dict[str, Any]:
    """Read a JSON object from a run folder, or another one whose `cure` ends the sentences.

    Raises
    ------
    InputError
        If the file is missing, larger than 256 MiB, truncated, or not an object.
    """
    path = regular_file(folder, name, cure or RUN)
    if path.stat().st_size > MAX_JSON:
        raise InputError(f"{path} is larger than 256 MiB; expected a JSON text written by Kinfold.")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise InputError(f"{path} is not valid JSON, perhaps cut short; {cure or AGAIN}.") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds a {type(value).__name__}; expected a JSON object written by Kinfold.")
    return value


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """Read a safetensors file from a run folder; InputError if it is missing or damaged."""
    path = regular_file(folder, name)
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:  # safetensors raises its own and OSError, with no common base
        raise InputError(f"{path} is not a valid safetensors file ({error}); restore it or run again.") from None


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors, whole or not at all."""
    write_bytes(path, safetensors.torch.save({name: _plain(value) for name, value in tensors.items()}))


def _plain(value: Tensor) -> Tensor:
    """A contiguous CPU copy that shares memory with nothing, as safetensors wants it."""
    return value.detach().to("cpu", copy=True).contiguous()


# -- values without pickle ---------------------------------------------------------------------------------------------


def pack(value: object, arrays: dict[str, Tensor], where: str = "state") -> Any:
    """Turn a value into JSON, moving every array into `arrays`.

    Understood are None, bool, int, float, str, numpy scalars, tensors, arrays of numbers, generators, lists, tuples,
    dicts, dataclasses, and whatever has ``state_dict`` and ``load_state_dict`` (networks, optimisers, schedulers).

    Raises
    ------
    KinfoldError
        If a value is of another kind; the sentence names the field.

    Examples
    --------
    >>> arrays = {}
    >>> form = pack({"a": 1, "b": np.arange(3)}, arrays)
    >>> unpack(form, arrays)
    {'a': 1, 'b': array([0, 1, 2])}
    """
    if isinstance(value, np.generic):  # first, as numpy's float64 is a float too
        return {"scalar": value.dtype.str, "value": pack(value.item(), arrays, where)}
    if value is None or isinstance(value, (bool, int, str)):
        return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, (Tensor, np.ndarray, torch.Generator)):
        return _pack_array(value, arrays, where)
    if hasattr(value, "state_dict") and hasattr(value, "load_state_dict"):
        return {"stateful": pack(dict(value.state_dict()), arrays, where)}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [pack(part, arrays, f"{where}[{i}]") for i, part in enumerate(value)]}
    if isinstance(value, Mapping):
        return {"dict": [[pack(k, arrays, where), pack(v, arrays, f"{where}.{k}")] for k, v in value.items()]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        parts = {name: pack(getattr(value, name), arrays, f"{where}.{name}") for name in names}
        return {"dataclass": type(value).__qualname__, "fields": parts}
    raise KinfoldError(
        f"{where} is a {type(value).__qualname__}, which a checkpoint cannot hold; expected numbers, texts, arrays, "
        "networks, optimisers, generators, or lists, dicts and dataclasses of these."
    )


def _pack_array(value: Tensor | np.ndarray[Any, Any] | torch.Generator, arrays: dict[str, Tensor], where: str) -> Any:
    if isinstance(value, Tensor):
        kind, tensor = "tensor", value
    elif isinstance(value, torch.Generator):
        kind, tensor = "generator", value.get_state()
    elif value.dtype.kind in "biuf":
        kind, tensor = "array", torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("="), order="C"))
    else:
        raise KinfoldError(f"{where} is an array of {value.dtype}, which a checkpoint cannot hold; expected numbers.")
    key = f"{len(arrays):05d} {where}"
    arrays[key] = _plain(tensor)
    return {kind: key}


def unpack(form: Any, arrays: Mapping[str, Tensor], like: object = None, hint: object = None) -> Any:
    """Rebuild what :func:`pack` took apart.

    Parameters
    ----------
    form, arrays
        What :func:`pack` returned and filled.
    like
        The value made anew by the same program: networks, optimisers, generators and dataclasses are filled in place.
    hint
        The annotated type, from which the class of a dataclass is taken when `like` is None: a file never chooses one.
    """
    if not isinstance(form, dict):
        return form
    kind: str = next(iter(form), "")
    content: Any = form.get(kind)
    if kind == "float":
        return float(content)
    if kind == "scalar":
        return np.dtype(content).type(unpack(form["value"], arrays))
    if kind in ("tensor", "array", "generator"):
        return _unpack_array(kind, arrays[content], like)
    if kind == "stateful":
        return _refill(unpack(content, arrays), like)
    if kind in ("list", "tuple"):
        olds = list(like) if isinstance(like, (list, tuple)) and len(like) == len(content) else [None] * len(content)
        parts = [unpack(part, arrays, old) for part, old in zip(content, olds, strict=True)]
        return parts if kind == "list" else tuple(parts)
    if kind == "dict":
        pairs = ((unpack(k, arrays), v) for k, v in content)
        known = like if isinstance(like, Mapping) else {}
        return {k: unpack(v, arrays, known.get(k)) for k, v in pairs}
    if kind == "dataclass":
        return _unpack_dataclass(content, form["fields"], arrays, like, hint)
    raise InputError(f"the checkpoint holds an unknown form {kind!r}; expected one written by this version of Kinfold.")


def _unpack_array(kind: str, stored: Tensor, like: object) -> Any:
    if kind == "array":
        return stored.numpy().copy()
    if kind == "generator":
        generator = like if isinstance(like, torch.Generator) else torch.Generator()
        return generator.set_state(stored)
    return stored.to(like.device) if isinstance(like, Tensor) else stored


def _refill(stored: dict[str, Any], like: Any) -> Any:
    if like is None:
        raise KinfoldError(
            "the checkpoint holds a network or optimiser that _start did not make; make it there, so that a run can "
            "be resumed."
        )
    like.load_state_dict(stored)
    if isinstance(like, Optimizer):
        # A moment in another memory order than its weight may be summed in another order: not the same bits.
        for weight, moments in like.state.items():
            for name, value in moments.items():
                if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                    moments[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)
    return like


def _unpack_dataclass(name: str, fields: dict[str, Any], arrays: Mapping[str, Tensor], like: Any, hint: Any) -> Any:
    cls = type(like) if like is not None else _dataclass_in(hint)
    if cls is None or cls.__qualname__ != name:
        raise InputError(
            f"the checkpoint holds a {name}; expected {cls.__qualname__ if cls else 'no dataclass'} there."
        )
    hints = typing.get_type_hints(cls)
    known = {field.name for field in dataclasses.fields(cls)}
    if set(fields) != known:
        raise InputError(f"the checkpoint's {name} has fields {sorted(fields)}; expected {sorted(known)}.")
    values = {key: unpack(form, arrays, getattr(like, key, None), hints.get(key)) for key, form in fields.items()}
    if like is None or cls.__dataclass_params__.frozen:
        return cls(**values)
    for key, value in values.items():
        setattr(like, key, value)
    return like


def _dataclass_in(hint: Any) -> Any:
    """The dataclass named by an annotation such as ``Tree | None``, or None."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next((found for found in map(_dataclass_in, typing.get_args(hint)) if found), None)
    return None


# -- checkpoints -------------------------------------------------------------------------------------------------------


def write_checkpoint(folder: Path, number: int, value: object, about: Mapping[str, Any]) -> None:
    """Write ``folder/step-NNNNNNNN/`` as one atomic pair of files and delete the older ones, which stay if it fails."""
    arrays: dict[str, Tensor] = {}
    form = pack(value, arrays)
    final = folder / f"step-{number:08d}"
    temporary = folder / f"{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with room_for(final):
            temporary.mkdir(parents=True)
            write_bytes(temporary / "state.safetensors", safetensors.torch.save(arrays))
            write_bytes(temporary / "state.json", json.dumps({"about": about, "form": form}).encode())
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if final.exists():
        shutil.rmtree(final)
    temporary.rename(final)
    _sync_folder(folder)
    for other in folder.glob("step-*"):
        if other != final:
            shutil.rmtree(other, ignore_errors=True)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint of a run, or None."""
    whole = (path for path in folder.glob("step-*") if path.suffix != ".tmp" and (path / "state.safetensors").is_file())
    return max((path for path in whole if (path / "state.json").is_file()), default=None)


def read_checkpoint(path: Path, like: object, check: Callable[[Any], None]) -> Any:
    """Read a checkpoint into `like`, the value made anew by the same program, after `check` agreed to what it is of."""
    stored, arrays = read_json(path, "state.json"), read_tensors(path, "state.safetensors")
    check(stored.get("about"))
    try:
        return unpack(stored["form"], arrays, like)
    except (KeyError, TypeError, IndexError, AttributeError, RuntimeError, ValueError) as error:
        if isinstance(error, KinfoldError):
            raise
        raise InputError(
            f"{path} is damaged or of another version ({error!r}); delete the folder 'checkpoint' to start over."
        ) from None


def weights(net: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers of a network as CPU copies."""
    return {name: _plain(value) for name, value in net.state_dict().items()}
