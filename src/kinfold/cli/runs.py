"""The commands about one run: cluster, predict, report, export; and benchmark and algorithms."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    tell,
)
from kinfold.phrases import plural

if TYPE_CHECKING:
    from kinfold.estimator import DeepClusterer


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
        int,
        typer.Option(
            metavar="N", min=0, max=MOST_SEED, help="The same seed gives the same groups.", rich_help_panel=SCIENCE
        ),
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
    device: Device = "auto",
    precision: Precision = "auto",
    processes: Processes = 1,
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
    chosen = parameters_of(
        algorithm,
        {"n_clusters": n_clusters, "preset": preset, "backbone": backbone, "image_size": image_size},
        param or [],
    )
    folder = out or Path("runs") / name_of(source)
    if launch.is_main():
        check_free(folder, resume)
    if processes > 1 and not launch.is_worker():
        launch.relaunch(processes, context.obj["arguments"], verbose=verbose)
        return

    from kinfold.data import as_images
    from kinfold.parameters import refuse_parameters
    from kinfold.report import write_report
    from kinfold.runtime import Runtime
    from kinfold.terminal import describe_images, describe_result, next_steps

    progress = progress_of()
    with refusing_values():
        model = algorithm_class(algorithm)(**chosen, random_state=seed)
        refuse_parameters(model)
        run = Runtime(
            device=device,
            precision=precision,
            folder=folder,
            resume=resume,
            keep_checkpoint=keep_checkpoint,
            progress=progress,
        )
    try:
        images = as_images(source, labels=labels, image_size=image_size, cache=folder / "pixels", progress=progress)
        images.source = source if "://" in source else str(Path(source))  # as typed: report and export find it again
        tell(progress, describe_images(images, verbose))
        model.fit(images, runtime=run)
        if not launch.is_main():
            return
        if not no_report:
            progress.phase("writing the report", None)
            write_report(model.result_, images, folder / "report.html")
    finally:
        progress.done()
    say(*describe_result(model.result_), *next_steps(folder, files=images.paths is not None))


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
    if out != "-" and run.is_dir():
        with refusing_values():
            export.new_file(target, "give another name with --out")
    if to_folders is not None and to_folders.is_file():
        raise typer.BadParameter(f"--to-folders {to_folders} is a file; name a folder.")
    progress = progress_of(quiet=out == "-")
    try:
        files = None if to_folders is None else files_of(source)
        model = kinfold.load(run)
        images = kinfold.as_images(source, shape=model.images_shape_, progress=progress)
        tell(progress, describe_images(images, verbose))
        columns = export.predictions(model, images)
        if out == "-":
            sys.stdout.write(export.csv_text(columns))
        else:
            export.write_csv(columns, target)
            progress.say(
                f"Written: {target} ({plural(len(images), 'image')}, groups used: {len(set(columns['cluster']))})"
            )
        if to_folders is not None and files is not None:
            plan = export.plan_folders(columns, files, to_folders)
            written = export.write_folders(plan, "copy", progress)
            tell(progress, [*describe_plan(plan), f"Written: {to_folders} ({plural(written, 'file')})"])
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
    from kinfold.report import is_report, write_report
    from kinfold.results import Clustering

    target = out or run / "report.html"
    if target.is_dir() or (out is not None and target.is_file() and not is_report(target)):
        kind = "a folder" if target.is_dir() else "no report of Kinfold's and is not overwritten"
        raise typer.BadParameter(f"{target} is {kind}; give another name with --out.")
    progress = progress_of()
    try:
        result = Clustering.load(run)
        try:
            found = images_of(result, source_of(result, run, images), progress)
        except InputError as error:
            if images:
                raise
            found = None
            tell(progress, [str(error), "Without them the report shows names in place of pictures."])
        progress.phase("writing the report", None)
        from kinfold.evaluate import stored

        pages = [one.page() for one in stored(run)]
        write_report(result, found, target, evaluations=pages)
    finally:
        progress.done()
    say(f"Written: {target}", "Open it in any browser; it needs no network.")


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
    from kinfold.errors import InputError
    from kinfold.locate import files_of, images_of, source_of
    from kinfold.results import Clustering
    from kinfold.terminal import describe_plan

    if dry_run and to is not Target.folders:
        raise typer.BadParameter("--dry-run belongs to --to folders.")
    if to is Target.onnx and n_clusters:
        raise typer.BadParameter("-k cannot go with --to onnx: the model sorts into the fitted groups.")
    if to is not Target.folders and (how is not How.copy or min_confidence):
        raise typer.BadParameter(f"--how and --min-confidence belong to --to folders, not to {to.value}.")
    if to in (Target.csv, Target.parquet) and images:
        raise typer.BadParameter("--images belongs to --to folders and --to onnx; a table needs no images.")
    if to is Target.folders and (str(dest) == "." or dest.is_file()):
        raise typer.BadParameter(f"--dest {dest} is {'a file' if dest.is_file() else 'this folder'}; name a new one.")
    if min_confidence and n_clusters:
        raise typer.BadParameter("--min-confidence cannot go with -k: confidence belongs to the fitted groups.")
    progress = progress_of()
    try:
        result = Clustering.load(run)
        if to is Target.onnx:
            exporting.new_file(dest)
            sample = images_of(result, source_of(result, run, images), progress)
            difference = exporting.write_onnx(kinfold.load(run), dest, sample)
            progress.say(f"Checked in onnxruntime: at most {difference:.1g} from predict_proba.")
            progress.say(f"Written: {dest} (input 'images', output 'probabilities')")
            return
        labels = None if n_clusters is None else result.cut(n_clusters)
        columns = exporting.table(result, labels, cluster_names=result.cluster_names.get(n_clusters))
        if to is Target.folders:
            files = files_of(source_of(result, run, images))
            plan = exporting.plan_folders(columns, files, dest, min_confidence=min_confidence)
            if not plan.moves and not plan.present:
                tell(progress, describe_plan(plan))
                raise InputError("none of the run's images is there to be sorted; say where they are with --images.")
            if dry_run:
                say(*plan.lines(), f"{plural(len(plan.moves), 'file')} would be written to {dest}; nothing was.")
                return
            written = exporting.write_folders(plan, how.value, progress)
            tell(progress, [*describe_plan(plan), f"Written: {dest} ({plural(written, 'file')})"])
            return
        write = exporting.write_csv if to is Target.csv else exporting.write_parquet
        progress.say(f"Written: {write(columns, dest)} ({plural(len(result), 'row')})")
    finally:
        progress.done()


@app.command()
def benchmark(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="jule (the paper's table), another algorithm, baselines, ablation, speed (needs no data), tables "
            "(writes the tables of README and docs from the results), or the id of one scenario.",
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

    progress = progress_of()
    try:
        written = benchmarks.run(name, data, only, seeds, out, preset, progress)
    finally:
        progress.done()
    say(*(f"Written: {path}" for path in written))
    if name != "tables":
        say("Next:    kinfold benchmark tables")


@app.command()
def algorithms(verbose: Verbose = False) -> None:
    """List the algorithms, each with its citation."""
    from kinfold import algorithms as known

    for name in (*known.names(), *known.learners()):
        summary, *details = known.about(name)
        say(f"{name.lower():12} {summary}", *(f"{'':12} {line}" for line in details))
    say("", f"{', '.join(known.learners())}: features only, from Python, to stand before a clusterer.")
    say("", "Use one of the others with: kinfold cluster photos/ --algorithm NAME")


def algorithm_class(name: str) -> type[DeepClusterer[Any]]:
    """Find the class called `name`, whatever the case of its letters."""
    from kinfold import algorithms as known

    for candidate in known.names():
        if candidate.lower() == name.lower():
            found: type[DeepClusterer[Any]] = getattr(known, candidate)
            return found
    raise typer.BadParameter(f"--algorithm {name!r} is not known; there is {', '.join(known.names()).lower()}.")


def parameters_of(algorithm: str, options: dict[str, Any], pairs: list[str]) -> dict[str, Any]:
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
            chosen[name] = ast.literal_eval(text.capitalize() if text.lower() in ("true", "false", "none") else text)
        except (ValueError, SyntaxError):
            chosen[name] = text
    accepted = [p for p in inspect.signature(algorithm_class(algorithm)).parameters if p != "random_state"]
    unknown = [name for name in chosen if name not in accepted]
    if unknown:
        raise typer.BadParameter(f"{algorithm} has no parameter {unknown[0]!r}; it has {', '.join(accepted)}.")
    return chosen


@contextlib.contextmanager
def refusing_values() -> Iterator[None]:
    """Values of options that are refused before any image is read are a matter of usage."""
    from kinfold.errors import InputError

    try:
        yield
    except InputError as error:
        raise typer.BadParameter(str(error)) from None


def name_of(source: str) -> str:
    """What a run of this source is called: after its folder, or its file without the ending.

    >>> name_of("torchvision:MNIST"), name_of("s3://bucket/a.tar"), name_of("lists/cats.txt")
    ('MNIST', 'a', 'cats')
    """
    path = Path(source.split(":")[-1])
    path = path.resolve() if path.name in ("", "..") else path
    return (path.name if path.is_dir() else path.stem) or "images"


def check_free(folder: Path, resume: bool) -> None:
    """Refuse, before any image is read, a folder that this command would have to overwrite."""
    from kinfold.errors import InputError
    from kinfold.files import last_checkpoint
    from kinfold.results import claim

    claim(folder)
    done, begun = (folder / "run.json").exists(), last_checkpoint(folder / "checkpoint") is not None
    if resume:
        if folder.exists() and not done and not begun:
            say(f"There is no checkpoint in {folder}; starting from the beginning.")
    elif done:
        raise InputError(f"{folder} holds a finished run, which is not overwritten; give another folder with --out.")
    elif begun:
        raise InputError(f"{folder} holds an unfinished run; add --resume to go on, or give another folder with --out.")
