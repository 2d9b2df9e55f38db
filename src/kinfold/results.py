"""The result of a run: labels, embedding, merge tree and history, saved as a folder of plain files."""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from kinfold.data.images import Skipped
from kinfold.errors import InputError
from kinfold.files import csv_writer, read_json, read_tensors, regular_file, write_bytes, write_tensors, write_text
from kinfold.naming import FILE as NAMES
from kinfold.naming import Names, read_names, write_names

FORMAT = "kinfold run"
VERSION = 1
COLUMNS = ("image", "cluster", "confidence", "outlier", "duplicate_of")
PER_IMAGE = ("embedding", "confidence", "outlier", "names", "duplicate_of", "truth")

Labels = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass
class Clustering:
    """What a run found, for n images.

    Attributes
    ----------
    labels : (n,) int64
        Cluster of every image.
    confidence : (n,) float32 in [0, 1]
        Probability of that cluster.
    outlier : (n,) float32 in [0, 1]
        Share of the images that lie closer to their cluster than this one: 0.99 is stranger than 99 of 100.
    embedding : (n, d) float32
        Features in which the clusters live.
    names : list of n str
        Path relative to the source folder, or position.
    duplicate_of : (n,) int64
        Position of the first image with the same pixels, or -1.
    skipped : list of Skipped
        Files that could not be read.
    history : list of dict
        One row a round.
    tree : dict of arrays or None
        ``start (n,)``, ``merges (m, 2)``, ``affinity (m,)`` of :class:`kinfold.MergeTree`.
    truth : (n,) int64 or None
        Known classes, for scores only.
    run : dict
        Algorithm, parameters, seed, versions, device, source, timings, memory, health.
    weights : dict of tensors
        The network.
    variants : dict of (n,) int64
        Other labelings of the same run, by name.
    cluster_names : dict
        Names that people gave, ``{None: {3: "red vans"}}`` for the fitted clusters, ``{12: {...}}`` for those of
        ``cut(12)``.

    Examples
    --------
    >>> result = Clustering.of([0, 0, 1], embedding=np.eye(3, 2))
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "a"
    >>> Clustering.load(result.save(folder)).labels
    array([0, 0, 1])
    """

    labels: Labels
    confidence: Floats
    outlier: Floats
    embedding: Floats
    names: list[str]
    duplicate_of: Labels
    skipped: list[Skipped] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    tree: dict[str, np.ndarray[Any, Any]] | None = None
    truth: Labels | None = None
    run: dict[str, Any] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    variants: dict[str, Labels] = field(default_factory=dict)
    cluster_names: Names = field(default_factory=dict)

    @classmethod
    def of(cls, labels: Sequence[int] | Labels, *, embedding: Any, **others: Any) -> Clustering:
        """A result from labels and features alone; everything else takes its neutral value.

        Parameters
        ----------
        labels
            Cluster of every image, ``(n,)``.
        embedding
            Features, ``(n, d)``.
        **others
            Any other attribute.

        Raises
        ------
        InputError
            If something does not have one row an image.
        """
        found = np.asarray(labels, dtype=np.int64)
        n = len(found)
        given: dict[str, Any] = {
            "confidence": np.ones(n, dtype=np.float32),
            "outlier": np.zeros(n, dtype=np.float32),
            "names": [str(i) for i in range(n)],
            "duplicate_of": np.full(n, -1, dtype=np.int64),
        }
        given |= {**others, "embedding": np.asarray(embedding, dtype=np.float32)}
        for name, value in given.items():
            if name in PER_IMAGE and value is not None and len(value) != n:
                raise InputError(f"{name} has {len(value)} rows; expected {n}, one an image.")
        if given["embedding"].ndim != 2:
            raise InputError(f"embedding has shape {given['embedding'].shape}; expected ({n}, d).")
        return cls(labels=found, **given)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_clusters(self) -> int:
        """Number of clusters in use."""
        return len(np.unique(self.labels))

    def cut(self, n_clusters: int) -> Labels:
        """Labels with another number of clusters, from the merge tree, ``-> (n,)``.

        Raises
        ------
        InputError
            If the algorithm has no merge tree, or the tree holds no such partition.
        """
        if self.tree is None:
            raise InputError("this run has no merge tree to cut; run an algorithm that has one, such as JULE.")
        from kinfold.ops.merge_tree import MergeTree

        return MergeTree(self.tree["start"], self.tree["merges"], self.tree["affinity"]).cut(n_clusters)

    def scores(self) -> dict[str, float]:
        """NMI, accuracy, ARI and more against the known classes; empty when there are none."""
        if self.truth is None:
            return {}
        from kinfold.metrics import scores

        return scores(self.truth, self.labels)

    # -- saving --------------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> Path:
        """Write the run as a folder, each file whole or not at all; ``run.json`` comes last and makes it a run.

        Raises
        ------
        InputError
            If the folder holds something that is not a Kinfold run.
        """
        folder = Path(folder)
        claim(folder)
        folder.mkdir(parents=True, exist_ok=True)
        # Says whose folder this is while its files are being replaced one by one.
        write_text(folder / "run.json", json.dumps({"format": FORMAT, "format_version": VERSION, "unfinished": True}))
        write_text(folder / "labels.csv", self._table())
        write_bytes(folder / "embedding.npy", _npy(self.embedding))
        write_tensors(folder / "model.safetensors", self.weights)
        if self.tree is not None:
            write_bytes(folder / "tree.npz", _npz(self.tree))
        else:
            (folder / "tree.npz").unlink(missing_ok=True)
        write_text(folder / "history.csv", _csv(_columns(self.history), self.history))
        rows = [{"path": one.path, "reason": one.reason} for one in self.skipped]
        write_text(folder / "skipped.csv", _csv(["path", "reason"], rows))
        write_names(folder, self.cluster_names)
        head = {"format": FORMAT, "format_version": VERSION, "n": len(self), "variants": list(self.variants)}
        write_text(folder / "run.json", json.dumps({**self.run, **head}, indent=1, ensure_ascii=True) + "\n")
        return folder

    def _table(self) -> str:
        columns: dict[str, Iterable[object]] = {
            "image": self.names,
            "cluster": self.labels.tolist(),
            "confidence": [str(x) for x in self.confidence.astype(np.float32)],
            "outlier": [str(x) for x in self.outlier.astype(np.float32)],
            "duplicate_of": ["" if i < 0 else i for i in self.duplicate_of.tolist()],
        }
        for name, labels in self.variants.items():
            if name in columns or name == "label":
                raise InputError(f"a variant is called {name!r}, which labels.csv uses already; rename it.")
            columns[name] = labels.tolist()
        if self.truth is not None:
            columns["label"] = self.truth.tolist()
        names = list(columns)
        return _csv(names, (dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)))

    # -- loading -------------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, folder: str | Path) -> Clustering:
        """Read a run folder. Nothing in it is executed, unpickled or trusted.

        Raises
        ------
        InputError
            If the folder is not a run, or a file in it is missing, cut short or of the wrong form.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; expected a run folder written by Kinfold.")
        run = read_json(folder, "run.json")
        if run.get("format") != FORMAT:
            raise InputError(f"{folder / 'run.json'} was not written by Kinfold; expected a run folder.")
        if run.get("format_version") != VERSION:
            raise InputError(
                f"{folder} has run format {run.get('format_version')!r}; this version of Kinfold reads {VERSION}."
            )
        if run.get("unfinished"):
            raise InputError(f"{folder} was being written when its process ended; resume that run, or save it again.")
        table = _read_csv(folder, "labels.csv", COLUMNS)
        n = len(table["image"])
        if run.get("n") != n:
            raise InputError(
                f"{folder / 'labels.csv'} has {n} rows; run.json says {run.get('n')!r}; restore the folder."
            )
        where = folder / "labels.csv"
        labels = _whole(table["cluster"], where)
        k = run.get("n_clusters", math.inf)
        if not isinstance(k, int | float) or not 0 <= labels.min(initial=0) <= labels.max(initial=0) < max(k, 1):
            raise InputError(f"{where} has clusters outside 0 to {k} - 1 of run.json; restore it or run again.")
        extras = [name for name in table if name not in COLUMNS and name != "label"]
        embedding = _read_npy(folder / "embedding.npy", folder)
        if embedding.ndim != 2 or len(embedding) != n or embedding.dtype != np.float32:
            raise InputError(
                f"{folder / 'embedding.npy'} is {embedding.dtype} {embedding.shape}; expected float32 ({n}, d)."
            )
        skipped = _read_csv(folder, "skipped.csv", ("path", "reason"))
        return cls(
            labels=labels,
            confidence=_decimal(table["confidence"], where),
            outlier=_decimal(table["outlier"], where),
            embedding=embedding,
            names=table["image"],
            duplicate_of=_whole([i or "-1" for i in table["duplicate_of"]], where),
            skipped=[Skipped(path, reason) for path, reason in zip(skipped["path"], skipped["reason"], strict=True)],
            history=_read_history(folder),
            tree=_read_tree(folder, n) if (folder / "tree.npz").exists() else None,
            truth=_whole(table["label"], where) if "label" in table else None,
            run=run,
            weights=read_tensors(folder, "model.safetensors"),
            variants={name: _whole(table[name], where) for name in extras},
            cluster_names=read_names(regular_file(folder, NAMES)) if (folder / NAMES).exists() else {},
        )


def claim(folder: Path) -> None:
    """Check that a folder is free, empty, or already a Kinfold run.

    Raises
    ------
    InputError
        If it is a file or holds something else.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; give a folder for the run.")
    if not any(folder.iterdir()):
        return
    if any((folder / "checkpoint").glob("step-*/state.json")):
        return
    left = {path.name for path in folder.iterdir()}
    if "run.json" in left and read_json(folder, "run.json").get("format") == FORMAT:
        return
    if left <= {"cache", "checkpoint", "pixels"}:
        return
    raise InputError(f"{folder} holds files that are not a Kinfold run; give an empty or a new folder.")


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return file.getvalue()


def _npz(arrays: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    """As numpy.savez, with a fixed date so that equal arrays give equal bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, _npy(array))
    return file.getvalue()


def _columns(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Every key, in order of first appearance."""
    return list(dict.fromkeys(key for row in rows for key in row)) or ["round"]


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    file = io.StringIO(newline="")
    writer = csv_writer(file)
    writer.writerow(columns)
    for row in rows:
        writer.writerow(["" if row.get(name) is None else row[name] for name in columns])
    return file.getvalue()


def _read_csv(folder: Path, name: str, needed: Sequence[str]) -> dict[str, list[str]]:
    path = regular_file(folder, name)
    broken = InputError(f"{path} is not a table as Kinfold writes it, perhaps cut short; restore it or run again.")
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except (csv.Error, UnicodeError):
        raise broken from None
    if not rows or any(len(row) != len(rows[0]) for row in rows) or len(set(rows[0])) != len(rows[0]):
        raise broken
    missing = [column for column in needed if column not in rows[0]]
    if missing:
        raise InputError(f"{path} has no column {missing[0]!r}; expected {', '.join(needed)}.")
    return {column: [row[i] for row in rows[1:]] for i, column in enumerate(rows[0])}


def _whole(texts: Sequence[str], path: Path) -> Labels:
    try:
        return np.array([int(text) for text in texts], dtype=np.int64)
    except (ValueError, OverflowError):
        raise InputError(f"{path} holds a value that is not a whole number; restore it or run again.") from None


def _decimal(texts: Sequence[str], path: Path) -> Floats:
    try:
        values = np.array([float(text) for text in texts], dtype=np.float32)
    except ValueError:
        raise InputError(f"{path} holds a value that is not a number; restore it or run again.") from None
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise InputError(f"{path} holds a confidence or outlier score outside [0, 1]; restore it or run again.")
    return values


def _number(text: str) -> Any:
    """A cell of history.csv as None, int, float or text."""
    if text == "":
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _read_history(folder: Path) -> list[dict[str, Any]]:
    table = _read_csv(folder, "history.csv", ("round",))
    names = list(table)
    rows = [dict(zip(names, map(_number, row), strict=True)) for row in zip(*table.values(), strict=True)]
    for row in rows:
        if "health" in row:
            row["health"] = "" if row["health"] is None else str(row["health"])
    return rows


def _read_npy(source: Any, folder: Path) -> np.ndarray[Any, Any]:
    """Read an array from a file whose header may lie about its size."""
    if isinstance(source, Path):
        regular_file(folder, source.name)
    name = source if isinstance(source, Path) else folder / "tree.npz"
    try:
        if isinstance(source, Path):
            # A memory map is refused when the file is smaller than the shape that it claims: nothing is allocated.
            return np.array(np.load(source, mmap_mode="r", allow_pickle=False))
        shape, _, dtype = _header(source)
        if math.prod(shape) * dtype.itemsize > len(source.getvalue()) or dtype.hasobject:
            raise ValueError("larger than its file")
        source.seek(0)
        return np.asarray(np.load(source, allow_pickle=False))
    except (ValueError, OSError, EOFError, OverflowError, SyntaxError) as error:
        raise InputError(f"{name} is not a valid array file ({error}); restore it or run again.") from None


def _header(file: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def _read_tree(folder: Path, n: int) -> dict[str, np.ndarray[Any, Any]]:
    path = regular_file(folder, "tree.npz")
    broken = InputError(f"{path} is not a merge tree as Kinfold writes it; restore it or run again.")
    tree: dict[str, np.ndarray[Any, Any]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in ("start", "merges", "affinity"):
                if archive.getinfo(f"{name}.npy").file_size > 16 * n + 1024:
                    raise broken
                tree[name] = _read_npy(io.BytesIO(archive.read(f"{name}.npy")), folder)
    except (zipfile.BadZipFile, KeyError, OSError, RuntimeError, NotImplementedError):
        raise broken from None
    start, merges, affinity = tree["start"], tree["merges"], tree["affinity"]
    forms = start.shape == (n,) and merges.ndim == 2 and merges.shape[1:] == (2,) and affinity.shape == (len(merges),)
    if not forms or start.dtype != np.int64 or merges.dtype != np.int64 or affinity.dtype != np.float64:
        raise broken
    leaves = int(start.max(initial=-1)) + 1
    born = leaves + np.arange(len(merges))
    if start.min(initial=0) < 0 or leaves > n or not bool(((merges >= 0) & (merges < born[:, None])).all()):
        raise broken
    if len(np.unique(merges)) != merges.size:  # a cluster that was merged cannot be merged again
        raise broken
    return tree
