"""The commands about features: embed writes those of any number of images, curate leaves some out, evaluate judges
those of a run."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinfold import launch
from kinfold.cli.shared import (
    MACHINE,
    MOST_SEED,
    SCIENCE,
    Device,
    ImagesAt,
    Precision,
    Processes,
    Run,
    Source,
    Verbose,
    app,
    progress_of,
    say,
)
from kinfold.phrases import plural

if TYPE_CHECKING:
    from kinfold.data import Images
    from kinfold.results import Clustering


class Protocol(str, Enum):
    """How the features of a run are judged; the names of `kinfold.evaluate.PROTOCOLS`."""

    linear = "linear"
    knn = "knn"
    kmeans = "kmeans"
    few_labels = "few-labels"
    retrieval = "retrieval"
    filters = "filters"


@app.command()
def embed(
    context: typer.Context,
    source: Source,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write the features.")],
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="A run folder, or a pretrained network: efficientnet-lite0 or timm:NAME.",
            rich_help_panel=SCIENCE,
        ),
    ] = "efficientnet-lite0",
    image_size: Annotated[
        int | None,
        typer.Option(
            min=4,
            metavar="PIXELS",
            help="Pixels a side for a pretrained network; its own size when not given.",
            rich_help_panel=SCIENCE,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="from-folders", help="Keep class folders as known classes beside the names."),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            metavar="",
            help="Go on where it was stopped; parts that are damaged, or whose source has changed, are written again.",
        ),
    ] = False,
    part_size: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Images in a part; tar shards are parts as they are.", rich_help_panel=MACHINE
        ),
    ] = 10_000,
    batch_size: Annotated[
        int, typer.Option(min=1, metavar="N", help="Images at a time.", rich_help_panel=MACHINE)
    ] = 256,
    device: Device = "auto",
    precision: Precision = "auto",
    processes: Processes = 1,
    verbose: Verbose = False,
) -> None:
    """Compute features of any number of images and write them as parts with checksums, in memory that does not grow.

    Examples: kinfold embed photos/ --out features/; kinfold embed 's3://b/{00..99}.tar' --out features/ --model runs/a
    """
    if labels not in (None, "from-folders"):
        raise typer.BadParameter(f"--labels {labels!r} is not known; the only value is 'from-folders'.")
    if processes > 1 and not launch.is_worker():
        launch.relaunch(processes, context.obj["arguments"], verbose=verbose)
        return

    from kinfold.embedding import write_features
    from kinfold.runtime import Runtime

    progress = progress_of()
    try:
        run = Runtime(device=device, precision=precision, progress=progress)
        shards = write_features(
            source,
            out,
            model,
            image_size=image_size,
            part_size=part_size,
            batch_size=batch_size,
            labels=labels is not None,
            resume=resume,
            runtime=run,
        )
    finally:
        progress.done()
    if launch.is_main():
        skipped = sum(part["skipped"] for part in shards.about["parts"])
        left = f"; {plural(skipped, 'image')} could not be read, the parts' JSON files say why" if skipped else ""
        say(
            f"Written: {out} ({plural(len(shards), 'feature')} of {shards.shape[1]} numbers in "
            f"{plural(len(shards.about['parts']), 'part')}{left})",
            f"Next:    kinfold cluster {out}",
        )


@app.command()
def curate(
    context: typer.Context,
    features: Annotated[Path, typer.Argument(metavar="FEATURES", help="A folder written by kinfold embed.")],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where to write the features of the images that are left.")
    ],
    epsilon: Annotated[
        float,
        typer.Option(
            min=0, max=2, metavar="E", help="Cosine distance up to which two images count as near-copies, 0 to 2."
        ),
    ] = 0.05,
    keep_copies: Annotated[
        bool, typer.Option("--keep-copies", metavar="", help="Do not look for near-copies.")
    ] = False,
    n_items: Annotated[
        int | None,
        typer.Option(
            "--items", min=1, metavar="N", help="Draw this many images, evenly over their kinds; all when not given."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=MOST_SEED, help="Of clusters and draws.", rich_help_panel=SCIENCE)
    ] = 0,
    processes: Processes = 1,
    verbose: Verbose = False,
) -> None:
    """Leave out images that nearly repeat another, and draw the rest evenly over their kinds.

    Writes the features of what is left, for kinfold cluster, and dropped.csv with the reason for each of the others.

    Example: kinfold curate features/ --out fewer/ --epsilon 0.03 --items 100000
    """
    if keep_copies and n_items is None:
        raise typer.BadParameter("--keep-copies leaves nothing to do; give --items N too, or leave --keep-copies out.")
    if processes > 1 and not launch.is_worker():
        launch.relaunch(processes, context.obj["arguments"], verbose=verbose)
        return

    from kinfold.curation import curate as chosen
    from kinfold.runtime import Runtime

    progress = progress_of()
    try:
        run = Runtime(device="cpu", progress=progress)
        found = chosen(features, out, epsilon=None if keep_copies else epsilon, n_items=n_items, seed=seed, runtime=run)
    finally:
        progress.done()
    if launch.is_main():
        say(
            f"Left out: {found.n_near_copies:,} near-copies, {found.n_not_drawn:,} that were not drawn "
            f"({out / 'dropped.csv'})",
            f"Written:  {out} ({len(found.features):,} features)",
            f"Next:     kinfold cluster {out}",
        )


@app.command()
def evaluate(
    run: Run,
    protocol: Annotated[
        Protocol,
        typer.Option(
            metavar="NAME",
            help="linear (a probe for each layer), knn, kmeans (clusters against classes), few-labels, retrieval, or "
            "filters (what each looks for, as pictures).",
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="from-folders|FILE",
            help="The known classes: class folders, or a text file with one a line, or a .npy; those of the run when "
            "not given.",
        ),
    ] = None,
    images: ImagesAt = None,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=MOST_SEED, help="Of the split and of every draw.", rich_help_panel=SCIENCE
        ),
    ] = 0,
    no_report: Annotated[bool, typer.Option("--no-report", metavar="", help="Do not write report.html again.")] = False,
    device: Device = "auto",
    verbose: Verbose = False,
) -> None:
    """Judge the features of a run by a protocol of the papers; labels are used by the judge alone.

    Prints a table, and writes it to RUN/evaluation/ and into the report.

    Example: kinfold evaluate runs/a --protocol linear --labels from-folders
    """
    import kinfold
    from kinfold.evaluate import evaluate as judge
    from kinfold.evaluate import stored
    from kinfold.locate import images_of, source_of
    from kinfold.report import write_report
    from kinfold.runtime import Runtime
    from kinfold.terminal import table

    progress = progress_of()
    try:
        model = kinfold.load(run)
        result = model.result_
        found_images = images_of(result, source_of(result, run, images), progress)
        y = _labels(labels, result, found_images)
        found = judge(
            model, found_images, protocol.value, y, seed=seed, runtime=Runtime(device=device, progress=progress)
        )
        written = found.save(run)
        if not no_report:
            progress.phase("writing the report", None)
            write_report(result, found_images, run / "report.html", evaluations=[one.page() for one in stored(run)])
    finally:
        progress.done()
    say(found.title, "")
    page = found.page()
    say(*table(page["columns"], page["rows"]), "")
    say(*found.words, f"Written: {written}" + ("" if no_report else f" and {run / 'report.html'}"))


def _labels(given: str | None, result: Clustering, images: Images) -> list[str] | None:
    """Known classes of the images of a run, one text each, or None when nobody knows them."""
    import numpy as np

    from kinfold.errors import InputError

    if given == "from-folders":
        tops = [name.split("/")[0] if "/" in name else "." for name in images.names]
        if set(tops) == {"."}:
            raise InputError("--labels from-folders needs class folders; the images of this run lie in one folder.")
        return tops
    if given is None:
        known = result.truth if result.truth is not None else images.labels
        return None if known is None else [str(label) for label in np.asarray(known).tolist()]
    path = Path(given)
    if not path.is_file():
        raise InputError(f"--labels {given}: no such file; expected from-folders, or a file with one label a line.")
    if path.suffix == ".npy":
        from kinfold.data.archives import read_npy

        lines = [str(label) for label in read_npy(path).ravel().tolist()]
    else:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    if len(lines) != len(images):
        raise InputError(f"{path.name} has {len(lines)} labels for {len(images)} images; expected one an image.")
    return lines
