"""The ``kinfold`` command: thin, and quick to answer.

Nothing heavy is imported before a command needs it: ``kinfold --help`` answers in a fraction of a second. Commands
parse, call one function of the library, and end by naming what they wrote and what to type next. `main` is the one
place where an exception becomes a sentence on stderr and an exit code: 0 success, 2 usage, 1 failure.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import shlex
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinfold import launch

if TYPE_CHECKING:
    from kinfold.estimator import DeepClusterer
    from kinfold.runtime import Progress

__all__ = ["app", "main"]

SCIENCE, MACHINE = "The method", "The machine"

app = typer.Typer(
    name="kinfold",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with: kinfold cluster photos/ --out runs/a",
)


class Target(str, Enum):
    """What a run can be turned into."""

    csv = "csv"
    parquet = "parquet"
    folders = "folders"
    onnx = "onnx"


class How(str, Enum):
    """How files reach their folders."""

    copy = "copy"
    hardlink = "hardlink"
    symlink = "symlink"


Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A folder of images (subfolders included), a text file with one path a line, a .npz with 'images' (and "
        "optional 'labels'), a .npy or .npz of features, an .h5 file, or torchvision:NAME.",
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


def _show_version(wanted: bool) -> None:
    """Answer --version and end."""
    if wanted:
        from kinfold import __version__

        _say(f"kinfold {__version__}")
        raise typer.Exit


@app.callback()
def kinfold_command(
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Sort a pile of unlabelled images into groups, look at them, and sort the next image the same way."""


@app.command()
def cluster(
    context: typer.Context,
    source: Source,
    n_clusters: Annotated[
        int | None,
        typer.Option("-k", "--clusters", min=2, metavar="K", help="Number of groups; estimated when not given."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to write the run; runs/NAME-OF-SOURCE when not given.")
    ] = None,
    algorithm: Annotated[
        str,
        typer.Option(metavar="NAME", help="Which method; `kinfold algorithms` lists them.", rich_help_panel=SCIENCE),
    ] = "jule",
    preset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A named set of constants, such as default or paper.", rich_help_panel=SCIENCE
        ),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The network: auto, efficientnet-lite0 (pretrained), timm:NAME, or another that the algorithm has.",
            rich_help_panel=SCIENCE,
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="from-folders", help="Take class folders as true labels, to print a score; never used to cluster."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(metavar="N", help="The same seed gives the same groups.", rich_help_panel=SCIENCE)
    ] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", metavar="", help="Go on with the run in --out where it was stopped.")
    ] = False,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=4, metavar="PIXELS", help="Resize images to this many pixels a side.", rich_help_panel=SCIENCE
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:1, ...", rich_help_panel=MACHINE)
    ] = "auto",
    precision: Annotated[
        str, typer.Option(metavar="NAME", help="auto, float32 or bfloat16.", rich_help_panel=MACHINE)
    ] = "auto",
    processes: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Share the work between N processes on this machine.", rich_help_panel=MACHINE
        ),
    ] = 1,
    param: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            metavar="NAME=VALUE",
            help="Any other parameter of the algorithm; may be repeated.",
            rich_help_panel=SCIENCE,
        ),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", metavar="", help="Do not write report.html.")] = False,
    keep_checkpoint: Annotated[
        bool,
        typer.Option(
            "--keep-checkpoint", metavar="", help="Keep what --resume needs after the end.", rich_help_panel=MACHINE
        ),
    ] = False,
    verbose: Verbose = False,
) -> None:
    """Sort images into groups, and learn a model that sorts the next one.

    Writes a run folder: labels.csv (image, cluster, confidence, outlier score), report.html to look at, and the model.

    Examples: kinfold cluster photos/ -k 20 --out runs/a; kinfold cluster photos/ --out runs/a --resume
    """
    if labels not in (None, "from-folders"):
        raise typer.BadParameter(f"--labels {labels!r} is not known; the only value is 'from-folders'.")
    chosen = _parameters(
        algorithm,
        {"n_clusters": n_clusters, "preset": preset, "backbone": backbone, "image_size": image_size},
        param or [],
    )
    folder = out or Path("runs") / (Path(source.split(":")[-1]).stem or "images")
    if launch.is_main():
        _check_free(folder, resume)
    if processes > 1 and not launch.is_worker():
        launch.relaunch(processes, context.obj["arguments"], verbose=verbose)
        return

    from kinfold.data import as_images
    from kinfold.report import write_report
    from kinfold.runtime import Runtime
    from kinfold.terminal import describe_images, describe_result, next_steps

    progress = _progress()
    try:
        images = as_images(source, labels=labels, image_size=image_size, cache=None, progress=progress)
        images.source = str(Path(source))  # as typed, so that report and export find it again
        model = _algorithm(algorithm)(**chosen, random_state=seed)
        run = Runtime(
            device=device,
            precision=precision,
            folder=folder,
            resume=resume,
            keep_checkpoint=keep_checkpoint,
            progress=progress,
        )
        _tell(progress, describe_images(images, verbose))
        model.fit(images, runtime=run)
        if not launch.is_main():
            return
        if not no_report:
            progress.phase("writing the report", None)
            write_report(model.result_, images, folder / "report.html")
    finally:
        progress.done()
    _say(*describe_result(model.result_), *next_steps(folder))


@app.command()
def predict(
    run: Run,
    source: Source,
    out: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The CSV table to write; RUN/predictions.csv when not given, - for stdout."),
    ] = None,
    to_folders: Annotated[
        Path | None, typer.Option(metavar="DEST", help="Also copy each image into the folder of its group below DEST.")
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Sort new images into the groups of a run, and write a table: image, cluster, confidence, outlier.

    Example: kinfold predict runs/a more_photos/ --to-folders sorted/
    """
    import kinfold
    from kinfold import export
    from kinfold.locate import files_of
    from kinfold.terminal import describe_images, describe_plan

    target = Path(out) if out and out != "-" else run / "predictions.csv"
    if out != "-" and target.exists():
        raise typer.BadParameter(f"{target} exists already and is not overwritten; give another name with --out.")
    progress = _progress(quiet=out == "-")
    try:
        model = kinfold.load(run)
        images = kinfold.as_images(source, shape=model.images_shape_, progress=progress)
        _tell(progress, describe_images(images, verbose))
        columns = export.predictions(model, images)
        if out == "-":
            sys.stdout.write(export.csv_text(columns))
        else:
            export.write_csv(columns, target)
            progress.say(f"Written: {target} ({len(images):,} images, groups used: {len(set(columns['cluster']))})")
        if to_folders is not None:
            plan = export.plan_folders(columns, files_of(source), to_folders)
            written = export.write_folders(plan, "copy", progress)
            _tell(progress, [*describe_plan(plan), f"Written: {to_folders} ({written:,} files)"])
    finally:
        progress.done()


@app.command()
def report(
    run: Run,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page to write; RUN/report.html when not given.")
    ] = None,
    images: ImagesAt = None,
    verbose: Verbose = False,
) -> None:
    """Write one self-contained HTML page about a run: galleries, map, merge tree, history.

    Example: kinfold report runs/a
    """
    from kinfold.errors import InputError
    from kinfold.locate import images_of, source_of
    from kinfold.report import write_report
    from kinfold.results import Clustering

    progress = _progress()
    try:
        result = Clustering.load(run)
        try:
            found = images_of(result, source_of(result, run, images), progress)
        except InputError as error:
            if images:
                raise
            found = None
            _tell(progress, [str(error), "Without them the report shows names in place of pictures."])
        progress.phase("writing the report", None)
        target = write_report(result, found, out or run / "report.html")
    finally:
        progress.done()
    _say(f"Written: {target}", "Open it in any browser; it needs no network.")


@app.command()
def export(
    run: Run,
    to: Annotated[Target, typer.Option(metavar="csv|parquet|folders|onnx", help="What to make of the run.")],
    dest: Annotated[Path, typer.Option(metavar="PATH", help="The file or, for folders, the folder to write.")],
    how: Annotated[
        How, typer.Option(metavar="copy|hardlink|symlink", help="For folders: copies, or links that take no space.")
    ] = How.copy,
    n_clusters: Annotated[
        int | None,
        typer.Option("-k", "--clusters", min=1, metavar="K", help="Cut the merge tree at another number of groups."),
    ] = None,
    min_confidence: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, metavar="P", help="For folders: less certain images go to a folder 'unsure'."),
    ] = 0.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="For folders: print the plan, write nothing.")
    ] = False,
    images: ImagesAt = None,
    verbose: Verbose = False,
) -> None:
    """Take the groups elsewhere: a CSV or Parquet table, one folder a group, or an ONNX model. Never overwrites.

    Examples: kinfold export runs/a --to folders --dest sorted/ --dry-run; kinfold export runs/a --to onnx --dest a.onnx
    """
    import kinfold
    from kinfold import export as exporting
    from kinfold.locate import files_of, images_of, source_of
    from kinfold.results import Clustering
    from kinfold.terminal import describe_plan

    if dry_run and to is not Target.folders:
        raise typer.BadParameter("--dry-run belongs to --to folders.")
    if min_confidence and n_clusters:
        raise typer.BadParameter("--min-confidence cannot go with -k: confidence belongs to the fitted groups.")
    progress = _progress()
    try:
        result = Clustering.load(run)
        if to is Target.onnx:
            sample = images_of(result, source_of(result, run, images), progress)
            difference = exporting.write_onnx(kinfold.load(run), dest, sample)
            progress.say(f"Checked in onnxruntime: at most {difference:.1g} from predict_proba.")
            progress.say(f"Written: {dest} (input 'images', output 'probabilities')")
            return
        columns = exporting.table(result, None if n_clusters is None else result.cut(n_clusters))
        if to is Target.folders:
            files = files_of(source_of(result, run, images))
            plan = exporting.plan_folders(columns, files, dest, min_confidence=min_confidence)
            if dry_run:
                _say(*plan.lines(), f"{len(plan.moves):,} files would be written to {dest}; nothing was.")
                return
            written = exporting.write_folders(plan, how.value, progress)
            _tell(progress, [*describe_plan(plan), f"Written: {dest} ({written:,} files)"])
            return
        write = exporting.write_csv if to is Target.csv else exporting.write_parquet
        progress.say(f"Written: {write(columns, dest)} ({len(result):,} rows)")
    finally:
        progress.done()


@app.command()
def benchmark(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="jule (the paper's table), coates-ng, nat, baselines, ablation, speed (needs no data), tables (writes "
            "the tables of README and docs from the results), or the id of one scenario.",
        ),
    ],
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder that holds the data sets.")] = None,
    only: Annotated[str | None, typer.Option(metavar="SET", help="Only this data set.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many runs, with seeds 0, 1, ...")] = 5,
    preset: Annotated[str | None, typer.Option(help="Another preset than the default, or 'all'.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the results go, one JSON a scenario.")] = Path(
        "benchmarks/results"
    ),
    verbose: Verbose = False,
) -> None:
    """Measure an algorithm on the published data sets; an interrupted benchmark goes on where it stopped.

    Example: kinfold benchmark jule --data data/ --only umist --seeds 5
    """
    from kinfold import benchmark as benchmarks

    progress = _progress()
    try:
        written = benchmarks.run(name, data, only, seeds, out, preset, progress)
    finally:
        progress.done()
    _say(*(f"Written: {path}" for path in written))
    if name != "tables":
        _say("Next:    kinfold benchmark tables")


@app.command()
def algorithms(verbose: Verbose = False) -> None:
    """List the algorithms, each with its citation."""
    from kinfold import algorithms as known

    for name in (*known.names(), *known.learners()):
        summary, *details = known.about(name)
        _say(f"{name.lower():12} {summary}", *(f"{'':12} {line}" for line in details))
    _say("", f"{', '.join(known.learners())}: features only, from Python, to stand before a clusterer.")
    _say("", "Use one with: kinfold cluster photos/ --algorithm NAME")


# What the commands share ---------------------------------------------------------------------------------------------


def _say(*sentences: str) -> None:
    """Print one line each; a reader that has gone away (`| head`) is no failure."""
    with contextlib.suppress(BrokenPipeError):
        for sentence in sentences:
            print(sentence)


def _tell(progress: Progress, sentences: list[str]) -> None:
    """Say one line each, above what is drawn."""
    for sentence in sentences:
        progress.say(sentence)


def _progress(quiet: bool = False) -> Progress:
    """Something that draws, in the process that speaks."""
    from kinfold.runtime import Progress
    from kinfold.terminal import for_stream

    return for_stream(sys.stdout) if launch.is_main() and not quiet else Progress()


def _algorithm(name: str) -> type[DeepClusterer[Any]]:
    """Find the class called `name`, whatever the case of its letters."""
    from kinfold import algorithms as known

    for candidate in known.names():
        if candidate.lower() == name.lower():
            found: type[DeepClusterer[Any]] = getattr(known, candidate)
            return found
    raise typer.BadParameter(f"--algorithm {name!r} is not known; there is {', '.join(known.names()).lower()}.")


def _parameters(algorithm: str, options: dict[str, Any], pairs: list[str]) -> dict[str, Any]:
    """Merge options and --param pairs, and check each against the algorithm's constructor."""
    import ast

    chosen = {name: value for name, value in options.items() if value is not None}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"--param {pair!r} has no '='; expected NAME=VALUE.")
        if name in chosen or name == "random_state":
            raise typer.BadParameter(f"--param {name} is given twice; use its own option, or --param once.")
        try:
            chosen[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            chosen[name] = text
    accepted = [p for p in inspect.signature(_algorithm(algorithm)).parameters if p != "random_state"]
    unknown = [name for name in chosen if name not in accepted]
    if unknown:
        raise typer.BadParameter(f"{algorithm} has no parameter {unknown[0]!r}; it has {', '.join(accepted)}.")
    return chosen


def _check_free(folder: Path, resume: bool) -> None:
    """Refuse, before any image is read, a folder that this command would have to overwrite."""
    from kinfold.errors import InputError
    from kinfold.files import last_checkpoint
    from kinfold.results import claim

    claim(folder)
    done, begun = (folder / "run.json").exists(), last_checkpoint(folder / "checkpoint") is not None
    if resume:
        if folder.exists() and not done and not begun:
            _say(f"There is no checkpoint in {folder}; starting from the beginning.")
    elif done:
        raise InputError(f"{folder} holds a finished run, which is not overwritten; give another folder with --out.")
    elif begun:
        raise InputError(f"{folder} holds an unfinished run; add --resume to go on, or give another folder with --out.")


# The one place where failures become sentences -----------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 success, 2 usage, 1 failure."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name that is not valid text must not end the run
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=arguments, prog_name="kinfold", standalone_mode=False, obj={"arguments": arguments})
        sys.stdout.flush()
    except BrokenPipeError:  # `kinfold ... | head` has read enough; the work was done before the last words
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, typer.Abort):
        return _fail(_stopped(arguments), arguments)
    except Exception as error:
        return _fail_by(error, arguments)
    if code == 130:  # what newer typer makes of Ctrl-C
        return _fail(_stopped(arguments), arguments)
    return int(code or 0)


def _fail_by(error: Exception, arguments: list[str]) -> int:
    """Turn an exception into one sentence and an exit code."""
    if hasattr(error, "format_message"):  # every usage error of typer
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "kinfold"
        print(f"{error.format_message()}\nTry '{command} --help'.", file=sys.stderr)
        return 2
    from kinfold.errors import KinfoldError

    if type(error).__name__ == "Interrupted":
        return _fail(f"{error} {_stopped(arguments)}", arguments)
    if isinstance(error, KinfoldError):
        return _fail(str(error), arguments)
    if isinstance(error, MemoryError):
        return _fail("The machine ran out of memory; use fewer or smaller images (--image-size).", arguments)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}.", arguments)
    return _fail(f"Unexpected {type(error).__name__}: {error} (--verbose shows where).", arguments)


def _fail(sentence: str, arguments: list[str]) -> int:
    """Say one sentence on stderr, or to the process that started this one."""
    if "--verbose" in arguments:
        import traceback

        traceback.print_exc()
    if not launch.tell_parent(sentence):
        print(sentence, file=sys.stderr)
    return 1


def _stopped(arguments: list[str]) -> str:
    """What to type after Ctrl-C."""
    again = shlex.join(["kinfold", *arguments, *(["--resume"] if "--resume" not in arguments else [])])
    return f"Stopped. Go on with: {again}" if arguments[:1] == ["cluster"] else "Stopped."
