"""What a fit writes down; resuming is in test_resume.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinfold.data.images import Images
from kinfold.errors import InputError
from kinfold.journal import identify, in_words, is_finished, machine, open_cache, peak_mb, plain, same
from kinfold.runtime import Runtime

TABLE = np.eye(3, dtype=np.float32)
IDENTITY = identify("Tiny", {"n_clusters": 2}, Images(TABLE))


def test_a_parameter_that_is_an_array_or_a_path_is_written_down() -> None:
    assert plain(Path("runs") / "a") == str(Path("runs", "a"))
    assert plain(TABLE) == plain(TABLE.copy()) != plain(TABLE * 2)
    assert str(plain(TABLE)).startswith("<array (3, 3) ")


def test_an_identity_knows_the_images_and_nothing_of_their_place() -> None:
    same(identify("Tiny", {"n_clusters": 2}, Images(TABLE, names=["a", "b", "c"])), IDENTITY, Path("runs"))
    for other in (TABLE[::-1].copy(), TABLE * 2, TABLE[:2]):
        assert identify("Tiny", {"n_clusters": 2}, Images(other))["images"] != IDENTITY["images"]
    assert json.loads(json.dumps(IDENTITY)) == IDENTITY


@pytest.mark.parametrize("found", [None, [], {}, {"algorithm": "Tiny", "parameters": 3}])
def test_folders_that_do_not_say_what_they_are(found: Any) -> None:
    with pytest.raises(InputError, match="does not say what it is a run of"):
        same(found, IDENTITY, Path("runs"))


def test_parameters_as_json() -> None:
    value = plain({"b": (np.float32(0.5), None), "a": {"x": np.bool_(True)}, "c": len})
    assert value == {"a": {"x": True}, "b": [0.5, None], "c": "<builtin_function_or_method>"}


def test_a_round_in_words() -> None:
    row = {"round": 3, "loss": None, "used": 2, "changed": 0.5, "health": "it is ill", "nmi": 0.25}
    assert in_words(row) == "round 3: 2 clusters, 50.0% moved, NMI 0.250; it is ill."


def test_a_new_folder_is_not_finished(tmp_path: Path) -> None:
    for folder in (None, tmp_path, tmp_path / "new"):
        assert not is_finished(Runtime(folder=folder, resume=True), IDENTITY)


def test_a_cache_is_of_one_run_only(tmp_path: Path) -> None:
    run = Runtime(device="cpu", folder=tmp_path)
    open_cache(run, IDENTITY)
    path = run.cache("features.npy")
    assert path is not None
    path.touch()
    open_cache(run, IDENTITY)
    assert path.exists()
    open_cache(run, {**IDENTITY, "images": "others"})
    assert not path.exists()
    open_cache(Runtime(device="cpu"), IDENTITY)


def test_the_machine_is_described() -> None:
    told = machine(Runtime(device="cpu"))
    assert told["device"] == "cpu"
    assert told["processes"] == 1
    assert all(told["versions"].values())
    assert (peak_mb() or 0) > 10
