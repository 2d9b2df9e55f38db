"""The command for sources that do not fit in memory: embed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kinfold import launch
from kinfold.cli.shared import (
    MACHINE,
    SCIENCE,
    Device,
    Precision,
    Processes,
    Source,
    Verbose,
    app,
    progress_of,
    say,
)


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
        bool, typer.Option("--resume", metavar="", help="Go on where it was stopped; damaged parts are written again.")
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

    The source may also be tar shards: digits-{000..099}.tar, or an address such as s3://bucket/a-{00..99}.tar.

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
        left = f"; {skipped:,} images could not be read, the parts' JSON files say why" if skipped else ""
        say(
            f"Written: {out} ({len(shards):,} features of {shards.shape[1]} numbers in "
            f"{len(shards.about['parts']):,} parts{left})",
            f"Next:    kinfold cluster {out}",
        )
