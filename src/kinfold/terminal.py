"""What the command line draws while it works, and the sentences it says about images and results.

A terminal gets a bar with the time left that is redrawn; a file, a pipe or a log gets at most one plain line every few
seconds. Both speak the language of :class:`kinfold.runtime.Progress` (``phase``, ``advance``, ``say``, ``done``).
"""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from kinfold.data import Images
from kinfold.export import Plan
from kinfold.phrases import one_line, plural
from kinfold.results import Clustering
from kinfold.runtime import Progress

__all__ = [
    "Bar",
    "Lines",
    "describe_groups",
    "describe_images",
    "describe_plan",
    "describe_result",
    "duration",
    "for_stream",
    "next_steps",
    "table",
]


def duration(seconds: float) -> str:
    """Say a length of time the way people do.

    >>> duration(0.42), duration(75), duration(7384)
    ('0.4 s', '1 min 15 s', '2 h 3 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def for_stream(stream: TextIO) -> Progress:
    """Choose the bar for a terminal and plain lines for everything else.

    >>> import io
    >>> type(for_stream(io.StringIO())).__name__
    'Lines'
    """
    return Bar(stream) if stream.isatty() else Lines(stream)


class Lines(Progress):
    """Progress as plain lines: one at the start of a phase, then at most one every `every` seconds.

    Parameters
    ----------
    stream : file, optional
        Where the lines go; standard output by default.
    every : float
        The shortest time between two lines of one phase, in seconds.
    clock : callable
        Returns the time in seconds.

    Examples
    --------
    >>> import sys
    >>> lines = Lines(sys.stdout, clock=iter(range(0, 600, 30)).__next__)
    >>> lines.phase("reading images", 4)
    reading images (4)
    >>> lines.advance()
    reading images: 1 of 4, about 1 min 30 s left
    """

    def __init__(
        self, stream: TextIO | None = None, every: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self._every = every
        self._clock = clock
        self._name = ""
        self._total: int | None = None
        self._count = 0
        self._share = 0.0  # of the next step
        self._started = self._spoken = 0.0

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a part of the work with `total` steps, or None when that is not known."""
        self._name, self._total, self._count, self._share = name, total, 0, 0.0
        self._started = self._spoken = self._clock()
        self._write(name if total is None else f"{name} ({total:,})")

    def advance(self, n: int = 1) -> None:
        """Count `n` more steps as done."""
        self._count, self._share = self._count + n, 0.0
        self._tell()

    def partly(self, share: float) -> None:
        """Count one more share of the next step as done."""
        self._share = min(1.0, self._share + share)
        self._tell()

    def _tell(self) -> None:
        """Say how far the phase is and how long it still takes, unless something was said a moment ago."""
        now = self._clock()
        if not self._name or now - self._spoken < self._every:
            return
        self._spoken = now
        next_one = f", {self._share:.0%} of the next" if self._share > 0 else ""
        if self._total is None:
            self._write(f"{self._name}: {self._count:,} so far{next_one}")
        elif 0 < (done := self._count + self._share) < self._total:
            left = (now - self._started) / done * (self._total - done)
            self._write(f"{self._name}: {self._count:,} of {self._total:,}{next_one}, about {duration(left)} left")

    def say(self, sentence: str) -> None:
        """Write one line, which shows as well that the work goes on."""
        self._spoken = self._clock()
        self._write(one_line(sentence))

    def _write(self, sentence: str) -> None:
        # A reader that has gone away does not end the work.
        with contextlib.suppress(BrokenPipeError):
            self._stream.write(sentence + "\n")
            self._stream.flush()

    def done(self) -> None:
        """End the phase; nothing is left on the screen that would need clearing."""
        self._name = ""


class Bar(Progress):
    """Progress as a bar with the time left, for a terminal.

    Parameters
    ----------
    stream : file
        The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        # A narrow console would cut file names in the middle; soft wrapping leaves that to the terminal.
        self._console = Console(file=stream, markup=False, highlight=False, emoji=False)
        self._bars: Bars | None = None
        self._task: TaskID | None = None
        self._count = 0
        self._share = 0.0  # of the next step

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a part of the work with `total` steps, or None when that is not known."""
        if self._bars is None:
            self._bars = Bars(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._bars.start()
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(name, total=total)
        self._count, self._share = 0, 0.0

    def advance(self, n: int = 1) -> None:
        """Count `n` more steps as done."""
        self._count, self._share = self._count + n, 0.0
        self._move()

    def partly(self, share: float) -> None:
        """Count one more share of the next step as done."""
        self._share = min(1.0, self._share + share)
        self._move()

    def _move(self) -> None:
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, completed=self._count + self._share)

    def say(self, sentence: str) -> None:
        """Write one line above the bar."""
        self._console.print(one_line(sentence), soft_wrap=True)

    def done(self) -> None:
        """Take the bar off the screen."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._task = None


def describe_images(images: Images, verbose: bool = False) -> list[str]:
    """Say what was read: number, size, what was left out; who reads them has said what was resized.

    >>> import numpy as np
    >>> describe_images(Images(np.zeros((3, 1, 8, 8), np.uint8), source="photos"))
    ['3 images of 1 x 8 x 8 from photos']
    """
    shape = " x ".join(map(str, images.shape))
    lines = [f"{plural(len(images), 'vector' if images.is_vectors else 'image')} of {shape} from {images.source}"]
    shown = images.skipped if verbose else images.skipped[:3]
    lines += [f"skipped {one.path}: {one.reason}" for one in shown]
    if len(images.skipped) > len(shown):
        lines.append(f"skipped {len(images.skipped) - len(shown):,} more (--verbose lists all)")
    return lines


def describe_result(result: Clustering) -> list[str]:
    """Say what came out, in a few lines.

    >>> describe_result(Clustering.of([0, 0, 1], embedding=np.eye(3), run={"seconds": 75}))
    ['2 groups of 1 to 2 images, in 1 min 15 s.']
    """
    sizes = np.unique(result.labels, return_counts=True)[1]
    seconds = result.run.get("seconds")
    time_taken = f", in {duration(seconds)}" if isinstance(seconds, (int, float)) else ""
    largest = plural(int(sizes.max()), "image")
    size = largest if sizes.min() == sizes.max() else f"{sizes.min():,} to {largest}"
    lines = [f"{plural(len(sizes), 'group')} of {size}{time_taken}."]
    if result.run.get("pretrained"):
        lines.append(
            f"The features are those of {result.run['pretrained']}, a network pretrained on other images; "
            "--backbone convnet trains one from scratch instead."
        )
    copies = int((result.duplicate_of >= 0).sum())
    if copies:
        are = "is an exact copy" if copies == 1 else "are exact copies"
        lines.append(f"{plural(copies, 'image')} {are} of another; labels.csv says of which.")
    scores = result.scores()
    if scores:
        lines.append("Against the known labels: " + ", ".join(f"{name} {v:.3f}" for name, v in scores.items()))
    return lines


def describe_groups(result: Clustering, n_clusters: int | None = None) -> list[str]:
    """List the groups of a run, or of its merge tree cut at another number: size, name, a typical image.

    >>> result = Clustering.of([0, 0, 1], embedding=np.eye(3), cluster_names={None: {1: "red vans"}})
    >>> describe_groups(result)
    ['group  images  name      such as', '    0       2                  0', '    1       1  red vans        2']
    """
    labels = result.labels if n_clusters is None else result.cut(n_clusters)
    names = result.cluster_names.get(n_clusters, {})
    sure = np.asarray(result.confidence) * (1 - np.asarray(result.outlier))
    rows = []
    for cluster, size in zip(*np.unique(labels, return_counts=True), strict=True):
        typical = int(np.where(labels == cluster, sure, -1).argmax())
        rows.append([str(cluster), f"{size}", names.get(int(cluster), ""), result.names[typical]])
    return table(["group", "images", "name", "such as"], rows)


def next_steps(folder: Path, *, files: bool = True) -> list[str]:
    """Name what a run wrote, and what to type next; only files can go to folders."""
    run, page = shlex.quote(str(folder)), folder / "report.html"
    sort = "folders --dest sorted/ --dry-run" if files else "csv --dest groups.csv"
    return [
        f"Written: {folder} ({', '.join(path.name for path in sorted(folder.iterdir()) if path.is_file())})",
        f"Look:    open {page} in any browser" if page.exists() else f"Look:    kinfold report {run}",
        f"Name:    kinfold name {run} 0='a name'",
        f"Sort:    kinfold export {run} --to {sort}",
        f"Next:    kinfold predict {run} more_photos/",
    ]


def describe_plan(plan: Plan) -> list[str]:
    """Say which images a plan leaves out, and which it finds done already."""
    lines = [f"left out {name!r}: {reason}" for name, reason in plan.refused[:10]]
    if len(plan.refused) > 10:
        lines.append(f"left out {len(plan.refused) - 10:,} more")
    if plan.present:
        lines.append(
            f"{plural(len(plan.present), 'image')} {'was' if len(plan.present) == 1 else 'were'} there already"
        )
    return lines


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table for a terminal: texts to the left, numbers to the right.

    >>> table(["features", "acc"], [["pixels", "0.9"], ["JULE", "12.25"]])
    ['features    acc', 'pixels      0.9', 'JULE      12.25']
    """
    widths = [max(len(line[i]) for line in [columns, *rows]) for i in range(len(columns))]
    right = [all(_is_number(row[i]) for row in rows) for i in range(len(columns))]

    def line(cells: Sequence[str]) -> str:
        pairs = zip(cells, widths, right, strict=True)
        return "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in pairs
        ).rstrip()

    return [line(columns), *(line(row) for row in rows)]


def _is_number(text: str) -> bool:
    return not text or text.replace(".", "", 1).replace("-", "", 1).isdecimal()
