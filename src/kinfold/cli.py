"""The ``kinfold`` command: thin, and quick to answer.

Nothing heavy is imported before a command needs it: ``kinfold --help`` answers in a fraction of a second. Commands
parse, call one function of the library, and end by naming what they wrote and what to type next. `main` is the one
place where an exception becomes a sentence on stderr and an exit code: 0 success, 2 usage, 1 failure.
"""

from __future__ import annotations

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
    from kinfold.data import Images
    from kinfold.estimator import DeepClusterer
    from kinfold.results import Clustering
    from kinfold.runtime import Progress

__all__ = ["app", "main"]

app = typer.Typer(
    name="kinfold",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Sort a pile of unlabelled images into groups, look at them, and sort the next image the same way.",
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
Verbose = Annotated[bool, typer.Option("--verbose", help="Say more, and show the traceback when something fails.")]
ImagesAt = Annotated[
    str | None,
    typer.Option("--images", metavar="SOURCE", help="Where the images are now, when they moved after the run."),
]


@app.command()
def cluster(
    source: Source,
    n_clusters: Annotated[
        int | None,
        typer.Option("-k", "--clusters", min=1, help="Number of groups; estimated from the images when not given."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write the run to; runs/NAME-OF-THE-SOURCE when not given.")
    ] = None,
    algorithm: Annotated[str, typer.Option(help="Which method; `kinfold algorithms` lists them.")] = "jule",
    preset: Annotated[
        str | None, typer.Option(help="A named set of constants, such as 'default' or 'paper'.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="The network: auto, efficientnet-lite0 (pretrained), timm:NAME, or another that the algorithm names."),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="from-folders", help="Take class folders as true labels, to print a score; never used to cluster."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same groups.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out where it was stopped.")] = False,
    image_size: Annotated[
        int | None, typer.Option(min=4, help="Resize images to this many pixels a side.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    processes: Annotated[
        int, typer.Option(min=1, metavar="N", help="Share the work between N processes on this machine.")
    ] = 1,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="NAME=VALUE", help="Any other parameter of the algorithm; may be repeated."),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Do not write report.html.")] = False,
    keep_checkpoint: Annotated[
        bool, typer.Option("--keep-checkpoint", help="Keep what --resume needs after the end.")
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
    if launch.is_main() and _finished(folder, resume):
        _say(f"{folder} is finished already; nothing was changed.", *_next_steps(folder))
        return
    if processes > 1 and not launch.is_worker():
        launch.relaunch(processes, sys.argv[1:], verbose=verbose)
        return

    from kinfold.data import as_images
    from kinfold.report import write_report
    from kinfold.runtime import Runtime

    progress = _progress()
    try:
        images = as_images(source, labels=labels, image_size=image_size, cache=None, progress=progress)
        model = _algorithm(algorithm)(**chosen, random_state=seed)
        run = Runtime(
            device=device,
            precision=precision,
            folder=folder,
            resume=resume,
            keep_checkpoint=keep_checkpoint,
            progress=progress,
        )
        _describe_images(images, progress, verbose)
        model.fit(images, runtime=run)
        if not launch.is_main():
            return
        if not no_report:
            progress.phase("writing the report", None)
            write_report(model.result_, images, folder / "report.html")
    finally:
        progress.done()
    _say(*_describe_result(model.result_, images), *_next_steps(folder))


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

    target = Path(out) if out and out != "-" else run / "predictions.csv"
    if out != "-" and target.exists():
        raise typer.BadParameter(f"{target} exists already and is not overwritten; give another name with --out.")
    progress = _progress(quiet=out == "-")
    try:
        model = kinfold.load(run)
        images = kinfold.as_images(source, shape=model.images_shape_, progress=progress)
        _describe_images(images, progress, verbose)
        columns = export.predictions(model, images)
        if out == "-":
            sys.stdout.write(export.csv_text(columns))
        else:
            export.write_csv(columns, target)
            progress.say(f"{len(images):,} images sorted into {len(set(columns['cluster']))} groups.")
            progress.say(f"Written: {target}")
        if to_folders is not None:
            plan = export.plan_folders(columns, _root(source), to_folders)
            _carry_out(plan, "copy", progress)
    finally:
        progress.done()


@app.command()
def report(
    run: Run,
    out: Annotated[Path | None, typer.Option(help="The page to write; RUN/report.html when not given.")] = None,
    images: ImagesAt = None,
    verbose: Verbose = False,
) -> None:
    """Write one self-contained HTML page about a run: galleries, map, merge tree, history.

    Example: kinfold report runs/a
    """
    from kinfold.report import write_report
    from kinfold.results import Clustering

    progress = _progress()
    try:
        result = Clustering.load(run)
        found = _images_of(result, images, progress)
        target = write_report(result, found, out or run / "report.html")
    finally:
        progress.done()
    _say(f"Written: {target}", "Open it in any browser; it needs no network.")


@app.command()
def export(
    run: Run,
    to: Annotated[Target, typer.Option(help="What to make of the run.")],
    dest: Annotated[Path, typer.Option(help="The file or, for folders, the folder to write.")],
    how: Annotated[How, typer.Option(help="For folders: copies, or links that take no space.")] = How.copy,
    n_clusters: Annotated[
        int | None, typer.Option("-k", "--clusters", min=1, help="Cut the merge tree at another number of groups.")
    ] = None,
    min_confidence: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="For folders: less certain images go to a folder 'unsure'.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="For folders: print the plan, write nothing.")] = False,
    images: ImagesAt = None,
    verbose: Verbose = False,
) -> None:
    """Take the groups elsewhere: a CSV or Parquet table, one folder a group, or an ONNX model. Never overwrites.

    Examples: kinfold export runs/a --to folders --dest sorted/ --dry-run; kinfold export runs/a --to onnx --dest a.onnx
    """
    import kinfold
    from kinfold import export as exporting
    from kinfold.results import Clustering

    if dry_run and to is not Target.folders:
        raise typer.BadParameter("--dry-run belongs to --to folders.")
    progress = _progress()
    try:
        result = Clustering.load(run)
        if to is Target.onnx:
            model = kinfold.load(run)
            difference = exporting.write_onnx(model, dest, _images_of(result, images, progress))
            progress.say(f"Checked in onnxruntime: at most {difference:.1g} from predict_proba.")
            progress.say(f"Written: {dest} (input 'images', output 'probabilities')")
            return
        columns = exporting.table(result, None if n_clusters is None else result.cut(n_clusters))
        if to is Target.folders:
            root = _root(images or _source_of(result, run))
            plan = exporting.plan_folders(columns, root, dest, min_confidence=min_confidence)
            if dry_run:
                _say(*plan.lines(), f"{len(plan.moves):,} files would be written; nothing was.")
            else:
                _carry_out(plan, how.value, progress)
            return
        write = exporting.write_csv if to is Target.csv else exporting.write_parquet
        progress.say(f"Written: {write(columns, dest)} ({len(result.names):,} rows)")
    finally:
        progress.done()


@app.command()
def benchmark(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="An algorithm, such as jule.")],
    data: Annotated[Path, typer.Option(help="The folder that holds the data sets.")],
    only: Annotated[str | None, typer.Option(metavar="SET", help="Only this data set.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, from 0 on.")] = 5,
    out: Annotated[Path, typer.Option(help="Where the results go, one JSON a scenario.")] = Path("benchmarks/results"),
    verbose: Verbose = False,
) -> None:
    """Measure an algorithm and print the published table beside ours.

    Example: kinfold benchmark jule --data data/ --only umist --seeds 5
    """


@app.command()
def algorithms(verbose: Verbose = False) -> None:
    """List the algorithms, each with its citation."""
    from kinfold import algorithms as known

    for name in known.names():
        summary, *details = known.about(name)
        _say(f"{name.lower():12} {summary}", *(f"{'':12} {line}" for line in details))
    _say("", "Use one with: kinfold cluster photos/ --algorithm NAME")


# What the commands share ---------------------------------------------------------------------------------------------


def _say(*sentences: str) -> None:
    """Print one line each."""
    for sentence in sentences:
        print(sentence)


def _progress(quiet: bool = False) -> Progress:
    """Something that draws, in the process that speaks."""
    from kinfold.runtime import Progress
    from kinfold.terminal import for_stream

    return for_stream(sys.stdout) if launch.is_main() and not quiet else Progress()


def _algorithm(name: str) -> type[DeepClusterer]:
    """Find the class called `name`, whatever the case of its letters."""
    from kinfold import algorithms as known

    for candidate in known.names():
        if candidate.lower() == name.lower():
            found: type[DeepClusterer] = getattr(known, candidate)
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


def _finished(folder: Path, resume: bool) -> bool:
    """Whether the run is complete already; refuses a folder that this command would have to overwrite."""
    from kinfold.errors import InputError
    from kinfold.files import last_checkpoint
    from kinfold.results import claim

    claim(folder)
    done, begun = (folder / "run.json").exists(), last_checkpoint(folder / "checkpoint") is not None
    if resume:
        if not done and not begun:
            _say(f"There is no checkpoint in {folder}; starting from the beginning.")
        return done
    if done:
        raise InputError(f"{folder} holds a finished run, which is not overwritten; give another folder with --out.")
    if begun:
        raise InputError(f"{folder} holds an unfinished run; add --resume to go on, or give another folder with --out.")
    return False


def _describe_images(images: Images, progress: Progress, verbose: bool) -> None:
    """Say what was read: number, size, what was resized, what was left out."""
    shape = " x ".join(map(str, images.shape))
    progress.say(f"{len(images):,} {'vectors' if images.is_vectors else 'images'} of {shape} from {images.source}")
    for sentence in images.note:
        progress.say(sentence)
    if images.skipped:
        shown = images.skipped if verbose else images.skipped[:3]
        more = len(images.skipped) - len(shown)
        for one in shown:
            progress.say(f"skipped {one.path}: {one.reason}")
        if more:
            progress.say(f"skipped {more:,} more (--verbose lists all)")


def _describe_result(result: Clustering) -> list[str]:
    """Say what came out, in a few lines."""
    import numpy as np

    from kinfold.terminal import duration

    sizes = np.unique(result.labels, return_counts=True)[1]
    lines = [f"{len(sizes)} groups of {sizes.min():,} to {sizes.max():,} images."]
    seconds = result.run.get("seconds")
    if isinstance(seconds, (int, float)):
        lines[0] = f"{lines[0][:-1]}, in {duration(seconds)}."
    copies = int((result.duplicate_of >= 0).sum())
    if copies:
        lines.append(f"{copies:,} images are exact copies of another; labels.csv says of which.")
    lines += [f"Health: {sentence}" for sentence in result.run.get("health", [])]
    scores = result.scores()
    if scores:
        lines.append("Against the known labels: " + ", ".join(f"{k} {v:.3f}" for k, v in scores.items()))
    return lines


def _next_steps(folder: Path) -> list[str]:
    """Name what was written and what to type next."""
    quoted = shlex.quote(str(folder))
    page = folder / "report.html"
    return [
        f"Written: {folder} ({', '.join(p.name for p in sorted(folder.iterdir()) if p.is_file())})",
        f"Look:    {page} in any browser" if page.exists() else f"Look:    kinfold report {quoted}",
        f"Sort:    kinfold export {quoted} --to folders --dest sorted/ --dry-run",
        f"Next:    kinfold predict {quoted} more_photos/",
    ]


def _root(source: str) -> Path:
    """Return the folder that the names of a source's images are relative to."""
    path = Path(source)
    return path if path.is_dir() else path.parent


def _source_of(result: Clustering, run: Path) -> str:
    """Where the images of a run were."""
    return str(result.run.get("source", ""))


def _images_of(result: Clustering, moved: str | None, progress: Progress) -> Images | None:
    """Read the images of a run again, at the size they were fitted at; None when they are not there."""
    from kinfold.data import as_images

    return as_images(moved, progress=progress) if moved else None


def _carry_out(plan: Plan, how: str, progress: Progress) -> None:
    """Write class folders and say what happened to each image."""
    from kinfold.export import write_folders

    written = write_folders(plan, how, progress)
    for name, reason in plan.refused[:10]:
        progress.say(f"left out {name!r}: {reason}")
    if len(plan.refused) > 10:
        progress.say(f"left out {len(plan.refused) - 10:,} more for the like reasons")
    if plan.present:
        progress.say(f"{len(plan.present):,} images were there already.")
    progress.say(f"Written: {plan.destination} ({written:,} files)")


# The one place where failures become sentences -----------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0 success, 2 usage, 1 failure."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name that is not valid text must not end the run
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(args=arguments, prog_name="kinfold", standalone_mode=False)
    except BrokenPipeError:  # `kinfold ... | head` closed its end: nothing is wrong
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
