"""The runtime on one process; two are in test_processes.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from kinfold.errors import InputError
from kinfold.runtime import GlobalBatchNorm, Progress, Runtime


def test_one_process_changes_nothing() -> None:
    run, x = Runtime(device="cpu"), torch.arange(6.0).view(3, 2)
    assert (run.world, run.rank, run.is_main, run.agree(7)) == (1, 0, True, 7)
    for same in (run.sum(x), run.mean(x), run.mean(x, rows=3), run.gather(x), run.share(x)):
        torch.testing.assert_close(same, x)
    np.testing.assert_array_equal(run.share([4, 2]), [4, 2])
    run.wait()


def test_half_an_environment_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="start processes with torchrun"):
        _ = Runtime(device="cpu").world


def test_wrapping_lays_convolutions_out_channels_last_and_keeps_the_values() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    wrapped = Runtime(device="cpu").wrap(net, optimizer)
    assert wrapped is net
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, before[name])
    assert optimizer.param_groups[0]["params"][0] is net[0].weight


@pytest.mark.parametrize("momentum", [0.1, None])
def test_global_batch_norm_alone_is_batch_norm(momentum: float | None) -> None:
    x = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    ours, theirs = GlobalBatchNorm(3, momentum=momentum), nn.BatchNorm2d(3, momentum=momentum)
    for _ in range(2):
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value)


def test_dice_are_thrown_inside_and_put_back_outside() -> None:
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with Runtime(device="cpu").dice(torch.Generator().manual_seed(5)):
            draws.append(torch.rand(3))
            torch.rand(100)
    torch.testing.assert_close(draws[0], draws[1], rtol=0, atol=0)
    torch.testing.assert_close(torch.get_rng_state(), before, rtol=0, atol=0)


def test_dice_go_on_from_round_to_round() -> None:
    generator, draws = torch.Generator().manual_seed(5), []
    for _ in range(2):
        with Runtime(device="cpu").dice(generator):
            draws.append(float(torch.rand(1)))
    assert draws[0] != draws[1]


@pytest.mark.parametrize(("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_precision(precision: str, dtype: torch.dtype) -> None:
    with Runtime(device="cpu", precision=precision).autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


def test_automatic_precision_on_a_processor_is_float32() -> None:
    with Runtime(device="cpu").autocast():
        assert nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.float32


def test_unknown_machines_are_explained() -> None:
    with pytest.raises(InputError, match="precision is 'half'; expected"), Runtime(precision="half").autocast():
        pass
    with pytest.raises(InputError, match="device is 'tpu9'; expected"):
        Runtime(device="tpu9").to(torch.ones(1))
    with pytest.raises(InputError, match="device is 'cuda:99', but there is no such GPU here; expected 'cpu' or"):
        Runtime(device="cuda:99").to(torch.ones(1))


def test_cache_is_a_file_in_the_folder(tmp_path: Path) -> None:
    assert Runtime().cache("features.npy") is None
    assert Runtime(folder=tmp_path).cache("features.npy") == tmp_path / "cache" / "features.npy"
    with pytest.raises(InputError, match="outside its folder"):
        Runtime(folder=tmp_path).cache("../features.npy")


def test_without_a_folder_nothing_is_kept() -> None:
    run, like = Runtime(device="cpu"), object()
    run.save(1, {"a": 1}, {})
    run.discard_checkpoint()
    assert run.checkpoint() is None
    assert run.load(like, lambda about: None) is like


def test_progress_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    progress.phase("reading", 3)
    progress.advance()
    progress.say("a sentence.")
    progress.done()
    assert capsys.readouterr() == ("", "")
