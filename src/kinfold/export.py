"""Take a clustering elsewhere: a table, class folders, or one ONNX graph that maps images to cluster probabilities.

Names in a table are data, and may come from anywhere. They are looked up among the files that the source lists, so a
path that is absolute or climbs with ``..`` reads nothing, and what is written stays below the destination. Nothing that
exists is overwritten.
"""

from __future__ import annotations

import filecmp
import io
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from kinfold.errors import InputError, KinfoldError, room_for
from kinfold.files import csv_writer, safe_join, write_bytes, write_text
from kinfold.naming import folder_names
from kinfold.runtime import Progress, Runtime

if TYPE_CHECKING:
    from kinfold.data import Images
    from kinfold.estimator import DeepClusterer
    from kinfold.results import Clustering

__all__ = [
    "Move",
    "Plan",
    "Table",
    "csv_text",
    "plan_folders",
    "predictions",
    "table",
    "write_csv",
    "write_folders",
    "write_onnx",
    "write_parquet",
]

Table = dict[str, Sequence[Any]]
UNSURE = "unsure"


def table(
    clustering: Clustering, labels: np.ndarray | None = None, *, cluster_names: Mapping[int, str] | None = None
) -> Table:
    """Give the clustering as named columns of equal length, one row an image.

    Parameters
    ----------
    clustering : Clustering
        A fitted estimator's ``result_``, or a run folder read back.
    labels : (n,) array of int, optional
        Other labels than ``clustering.labels``, for instance ``clustering.cut(12)``.
    cluster_names : mapping of int to str, optional
        Names of these clusters; those of the fitted ones are known.

    Returns
    -------
    dict of str to sequence
        ``image``, ``cluster``, ``name`` where clusters have names, ``confidence``, ``outlier``, ``duplicate_of`` (a
        name, or an empty string). Confidence and outlier scores belong to the fitted clusters, so they are left out
        when other `labels` are given.
    """
    names = clustering.names
    clusters = clustering.labels if labels is None else np.asarray(labels)
    if len(clusters) != len(names):
        raise InputError(f"labels has length {len(clusters)}; expected one for each of the {len(names)} images.")
    if labels is None and cluster_names is None:
        cluster_names = clustering.cluster_names.get(None)
    columns: Table = {"image": list(names), **_clusters(clusters, cluster_names)}
    if labels is None:
        columns["confidence"] = [float(value) for value in clustering.confidence]
        columns["outlier"] = [float(value) for value in clustering.outlier]
    columns["duplicate_of"] = [names[i] if 0 <= i < len(names) else "" for i in clustering.duplicate_of]
    return columns


def _clusters(labels: np.ndarray, names: Mapping[int, str] | None) -> Table:
    """The column ``cluster`` and, where clusters have names, ``name``."""
    clusters = [int(label) for label in labels]
    return {"cluster": clusters, **({"name": [names.get(cluster, "") for cluster in clusters]} if names else {})}


def predictions(model: DeepClusterer[Any], images: Images) -> Table:
    """Sort images by a fitted model, as named columns.

    Parameters
    ----------
    model : DeepClusterer
        Fitted, or loaded by :func:`kinfold.load`.
    images : Images
        New images, or the fitted ones.

    Returns
    -------
    dict of str to sequence
        ``image``, ``cluster``, ``name`` where clusters were named, ``confidence``, ``outlier``; for `write_csv`,
        `write_parquet` and `plan_folders`.
    """
    found = model.predict_table(images)
    return {
        "image": list(images.names),
        **_clusters(found["labels"], model.result_.cluster_names.get(None)),
        "confidence": [float(value) for value in found["confidence"]],
        "outlier": [float(value) for value in found["outlier"]],
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
    target = new_file(path)
    write_text(target, csv_text(columns))
    return target


def csv_text(columns: Table) -> str:
    """Lay named columns out as the text of a CSV file."""
    text = io.StringIO(newline="")
    writer = csv_writer(text)
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
    target = new_file(path)
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table({name: list(values) for name, values in columns.items()}), sink)
    write_bytes(target, sink.getvalue().to_pybytes())
    return target


def new_file(path: str | Path, cure: str = "choose another name") -> Path:
    """Return `path` when it can be written without replacing anything.

    Raises
    ------
    InputError
        When there is such a file already, or no folder for it; `cure` ends the sentence.
    """
    target = Path(path)
    if target.exists() or target.is_symlink():
        raise InputError(f"{target} exists already and is not overwritten; {cure} or remove it first.")
    if not target.absolute().parent.is_dir():
        raise InputError(f"{target.parent} is no folder; make it first, or {cure}.")
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
            yield f"left out {name!r}: {reason}"


def plan_folders(
    columns: Mapping[str, Sequence[Any]],
    files: Mapping[str, Path],
    destination: str | Path,
    *,
    min_confidence: float = 0.0,
) -> Plan:
    """Plan one folder a cluster, without writing anything; called by the cluster's name where it has one.

    An image keeps its file name where no other image in the table has the same one (letter case aside); otherwise its
    subfolders become part of the name, and what still clashes, or stands in the destination already, gets a number.

    Parameters
    ----------
    columns : mapping of str to sequence
        ``image``, ``cluster``, ``name`` if there are names, and ``confidence`` for `min_confidence`.
    files : mapping of str to Path
        Where the image of each name is, from :func:`kinfold.locate.files_of`. A name that is not in it is left out:
        names are only looked up, never made into a path to read.
    destination : str or Path
        The folder to fill. It need not exist; nothing in it is overwritten, nothing outside it is written.
    min_confidence : float
        Images below it, in [0, 1], go to a folder called ``unsure``.

    Returns
    -------
    Plan
        For `write_folders`.

    Examples
    --------
    >>> columns = {"image": ["a/1.png", "b/1.png", "../../etc/passwd"], "cluster": [0, 0, 1]}
    >>> for line in plan_folders(columns, {"a/1.png": Path("a/1.png"), "b/1.png": Path("b/1.png")}, "sorted").lines():
    ...     print(line)
    a/1.png -> sorted/cluster-0/a_1.png
    b/1.png -> sorted/cluster-0/b_1.png
    left out '../../etc/passwd': no image of this name is in the source
    """
    if min_confidence > 0 and "confidence" not in columns:
        raise InputError("min_confidence needs the column 'confidence', which another cut of the tree does not have.")
    plan = Plan(Path(destination))
    names: Sequence[str] = columns["image"]
    clusters = [int(cluster) for cluster in columns["cluster"]]
    folders = _folders(clusters, columns.get("name", ()))
    shared = Counter(PurePosixPath(name).name.casefold() for name in names)
    taken: set[str] = set()
    for i, name in enumerate(names):
        if name not in files:
            plan.refused.append((name, "no image of this name is in the source"))
            continue
        unsure = min_confidence > 0 and columns["confidence"][i] < min_confidence
        try:
            folder = safe_join(plan.destination, UNSURE if unsure else folders[clusters[i]])
        except InputError as error:  # a link that stands there already and leads out
            plan.refused.append((name, str(error)))
            continue
        file_name = _file_name(name, alone=shared[PurePosixPath(name).name.casefold()] == 1)
        target, present = _free(folder, file_name, files[name], taken)
        taken.add(str(target).casefold())
        if present:
            plan.present.append(target)
        else:
            plan.moves.append(Move(name, files[name], target))
    return plan


def _folders(clusters: Sequence[int], names: Sequence[str]) -> dict[int, str]:
    """Folder of each cluster: its name, or its number."""
    width = len(str(max(clusters, default=0)))
    numbered = {cluster: f"cluster-{cluster:0{width}d}" for cluster in set(clusters)}
    given = {cluster: name for cluster, name in zip(clusters, names, strict=False) if name}
    return numbered | folder_names(given, [UNSURE, *numbered.values()])


def write_folders(plan: Plan, how: str = "copy", progress: Progress | None = None) -> int:
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
    if progress is not None and plan.moves:
        progress.phase(f"writing {plan.destination}", len(plan.moves))
    for move in plan.moves:
        try:
            with room_for(move.target):
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


def _put(source: Path, target: Path, how: str) -> None:
    """Create `target` from `source`; each way fails when `target` exists."""
    if how == "hardlink":
        os.link(source.resolve(), target)
    elif how == "symlink":
        target.symlink_to(source.resolve())
    else:
        handle, name = tempfile.mkstemp(prefix=".kinfold-", suffix=".part", dir=target.parent)  # of nobody else's
        os.close(handle)
        partial = Path(name)
        try:
            shutil.copy2(source, partial)
            _name(partial, target)
        finally:
            partial.unlink(missing_ok=True)


def _name(partial: Path, target: Path) -> None:
    """Give a whole copy its name; a rename would replace what appeared meanwhile."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:  # a disk without hard links, such as a memory stick
        if target.exists():
            raise FileExistsError(target) from None
        partial.rename(target)


def _file_name(name: str, alone: bool) -> str:
    """Name a file by its last part, or by its whole path when others have the same last part."""
    path = PurePosixPath(name)
    whole = "_".join(part for part in path.parts if part != "/")
    return path.name if alone or len(os.fsencode(whole)) > 200 else whole


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


def write_onnx(model: DeepClusterer[Any], path: str | Path, images: Images, *, tolerance: float = 1e-3) -> float:
    """Write network and cluster assignment as one ONNX graph, and prove it by running it.

    The graph has one input, ``images`` (batch, c, h, w) in the pixel type that the model was fitted on, and one output,
    ``probabilities`` (batch, k). Names of clusters stand in its metadata, ``cluster_names``, as JSON. It is run in
    onnxruntime on `images` and compared with ``model.predict_proba``.

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
    target = new_file(path)
    if len(images) < 2:
        raise InputError(f"{len(images)} image came to check the graph on; expected at least two.")
    graph = _graph(model, images.tensor(np.arange(2)))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    difference = 0.0
    for n in (1, min(len(images), 32)):  # one image alone too: the batch size must not be baked in
        part = images.select(np.arange(n))
        expected = model.predict_proba(part, runtime=Runtime(device="cpu", precision="float32"))
        (found,) = session.run(["probabilities"], {"images": part.tensor().numpy()})
        difference = max(difference, float(np.abs(found - expected).max()))
        if not difference <= tolerance:  # true for NaN as well
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


def _graph(model: DeepClusterer[Any], batch: Tensor) -> bytes:
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
    proto = program.model_proto
    names = model.result_.cluster_names.get(None)
    if names:
        proto.metadata_props.add(key="cluster_names", value=json.dumps(names))
    content: bytes = proto.SerializeToString()
    return content
