"""What a fit writes down: which run it is, how it went, and where it can go on."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kinfold.data.brightness import scale_of
from kinfold.data.images import Images
from kinfold.errors import InputError
from kinfold.files import read_json, weights, write_text
from kinfold.health import Row, summary
from kinfold.results import Clustering, claim
from kinfold.runtime import Interrupted, PartnerLost, Runtime


@dataclass
class Journal:
    """What a checkpoint holds.

    Attributes
    ----------
    state
        The algorithm's state.
    history
        One row a round.
    done
        What the algorithm did against trouble, in plain sentences.
    seconds
        Time spent in the start and in rounds, over all the processes that worked on this run one after the other.
    """

    state: Any
    history: list[Row] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    seconds: float = 0.0


def identify(algorithm: str, parameters: Mapping[str, Any], images: Images) -> dict[str, Any]:
    """What must be equal for a run to go on: algorithm, parameters and images, as JSON.

    Examples
    --------
    >>> images = Images(np.eye(2, dtype=np.float32))
    >>> identify("JULE", {"n_clusters": 2}, images)["parameters"]
    {'n_clusters': 2}
    """
    return {"algorithm": algorithm, "parameters": plain(dict(parameters)), "images": images.fingerprint}


def plain(value: Any) -> Any:
    """A parameter as JSON holds it; what JSON cannot hold is named by its type.

    Examples
    --------
    >>> plain((np.int64(3), 0.5, object()))
    [3, 0.5, '<object>']
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray):  # long, but another array is another run
        digest = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=8).hexdigest()
        return f"<array {value.shape} {digest}>"
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {str(key): plain(value[key]) for key in sorted(value, key=str)}
    return f"<{type(value).__name__}>"


def same(found: Any, expected: Mapping[str, Any], folder: Path) -> None:
    """Check that a folder holds the run that is to go on.

    Raises
    ------
    InputError
        Naming the first difference.
    """
    if not isinstance(found, dict) or not isinstance(found.get("parameters"), dict):
        raise InputError(f"{folder} does not say what it is a run of; give another folder.")
    theirs, ours = found.get("algorithm"), expected["algorithm"]
    if theirs != ours:
        raise InputError(f"{folder} is a run of {theirs}, not of {ours}; give another folder.")
    before, now = found["parameters"], expected["parameters"]
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            raise InputError(
                f"{folder} was begun with {name}={before.get(name)!r}, not {now.get(name)!r}; "
                "give the same parameters, or another folder."
            )
    if found.get("images") != expected["images"]:
        raise InputError(f"{folder} was begun with other images; give the same source, or another folder.")


def is_finished(run: Runtime, identity: Mapping[str, Any]) -> bool:
    """Check the run folder before the work; True if it holds this very run, finished.

    Raises
    ------
    InputError
        If the folder belongs to something else, or to a run that is not to be resumed.
    """
    if run.folder is None:
        return False
    folder = Path(run.folder)
    claim(folder)
    found = read_json(folder, "run.json") if (folder / "run.json").exists() else {"unfinished": True}
    if not found.get("unfinished"):
        if not run.resume:
            raise InputError(f"{folder} holds a finished run, which is not overwritten; give another folder.")
        same(found.get("identity"), identity, folder)
        run.discard_checkpoint()  # what is left of it, when it was killed just then
        run.progress.say(f"{folder} is finished already.")
        return True
    if run.checkpoint() is not None:
        if not run.resume:
            raise InputError(
                f"{folder} holds an unfinished run; resume it, or delete {folder / 'checkpoint'} to start over."
            )
        about = run.cache("about.json")
        if about is not None and about.exists():  # refused here, before `open_cache` empties the cache of another run
            same(read_json(about.parent, about.name), identity, folder)
    return False


def open_cache(run: Runtime, identity: Mapping[str, Any]) -> None:
    """Empty the run's cache unless it is of this very run, so that nothing computed for other images is ever used."""
    about = run.cache("about.json") if run.is_main else None
    if about is not None and not (about.exists() and read_json(about.parent, about.name) == identity):
        shutil.rmtree(about.parent)
        about.parent.mkdir()
        write_text(about, json.dumps(identity))
    run.wait()


def resume(begun: Journal, identity: Mapping[str, Any], run: Runtime) -> Journal:
    """Fill a fresh journal from the last checkpoint, if there is one."""
    start = begun.seconds
    journal: Journal = run.load(begun, lambda found: same(found, identity, Path(run.folder or ".")))
    # The first process may delete this checkpoint after its next round; all must have read it by then.
    run.wait()
    if journal.state.round:
        journal.seconds += start  # which this process spent as well
        run.progress.say(f"going on after round {journal.state.round}.")
    return journal


@contextmanager
def saying_how_to_go_on(run: Runtime) -> Iterator[None]:
    """Turn Ctrl-C, and the end of another process, into a sentence.

    Raises
    ------
    Interrupted
        In place of KeyboardInterrupt.
    PartnerLost
        In place of what a broken connection to another process raises.
    """
    try:
        yield
    except RuntimeError as error:
        if not run.has_lost_a_partner(error):
            raise
        saved = "nothing was saved" if run.checkpoint() is None else f"the finished rounds are saved in {run.folder}"
        raise PartnerLost(f"another process of this run ended before its work was done; {saved}.") from error
    except KeyboardInterrupt:
        if run.checkpoint() is not None:
            words = f"interrupted; the finished rounds are saved in {run.folder}: resume it (--resume) to go on."
        elif run.folder is not None:
            words = "interrupted before the first round was finished; nothing was saved, so start again."
        else:
            words = "interrupted; nothing was saved: give a runtime with a folder, and a run can be resumed."
        raise Interrupted(words) from None


def in_words(row: Row) -> str:
    """One round in words.

    Examples
    --------
    >>> in_words({"round": 1, "loss": 0.5, "used": 4, "changed": 0.25, "health": ""})
    'round 1: loss 0.5, 4 clusters, 25.0% moved.'
    """
    loss = "" if row["loss"] is None else f"loss {row['loss']:.4g}, "
    trouble = f"; {row['health']}" if row["health"] else ""
    score = f", NMI {row['nmi']:.3f}" if "nmi" in row else ""
    return f"round {row['round']}: {loss}{row['used']} clusters, {row['changed']:.1%} moved{score}{trouble}."


def conclude(
    journal: Journal,
    identity: Mapping[str, Any],
    images: Images,
    probabilities: np.ndarray[Any, np.dtype[np.float64]],
    known: tuple[np.ndarray[Any, np.dtype[np.int64]] | None, list[str] | None],
    run: Runtime,
) -> Clustering:
    """The result of a finished run, all but the outlier scores.

    Parameters
    ----------
    probabilities
        Of each cluster, ``(n, k)``.
    known
        Known classes and their names, or None.
    """
    state = journal.state
    labels = np.asarray(state.labels, dtype=np.int64)
    tree = getattr(state, "tree", None)
    return Clustering.of(
        labels,
        embedding=state.features.numpy(),
        confidence=np.clip(probabilities[np.arange(len(labels)), labels], 0, 1).astype(np.float32),
        names=list(images.names),
        duplicate_of=np.asarray(images.duplicate_of, dtype=np.int64),
        skipped=list(images.skipped),
        history=journal.history,
        tree=None if tree is None else {name: getattr(tree, name) for name in ("start", "merges", "affinity")},
        truth=known[0],
        run={
            **plain(state.facts),
            "algorithm": identity["algorithm"],
            "parameters": identity["parameters"],
            "identity": dict(identity),
            "n_clusters": probabilities.shape[1],
            "shape": list(images.shape),
            "scale": scale_of(images),
            "source": images.source,
            "note": list(images.note),
            "label_names": known[1],
            "seed": state.generator.initial_seed(),
            "rounds": state.round,
            "restarts": sum(int(row.get("restarts", 0)) for row in journal.history),
            "seconds": round(journal.seconds, 3),
            "health": summary(journal.history, labels, journal.done),
            **machine(run),
        },
        weights=weights(state.net),
        variants=dict(getattr(state, "variants", None) or {}),
    )


def machine(run: Runtime) -> dict[str, Any]:
    """Versions, device, processes, threads and peak memory, for run.json."""
    names = ("kinfold", "torch", "numpy", "scikit-learn")
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in names}},
        "device": run.device_name,
        "precision": run.precision,
        "processes": run.world,
        "threads": torch.get_num_threads(),
        "peak_mb": peak_mb(),
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "unknown"


def peak_mb() -> int | None:
    """Highest resident memory of this process so far, in MiB; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak / (2**20 if sys.platform == "darwin" else 2**10))
