"""The command that gives the groups of a run names."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinfold.cli.shared import Run, Verbose, app, say

if TYPE_CHECKING:
    from kinfold.naming import Names
    from kinfold.results import Clustering


@app.command()
def name(
    run: Run,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[GROUP=NAME]...", help="Names, such as 3='red vans'; 3= takes one away. Without any, lists groups."
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="The names.csv that the report saves, or a table cluster,name."),
    ] = None,
    n_clusters: Annotated[
        int | None,
        typer.Option("-k", "--clusters", min=1, metavar="K", help="The groups of the merge tree cut at this number."),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Name the groups of a run: for its folders, tables, report, and for new images.

    Groups of one name share a folder. Names can also be typed into the report, which saves them as a table.

    Examples: kinfold name runs/a 3="red vans" 5=people; kinfold name runs/a --from names.csv
    """
    from kinfold.naming import read_names, write_names
    from kinfold.results import Clustering
    from kinfold.terminal import describe_groups

    if table is not None and n_clusters is not None:
        raise typer.BadParameter("--from cannot go with -k: the table says which groups it names.")
    result = Clustering.load(run)
    given: Names = {} if table is None else read_names(table)
    for cluster, text in map(pair, pairs or []):
        given.setdefault(n_clusters, {})[cluster] = text
    for cut, names in given.items():
        merge(result, cut, names)
    if given:
        say(f"Written: {write_names(run, result.cluster_names)}")
    say(*describe_groups(result, n_clusters))
    folder = shlex.quote(str(run))
    if given:
        k = "" if n_clusters is None else f" -k {n_clusters}"
        say(f"Look:    kinfold report {folder}")
        say(f"Next:    kinfold export {folder} --to folders --dest sorted/{k} --dry-run")
    else:
        say(f"Next:    kinfold name {folder} 0='a name'")


def pair(text: str) -> tuple[int, str]:
    """Read GROUP=NAME; an empty name takes one away."""
    from kinfold.naming import check_name

    group, equals, found = text.partition("=")
    if not equals or not group.strip().isdecimal():
        raise typer.BadParameter(f"{text!r} names no group; expected GROUP=NAME, such as 3='red vans'.")
    return int(group), check_name(found) if found.strip() else ""


def merge(result: Clustering, cut: int | None, names: dict[int, str]) -> None:
    """Take names over for the groups of one cut."""
    from kinfold.errors import InputError

    labels = result.labels if cut is None else result.cut(cut)
    missing = sorted(set(names) - set(labels.tolist()))
    if missing:
        where = "the run" if cut is None else f"the cut at {cut}"
        raise InputError(f"{where} has no group {missing[0]}; expected one of 0 to {labels.max()}.")
    kept = result.cluster_names.get(cut, {}) | names
    result.cluster_names[cut] = {cluster: text for cluster, text in kept.items() if text}
