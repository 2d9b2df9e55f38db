"""The page: a template, a style sheet and scripts from this package, and the data, in one file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt

from kinfold.data.images import Images
from kinfold.errors import InputError
from kinfold.files import write_bytes
from kinfold.naming import LONGEST
from kinfold.phrases import plural
from kinfold.report import sprites, words
from kinfold.report.layout import planar
from kinfold.report.palette import palette
from kinfold.report.tree import PageTree, agreement, matched_colours, page_tree
from kinfold.results import Clustering

SCRIPTS = ("data.js", "cut.js", "naming.js", "tiles.js", "gallery.js", "map.js", "tree.js", "scores.js", "controls.js")
# What a gallery opens with: most typical, least certain, outliers. The scripts read the same numbers from the page.
N_SHOWN = (12, 6, 6)
SMALL_BYTES = 5_500_000
LARGE_BYTES = 2_600_000
MAX_LARGE = 1500
MAX_DUPLICATE_GROUPS = 60

Ints = npt.NDArray[np.int64]


def write_report(
    clustering: Clustering,
    images: Images | None,
    path: str | Path,
    *,
    max_thumbnails: int = 10_000,
    title: str | None = None,
    evaluations: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write the clustering as one self-contained HTML file.

    Parameters
    ----------
    clustering : Clustering
        What to show.
    images : Images or None
        The same images in the same order, for thumbnails; without them the page shows names only.
    path : str or Path
        The file to write, whole or not at all.
    max_thumbnails : int
        Pictures held by the page. With more images, those that open a gallery at any cut are taken first and the
        others are drawn at random; the page says so.
    title : str, optional
        Heading of the browser's window; made from the source by default.
    evaluations : sequence of mappings
        What probes found: ``title``, ``columns``, ``rows`` of texts, ``words``, and ``pictures``, pairs of a heading
        and a ``data:`` address. `kinfold.evaluate.Evaluation.page` makes them.

    Returns
    -------
    Path
        Where the file was written.

    Raises
    ------
    InputError
        If the images are not those of the clustering, or there is nothing to show.

    Examples
    --------
    >>> import inspect
    >>> list(inspect.signature(write_report).parameters)[:3]
    ['clustering', 'images', 'path']
    """
    n = len(clustering.labels)
    if n == 0:
        raise InputError("the clustering holds no image; a report needs at least one.")
    if images is not None and len(images) != n:
        raise InputError(
            f"the clustering has {n} images and {len(images)} were given; expected the images it was fitted on."
        )
    if max_thumbnails < 1:
        raise InputError(f"max_thumbnails is {max_thumbnails}; expected at least 1.")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, _html(clustering, images, max_thumbnails, title, evaluations).encode("utf-8", errors="replace"))
    return path


def is_report(path: Path) -> bool:
    """Whether a file is a page that `write_report` wrote, which another one may replace."""
    with path.open("rb") as file:
        return b'<meta name="generator" content="Kinfold">' in file.read(512)


def _html(
    clustering: Clustering,
    images: Images | None,
    max_thumbnails: int,
    title: str | None,
    evaluations: Sequence[Mapping[str, Any]],
) -> str:
    ids, labels = np.unique(clustering.labels, return_inverse=True)
    labels = np.asarray(labels, dtype=np.int64)
    n_clusters = len(ids)
    tree = page_tree(clustering.tree, n_clusters)
    layout = planar(clustering.embedding)
    rank = _typicality(clustering, labels)
    payload: dict[str, Any] = {
        **_per_image(clustering, labels, layout.places, rank),
        **_clusters(clustering, ids, labels, tree),
    }
    small, large = (None, None)
    if images is not None:
        small, large = _thumbnails(clustering, images, labels, tree, rank, max_thumbnails)
    payload["sheets"] = [_sheet_data(sheets) for sheets in (small, large) if sheets is not None]
    run = dict(clustering.run)
    payload |= {"truth": _truth(clustering, images), "estimated": _is_estimated(run)}
    scores = dict(clustering.scores()) if clustering.truth is not None else {}
    curves = words.curves(clustering.history)
    payload["curves"] = {curve.key: [curve.rounds, curve.values] for curve in curves}
    algorithm, source = str(run.get("algorithm", "")), str(run.get("source", ""))
    n_duplicates = int((np.asarray(clustering.duplicate_of) >= 0).sum())
    sizes = np.bincount(labels)
    context = {
        "title": title or (f"{source} {words.DASH} Kinfold" if source else "Kinfold report"),
        "headline": f"{plural(len(labels), 'image')} in {plural(n_clusters, 'cluster')}",
        "algorithm": algorithm,
        "source": source,
        "how_sure": words.how_sure(clustering.confidence),
        "pretrained": words.pretrained(run),
        "facts": words.facts(sizes, clustering.confidence, n_duplicates, len(clustering.skipped), scores),
        "n_clusters": n_clusters,
        "estimated": _is_estimated(run),
        "has_images": images is not None,
        "thumbnails": _thumbnail_words(small, len(labels)),
        "n_large": len(large.index) if large else 0,
        "layout": layout.how,
        "tree": tree,
        "agreement": agreement(labels, tree) if tree else 1.0,
        "duplicates": payload["duplicates"],
        "n_duplicates": n_duplicates,
        "max_duplicates": MAX_DUPLICATE_GROUPS,
        "skipped": clustering.skipped,
        "curves": curves,
        "n_rounds": len(clustering.history),
        "health": words.health(run, clustering.history),
        "scores": words.score_rows(scores),
        "evaluations": evaluations,
        "has_truth": payload["truth"] is not None,
        "run_tables": words.run_tables(run),
        "notes": list(run.get("note") or (images.note if images is not None else [])),
        "sheet_texts": [sheets.texts() for sheets in (small, large) if sheets is not None],
    }
    return _render(context, payload)


def _typicality(clustering: Clustering, labels: Ints) -> Ints:
    """Place of each image when ordered from the most to the least typical of its cluster ``-> (n,)``.

    By confidence and closeness, ties by the distance from the cluster's mean. It belongs to the image and not to a
    cut, so what leads a cluster leads one of its parts.
    """
    x = np.nan_to_num(np.asarray(clustering.embedding, dtype=np.float32).reshape(len(labels), -1))
    distance = np.zeros(len(labels))
    for cluster in range(int(labels.max()) + 1):
        mine = labels == cluster
        distance[mine] = np.linalg.norm(x[mine] - x[mine].mean(axis=0), axis=1)
    score = np.round(np.asarray(clustering.confidence) * (1 - np.asarray(clustering.outlier)), 3)
    rank = np.empty(len(labels), dtype=np.int64)
    rank[np.lexsort((distance, -score))] = np.arange(len(labels))
    return rank


def _per_image(clustering: Clustering, labels: Ints, places: npt.NDArray[np.float32], rank: Ints) -> dict[str, Any]:
    names = list(clustering.names)
    duplicate_of = np.asarray(clustering.duplicate_of, dtype=np.int64)
    groups: dict[int, list[int]] = {}
    for i in np.flatnonzero(duplicate_of >= 0):
        groups.setdefault(int(duplicate_of[i]), []).append(int(i))
    return {
        "n": len(labels),
        "names": None if names == [str(i) for i in range(len(names))] else names,
        "labels": _base64(labels, "<u2"),
        "x": _base64(places[:, 0] * 65535, "<u2"),
        "y": _base64(places[:, 1] * 65535, "<u2"),
        "confidence": _base64(np.clip(clustering.confidence, 0, 1) * 65535, "<u2"),
        "outlier": _base64(np.clip(clustering.outlier, 0, 1) * 65535, "<u2"),
        "rank": _base64(rank, "<u4"),
        "copies": [[int(i), int(duplicate_of[i])] for i in np.flatnonzero(duplicate_of >= 0)],
        "duplicates": [[first, *others] for first, others in groups.items()][:MAX_DUPLICATE_GROUPS],
    }


def _clusters(clustering: Clustering, ids: Ints, labels: Ints, tree: PageTree | None) -> dict[str, Any]:
    n_colours = max(len(ids), tree.n_leaves if tree else 0)
    payload: dict[str, Any] = {
        "ids": ids.tolist(),
        "colours": palette(n_colours),
        "colour": matched_colours(labels, tree).tolist(),
        "shown": list(N_SHOWN),
        "longestName": LONGEST,
        "given": {str(cut or ""): names for cut, names in clustering.cluster_names.items()},
        "tree": None,
    }
    if tree is not None:
        payload["tree"] = {
            "base": _base64(tree.base, "<u2"),
            "leaves": tree.n_leaves,
            "merges": tree.merges.tolist(),
            "affinity": [float(f"{a:.4g}") for a in tree.affinity],
            "colour": tree.colour.tolist(),
        }
    return payload


def _thumbnails(
    clustering: Clustering, images: Images, labels: Ints, tree: PageTree | None, rank: Ints, limit: int
) -> tuple[sprites.Sheets, sprites.Sheets | None]:
    first_of_its_kind = np.flatnonzero(np.asarray(clustering.duplicate_of) < 0)
    keys = (rank, np.asarray(clustering.confidence), -np.asarray(clustering.outlier))
    orders = [first_of_its_kind[np.argsort(key[first_of_its_kind], kind="stable")] for key in keys]
    groups = [labels] if tree is None else [labels, tree.base]
    index = sprites.chosen(groups, orders, N_SHOWN, len(labels), limit)
    # Tiles of one cluster stand together, so that a gallery decodes few sheets.
    index = index[np.lexsort((rank[index], labels[index]))]
    draw, aspect, native = sprites.drawer(images), sprites.aspect_ratio(images), sprites.native_side(images)
    small = sprites.pack(draw, index, aspect, sprites.SMALL, SMALL_BYTES, 16, native)
    if max(small.size) >= min(112, native):
        return small, None
    leading = sprites.leaders(groups, orders, N_SHOWN, min(limit, MAX_LARGE))
    leading = leading[np.lexsort((rank[leading], labels[leading]))]
    large = sprites.pack(draw, leading, aspect, sprites.LARGE, LARGE_BYTES, 8, native)
    return small, large if max(large.size) > max(small.size) else None


def _thumbnail_words(small: sprites.Sheets | None, n: int) -> str:
    if small is None:
        return "The images were not at hand when this page was made, so it shows their names only."
    if len(small.index) == n:
        return ""
    return (
        f"This page holds thumbnails of {len(small.index):,} of the {n:,} images: those that open a gallery, and "
        "others drawn at random. Every image is on the map, in the counts and in the table."
    )


def _sheet_data(sheets: sprites.Sheets) -> dict[str, Any]:
    return {
        "index": _base64(sheets.index, "<u4"),
        "width": sheets.size[0],
        "height": sheets.size[1],
        "columns": sheets.columns,
        "mime": sheets.mime,
    }


def _truth(clustering: Clustering, images: Images | None) -> dict[str, Any] | None:
    if clustering.truth is None:
        return None
    values, compact = np.unique(np.asarray(clustering.truth), return_inverse=True)
    named = clustering.run.get("label_names") or (images.label_names if images is not None else None)
    names = [named[v] if named and 0 <= v < len(named) else str(v) for v in values.tolist()]
    return {"labels": _base64(compact, "<u2"), "names": names, "values": values.tolist()}


def _is_estimated(run: Mapping[str, Any]) -> bool:
    parameters = run.get("parameters")
    return isinstance(parameters, Mapping) and "n_clusters" in parameters and parameters["n_clusters"] is None


def _base64(values: npt.ArrayLike, dtype: str) -> str:
    array = np.asarray(values)
    if array.dtype.kind == "f":
        array = np.rint(np.nan_to_num(array))
    return base64.b64encode(array.astype(dtype).tobytes()).decode("ascii")


def _render(context: Mapping[str, Any], payload: Mapping[str, Any]) -> str:
    folder = files("kinfold.report") / "page"
    style = (folder / "page.css").read_text("utf-8")
    scripts: Sequence[str] = [(folder / name).read_text("utf-8") for name in SCRIPTS]
    script = '"use strict";\n(() => {\n' + "\n".join(scripts) + "\n})();\n"
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["percent"] = words.percent
    environment.filters["plural"] = plural
    template = environment.from_string((folder / "page.html.jinja").read_text("utf-8"))
    return template.render(
        **context,
        style=style,
        script=script,
        style_hash=_digest(style),
        script_hash=_digest(script),
        payload=_json(payload),
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _json(payload: Mapping[str, Any]) -> str:
    """JSON that can stand inside a script element: no character in it can end the element or open a comment."""
    text = json.dumps(payload, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
