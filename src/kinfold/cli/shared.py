"""What all commands share: the application, the options that mean the same everywhere, and how they speak."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinfold import launch
from kinfold.phrases import one_line

if TYPE_CHECKING:
    from kinfold.runtime import Progress

__all__ = [
    "MACHINE",
    "MOST_SEED",
    "SCIENCE",
    "Device",
    "ImagesAt",
    "Precision",
    "Processes",
    "Run",
    "Source",
    "Verbose",
    "app",
    "progress_of",
    "say",
    "tell",
]

SCIENCE, MACHINE = "The method", "The machine"
MOST_SEED = 2**32 - 1  # as kinfold.parameters has it, which takes numpy to import

app = typer.Typer(
    name="kinfold",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with: kinfold cluster photos/ --out runs/a",
)


Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A folder of images (subfolders included), a text file with one path a line, a .npz with 'images' (and "
        "optional 'labels'), a .npy or .npz of features, an .h5 file, tar shards (a .tar, a folder of them, "
        "a-{000..099}.tar, or an address such as s3://bucket/a.tar), a folder of features from `kinfold embed`, or "
        "torchvision:NAME.",
    ),
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder written by `kinfold cluster`.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", metavar="", help="Say more, and show the traceback when something fails.")
]
ImagesAt = Annotated[
    str | None,
    typer.Option("--images", metavar="SOURCE", help="Where the images are now, when they moved after the run."),
]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, ...", rich_help_panel=MACHINE)]
Precision = Annotated[str, typer.Option(metavar="NAME", help="auto, float32 or bfloat16.", rich_help_panel=MACHINE)]
Processes = Annotated[
    int,
    typer.Option(
        min=1, metavar="N", help="Share the work between N processes on this machine.", rich_help_panel=MACHINE
    ),
]


def _show_version(wanted: bool) -> None:
    """Answer --version and end."""
    if wanted:
        from kinfold import __version__

        say(f"kinfold {__version__}")
        raise typer.Exit


@app.callback()
def kinfold_command(
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Sort a pile of unlabelled images into groups, look at them, and sort the next image the same way."""


def say(*sentences: str) -> None:
    """Print one line each; a reader that has gone away (`| head`) is no failure."""
    with contextlib.suppress(BrokenPipeError):
        for sentence in sentences:
            print(one_line(sentence))


def tell(progress: Progress, sentences: list[str]) -> None:
    """Say one line each, above what is drawn."""
    for sentence in sentences:
        progress.say(sentence)


def progress_of(quiet: bool = False) -> Progress:
    """Something that draws, in the process that speaks."""
    from kinfold.runtime import Progress
    from kinfold.terminal import for_stream

    return for_stream(sys.stdout) if launch.is_main() and not quiet else Progress()
