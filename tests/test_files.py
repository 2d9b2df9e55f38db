"""Files are whole, and values come back bit for bit."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.fulldisk import fill_disk
from torch import nn

from kinfold.errors import InputError, KinfoldError, NoRoomError
from kinfold.files import (
    last_checkpoint,
    pack,
    read_checkpoint,
    read_json,
    read_tensors,
    safe_join,
    unpack,
    write_bytes,
    write_checkpoint,
    write_tensors,
    write_text,
)

NUMBERS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(
    NUMBERS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@dataclasses.dataclass(frozen=True)
class Tree:
    """Arrays, as a merge tree has them."""

    start: np.ndarray[Any, Any]
    affinity: np.ndarray[Any, Any]


@dataclasses.dataclass
class Everything:
    """One field of each kind."""

    net: nn.Module
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    tree: Tree | None = None
    numbers: list[float] = dataclasses.field(default_factory=list)
    arrays: dict[str, Any] = dataclasses.field(default_factory=dict)


def made(seed: int) -> Everything:
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    return Everything(net, optimizer, torch.Generator().manual_seed(seed))


def worked(state: Everything, steps: int) -> None:
    for _ in range(steps):
        x = torch.randn(4, 1, 5, 5, generator=state.generator)
        state.optimizer.zero_grad()
        state.net(x).square().mean().backward()
        state.optimizer.step()


@given(VALUES)
def test_plain_values_come_back(value: Any) -> None:
    arrays: dict[str, torch.Tensor] = {}
    form = json.loads(json.dumps(pack(value, arrays)))
    back = unpack(form, arrays)
    np.testing.assert_equal(back, value)
    assert repr(back) == repr(value)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int32", "int64", "uint16", "float32", "float64", ">f4"])
def test_arrays_come_back(dtype: str) -> None:
    array = np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype))
    arrays: dict[str, torch.Tensor] = {}
    back = unpack(pack({"a": array, "empty": array[:0], "scalar": array[0, 1]}, arrays), arrays)
    np.testing.assert_array_equal(back["a"], array)
    assert back["a"].dtype == np.dtype(dtype).newbyteorder("=")
    assert back["empty"].shape == (0, 3)
    assert back["scalar"].dtype == np.dtype(dtype).newbyteorder("=")


def test_a_resumed_state_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    straight, stopped, resumed = made(0), made(0), made(1)
    worked(straight, 6)
    worked(stopped, 3)
    stopped.tree = Tree(np.arange(3), np.array([0.5, math.nan]))
    stopped.numbers, stopped.arrays = [1, 0.1, -math.inf], {"x": torch.arange(3), "y": np.eye(2)}
    write_checkpoint(tmp_path, 3, stopped, {"what": "this"})
    told: list[Any] = []
    path = last_checkpoint(tmp_path)
    assert path is not None
    back = read_checkpoint(path, resumed, told.append)
    assert back is resumed
    assert told == [{"what": "this"}]
    worked(resumed, 3)
    for name, weight in straight.net.state_dict().items():
        torch.testing.assert_close(resumed.net.state_dict()[name], weight, rtol=0, atol=0)
    assert resumed.tree is not None
    np.testing.assert_array_equal(resumed.tree.affinity, [0.5, math.nan])
    assert resumed.numbers == [1, 0.1, -math.inf]
    np.testing.assert_array_equal(resumed.arrays["y"], np.eye(2))
    moments = resumed.optimizer.state[resumed.net[0].weight]
    assert moments["exp_avg"].stride() == resumed.net[0].weight.stride()


def test_only_the_last_checkpoint_stays(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_checkpoint(tmp_path, number, {"number": number}, {})
    (tmp_path / "step-00000009.tmp").mkdir()
    assert [path.name for path in tmp_path.glob("step-*[0-9]")] == ["step-00000003"]
    path = last_checkpoint(tmp_path)
    assert path is not None
    assert read_checkpoint(path, None, lambda about: None) == {"number": 3}
    assert last_checkpoint(tmp_path / "none") is None
    for name in ("state.safetensors", "state.json"):  # being deleted when its process was killed
        half = tmp_path / "half" / f"step-{len(name):08d}"
        half.mkdir(parents=True)
        (half / name).touch()
    assert last_checkpoint(tmp_path / "half") is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("at", ["write", "flush", "rename"])
def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, number: int
) -> None:
    write_text(tmp_path / "a.csv", "old")

    def full(*_: object) -> None:
        raise OSError(number, "No space left on device")

    with monkeypatch.context() as patched:
        files = fill_disk(patched, 0 if at == "write" else 100)
        patched.setattr(os, "fsync", full if at == "flush" else os.fsync)
        patched.setattr(Path, "replace", full if at == "rename" else Path.replace)
        with pytest.raises(
            NoRoomError, match=r"a\.csv could not be written: the disk is full\. Finished work is kept: make"
        ):
            write_text(tmp_path / "a.csv", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "old"
    assert [file.closed for file in files] == [True]


def test_another_failure_is_told_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_text(tmp_path / "nowhere" / "a.csv", "new")


def test_trouble_is_told_of_the_name_that_was_given(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as told:
        write_text(tmp_path / "nodir" / "a.csv", "x")
    assert told.value.filename == str(tmp_path / "nodir" / "a.csv")


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path, 1, {"number": 1}, {})
    for left in (0, 60):  # full before the first file of the pair, and before the second
        with monkeypatch.context() as patched:
            fill_disk(patched, left)
            with pytest.raises(NoRoomError, match="step-00000002 could not be written: the disk is full"):
                write_checkpoint(tmp_path, 2, {"number": 2, "text": "x" * 100}, {})
        assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    path = last_checkpoint(tmp_path)
    assert path is not None
    assert read_checkpoint(path, None, lambda about: None) == {"number": 1}


def test_what_a_checkpoint_cannot_hold_is_named() -> None:
    with pytest.raises(KinfoldError, match=r"state\.what\[1\] is a object, which a checkpoint cannot hold"):
        pack({"what": [1, object()]}, {})
    with pytest.raises(KinfoldError, match=r"state\.what is an array of <U1"):
        pack({"what": np.array(["a"])}, {})
    state = made(0)
    form = pack({"net": state.net}, {})
    with pytest.raises(KinfoldError, match="that _start did not make"):
        unpack(json.loads(json.dumps(form)), {key: torch.zeros(1) for key in _keys(form)})


def _keys(form: Any) -> list[str]:
    if isinstance(form, dict):
        return [form["tensor"]] if "tensor" in form else [key for part in form.values() for key in _keys(part)]
    return [key for part in form for key in _keys(part)] if isinstance(form, list) else []


def test_a_file_never_chooses_a_class() -> None:
    form = {"dataclass": "Popen", "fields": {"args": "ls"}}
    with pytest.raises(InputError, match="holds a Popen; expected no dataclass there"):
        unpack(form, {})
    with pytest.raises(InputError, match="holds a Popen; expected Tree there"):
        unpack(form, {}, hint=Tree | None)
    with pytest.raises(InputError, match=r"Tree has fields \['args'\]; expected"):
        unpack({"dataclass": "Tree", "fields": {"args": 1}}, {}, hint=Tree)


@pytest.mark.parametrize("form", [{"stateful": 3}, {"tensor": "nothing"}, {"dict": [[1]]}, {"unknown": 1}, {}])
def test_a_hostile_checkpoint_gives_one_sentence(tmp_path: Path, form: Any) -> None:
    write_checkpoint(tmp_path, 1, {}, {})
    path = tmp_path / "step-00000001"
    (path / "state.json").write_text(json.dumps({"about": {}, "form": form}))
    with pytest.raises(InputError, match=r"damaged|unknown form"):
        read_checkpoint(path, made(0).net, lambda about: None)


@pytest.mark.parametrize(
    "hostile", ["", ".", "..", "../a", "a/../../b", "/etc/passwd", "C:\\x", "C:x", "a\0b", "..\\a", "\\\\host\\a"]
)
def test_paths_that_lead_out_are_refused(tmp_path: Path, hostile: str) -> None:
    with pytest.raises(InputError, match="outside its folder"):
        safe_join(tmp_path, hostile)


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="outside its folder"):
        safe_join(tmp_path / "in", "link/a")
    assert safe_join(tmp_path / "in", "a/b") == tmp_path / "in" / "a" / "b"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full(handle: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_text(path, "new")
    assert path.read_text() == "old"


def test_names_that_are_not_text_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    write_text(tmp_path / "a.csv", name)
    assert (tmp_path / "a.csv").read_bytes() == b"caf\xe9.png"


def test_tensors_that_share_memory_or_are_transposed_are_written(tmp_path: Path) -> None:
    x = torch.arange(6.0).view(2, 3)
    write_tensors(tmp_path / "a.safetensors", {"x": x, "row": x[1], "turned": x.T})
    back = read_tensors(tmp_path, "a.safetensors")
    torch.testing.assert_close(back["turned"], x.T)
    torch.testing.assert_close(back["row"], x[1])


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"a"', b"\xff\xfe", b"[" * 100_000])
def test_bad_json_gives_one_sentence(tmp_path: Path, content: bytes) -> None:
    write_bytes(tmp_path / "a.json", content)
    with pytest.raises(InputError, match="JSON"):
        read_json(tmp_path, "a.json")


@pytest.mark.parametrize("content", [b"", b"x" * 100, b"\xff" * 8 + b"{}", (2**40).to_bytes(8, "little") + b"{}"])
def test_bad_tensors_give_one_sentence(tmp_path: Path, content: bytes) -> None:
    write_bytes(tmp_path / "a.safetensors", content)
    with pytest.raises(InputError, match="not a valid safetensors file"):
        read_tensors(tmp_path, "a.safetensors")


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="not a plain file"):
        read_json(tmp_path, "a.json")
    with pytest.raises(InputError, match=r"has no b\.json"):
        read_json(tmp_path, "b.json")
