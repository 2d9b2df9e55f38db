"""Take a clustering elsewhere: a table, class folders, or one ONNX graph that maps images to cluster probabilities.

Names in a table are data, and may come from anywhere: a path that is absolute, climbs with ``..`` or leads through a
link cannot read outside the folder of the images nor write outside the destination. Nothing that exists is overwritten.
"""

from __future__ import annotations

import csv
import filecmp
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from kinfold.errors import InputError, KinfoldError
from kinfold.files import safe_join, write_bytes, write_text

if TYPE_CHECKING:
    from kinfold.data import Images
    from kinfold.estimator import DeepClusterer
    from kinfold.results import Clustering
    from kinfold.runtime import Progress

__all__ = ["Move", "Plan", "Table", "plan_folders", "table", "write_csv", "write_folders", "write_onnx", "write_parquet"]

Table = dict[str, Sequence[Any]]
How = Literal["copy", "hardlink", "symlink"]
UNSURE = "unsure"


def table(clustering: Clustering, labels: np.ndarray | None = None) -> Table:
    """Give the clustering as named columns of equal length, one row an image.

    Parameters
    ----------
    clustering : Clustering
        A fitted estimator's ``result_``, or a run folder read back.
    labels : (n,) array of int, optional
        Other labels than ``clustering.labels``, for instance ``clustering.cut(12)``.

    Returns
    -------
    dict of str to sequence
        ``image``, ``cluster``, ``confidence``, ``outlier``, ``duplicate_of`` (a name, or an empty string).
    """
    names = clustering.names
    clusters = clustering.labels if labels is None else np.asarray(labels)
    if len(clusters) != len(names):
        raise InputError(f"labels has length {len(clusters)}; expected one for each of the {len(names)} images.")
    return {
        "image": list(names),
        "cluster": [int(label) for label in clusters],
        "confidence": [float(value) for value in clustering.confidence],
        "outlier": [float(value) for value in clustering.outlier],
        "duplicate_of": [names[i] if i >= 0 else "" for i in clustering.duplicate_of],
    }


def write_csv(columns: Table, path: str | Path) -> Path:
    """Write named columns as CSV with a header line, in UTF-8; fractions keep four digits.

    Raises
    ------
    InputError
        When `path` exists: nothing is overwritten.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "groups.csv"
    >>> print(write_csv({"image": ["a.png"], "cluster": [3], "confidence": [0.91237]}, target).read_text())
    image,cluster,confidence
    a.png,3,0.9124
    <BLANKLINE>
    """
    target = _new_file(path)
    write_text(target, csv_text(columns))
    return target


def csv_text(columns: Table) -> str:
    """Lay named columns out as the text of a CSV file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values(), strict=True):
        writer.writerow([f"{value:.4f}" if isinstance(value, float) else value for value in row])
    return text.getvalue()


def write_parquet(columns: Table, path: str | Path) -> Path:
    """Write named columns as one Parquet file.

    Raises
    ------
    InputError
        When `path` exists, or pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError(
            "Writing Parquet needs pyarrow, which is not installed; pip install 'kinfold[parquet]'."
        ) from error
    target = _new_file(path)
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table({name: list(values) for name, values in columns.items()}), sink)
    write_bytes(target, sink.getvalue().to_pybytes())
    return target


def _new_file(path: str | Path) -> Path:
    """Return `path` when it can be written without replacing anything."""
    target = Path(path)
    if target.exists() or target.is_symlink():
        raise InputError(f"{target} exists already and is not overwritten; choose another name or remove it first.")
    return target


# Class folders -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Move:
    """One image on its way: where it is, and where it goes below the destination."""

    name: str
    source: Path
    target: Path


@dataclass
class Plan:
    """What `write_folders` would do.

    Attributes
    ----------
    destination : Path
        Every target lies below it.
    moves : list of Move
        What is to be written, in the order of the table.
    refused : list of (str, str)
        Names that are left out, each with the reason.
    present : list of Path
        Targets that hold the same image already.
    """

    destination: Path
    moves: list[Move] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    present: list[Path] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Say in one line each what would be written and what is left out."""
        for move in self.moves:
            yield f"{move.source} -> {move.target}"
        for name, reason in self.refused:
            yield f"left out: {name!r}: {reason}"


def plan_folders(
    columns: Mapping[str, Sequence[Any]],
    source: str | Path,
    destination: str | Path,
    *,
    min_confidence: float = 0.0,
) -> Plan:
    """Plan one folder a cluster, without writing anything.

    An image keeps its file name where no other image in the table has the same one (letter case aside); otherwise its
    subfolders become part of the name, and what still clashes, or stands in the destination already, gets a number.

    Parameters
    ----------
    columns : mapping of str to sequence
        ``image`` (path relative to `source`, with ``/``) and ``cluster``; ``confidence`` when `min_confidence` is given.
    source : str or Path
        The folder that the names are relative to. Nothing outside it is read.
    destination : str or Path
        The folder to fill. It need not exist; nothing in it is overwritten, nothing outside it is written.
    min_confidence : float
        Images below it, in [0, 1], go to a folder called ``unsure``.

    Returns
    -------
    Plan
        For `write_folders`.
    """
    root, dest = Path(source), Path(destination)
    if not root.is_dir():
        raise InputError(
            f"The folder of the images, {str(root)!r}, is not there; say where it is now with --images FOLDER."
        )
    plan = Plan(dest)
    names: Sequence[str] = columns["image"]
    width = len(str(max((int(c) for c in columns["cluster"]), default=0)))
    shared = Counter(PurePosixPath(name).name.casefold() for name in names)
    taken: set[str] = set()
    for i, name in enumerate(names):
        unsure = min_confidence > 0 and columns["confidence"][i] < min_confidence
        cluster = UNSURE if unsure else f"cluster-{int(columns['cluster'][i]):0{width}d}"
        try:
            path = _locate(root, name)
            folder = safe_join(dest, cluster)
        except InputError as error:
            plan.refused.append((name, str(error)))
            continue
        whole = PurePosixPath(name)
        file_name = whole.name if shared[whole.name.casefold()] == 1 else "_".join(whole.parts)
        target, present = _free(folder, file_name, path, taken)
        taken.add(str(target).casefold())
        if present:
            plan.present.append(target)
        else:
            plan.moves.append(Move(name, path, target))
    return plan


def write_folders(plan: Plan, how: How = "copy", progress: Progress | None = None) -> int:
    """Carry out a plan; returns how many files were written.

    Parameters
    ----------
    plan : Plan
        From `plan_folders`.
    how : {"copy", "hardlink", "symlink"}
        Copies take space; hard links need the same disk; symbolic links break when the images move.
    progress : Progress, optional
        Told of each file.

    Raises
    ------
    KinfoldError
        When a file cannot be written; what was written until then stays, and the same call goes on from there.
    """
    if how not in ("copy", "hardlink", "symlink"):
        raise InputError(f"how is {how!r}; expected 'copy', 'hardlink' or 'symlink'.")
    if progress is not None:
        progress.phase(f"writing {plan.destination}", len(plan.moves))
    for move in plan.moves:
        try:
            move.target.parent.mkdir(parents=True, exist_ok=True)
            _put(move.source, move.target, how)
        except FileExistsError as error:
            raise KinfoldError(f"{move.target} appeared meanwhile and was not overwritten; start again.") from error
        except OSError as error:
            cure = " Hard links need one disk; use --how copy." if how == "hardlink" else ""
            raise KinfoldError(f"{move.target} could not be written: {error.strerror or error}.{cure}") from error
        if progress is not None:
            progress.advance()
    return len(plan.moves)


def _put(source: Path, target: Path, how: How) -> None:
    """Create `target` from `source`; each way fails when `target` exists."""
    if how == "hardlink":
        os.link(source.resolve(), target)
    elif how == "symlink":
        target.symlink_to(source.resolve())
    else:
        partial = target.with_name(f".{target.name}.part")
        shutil.copy2(source, partial)
        try:
            os.link(partial, target)  # a rename would replace what appeared meanwhile
        except FileExistsError:
            raise
        except OSError:  # a disk without hard links, such as a memory stick
            if target.exists():
                raise FileExistsError(target) from None
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)


def _locate(root: Path, name: str) -> Path:
    """Return where the image called `name` is; InputError when it leaves `root` or is not a file."""
    try:
        path = safe_join(root, name)
        if path.is_file():
            return path
    except OSError as error:  # a name too long, a loop of links
        raise InputError(f"it cannot be looked up: {error.strerror}.") from error
    except RuntimeError as error:  # Python 3.10 to 3.12 say this of a loop of links
        raise InputError("it is a loop of links.") from error
    raise InputError(f"there is no such file in {root}.")


def _free(folder: Path, file_name: str, source: Path, taken: set[str]) -> tuple[Path, bool]:
    """Find a target that nothing occupies; True beside it when that image is there already."""
    stem, suffix = os.path.splitext(file_name)
    number = 1
    while True:
        target = folder / (file_name if number == 1 else f"{stem}-{number}{suffix}")
        number += 1
        if str(target).casefold() in taken:
            continue
        if not (target.exists() or target.is_symlink()):
            return target, False
        if target.is_file() and (target.samefile(source) or filecmp.cmp(target, source, shallow=False)):
            return target, True


# ONNX ----------------------------------------------------------------------------------------------------------------


def write_onnx(model: DeepClusterer, path: str | Path, images: Images, *, tolerance: float = 1e-3) -> float:
    """Write network and cluster assignment as one ONNX graph, and prove it by running it.

    The graph has one input, ``images`` (batch, c, h, w) in the pixel type that the model was fitted on, and one output,
    ``probabilities`` (batch, k). It is run in onnxruntime on `images` and compared with ``model.predict_proba``.

    Parameters
    ----------
    model : DeepClusterer
        A fitted estimator.
    path : str or Path
        The file to write; it must not exist.
    images : Images
        At least two images of the fitted shape for the comparison; the first 32 are used.
    tolerance : float
        The largest difference between two probabilities that is let pass.

    Returns
    -------
    float
        The largest difference seen.

    Raises
    ------
    KinfoldError
        When the graph and the estimator disagree; no file is left behind.
    InputError
        When the onnx extra is not installed, or `path` exists.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  # torch's exporter needs it and says so only deep inside
    except ImportError as error:
        raise InputError(
            f"Writing ONNX needs {error.name}, which is not installed; pip install 'kinfold[onnx]'."
        ) from error
    target = _new_file(path)
    batch = images.tensor(np.arange(min(len(images), 32)))
    graph = _graph(model, batch)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for part in (batch, batch[:1]):  # one image alone too: the batch size must not be baked in
        expected = np.asarray(model.predict_proba(part))
        (found,) = session.run(["probabilities"], {"images": part.numpy()})
        difference = float(np.abs(found - expected).max())
        if not difference <= tolerance:
            raise KinfoldError(
                f"The ONNX graph differs from predict_proba by up to {difference:.2g} (at most {tolerance:.2g} was "
                f"expected), so {target} was not written; please report this with the versions of torch and onnx."
            )
    onnx.checker.check_model(onnx.load_from_string(graph))
    write_bytes(target, graph)
    return difference


class _FromBytes(nn.Module):
    """Takes bytes as they are on disk, so that whoever runs the graph need not know the scale."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        """Scale bytes to [0, 1] as training does: (b, c, h, w) -> (b, k)."""
        probabilities: Tensor = self.inner(images.to(torch.float32) / 255)
        return probabilities


def _graph(model: DeepClusterer, batch: Tensor) -> bytes:
    """Trace network and assignment into an ONNX file's content; the batch size stays free."""
    inner = model.assignment_module()
    module = (_FromBytes(inner) if batch.dtype == torch.uint8 else inner).eval()
    program = torch.onnx.export(
        module,
        (batch,),
        dynamo=True,
        input_names=["images"],
        output_names=["probabilities"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        verbose=False,
    )
    if program is None:
        raise KinfoldError("torch wrote no ONNX graph; please report this with the versions of torch and onnx.")
    content: bytes = program.model_proto.SerializeToString()
    return content
