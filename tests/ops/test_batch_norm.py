"""What batch norm remembers of probes and of measured batches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kinfold.ops.batch_norm import measuring, probing
from kinfold.runtime import GlobalBatchNorm


def small(norm: type[nn.Module]) -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 6), norm(6), nn.ReLU()).double()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, GlobalBatchNorm])
def test_probing_uses_the_batch_and_remembers_nothing(norm: type[nn.Module]) -> None:
    net, x = small(norm), torch.randn(4, 5, generator=generator(), dtype=torch.float64)
    clean = net(x)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with probing(net):
        again = net(x)
        net(x + 100)
    torch.testing.assert_close(again, clean, rtol=0, atol=0)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    net(x)
    assert int(net[1].num_batches_tracked) == int(before["1.num_batches_tracked"]) + 1


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, GlobalBatchNorm])
def test_measuring_takes_the_mean_over_batches_and_forgets_what_was_before(norm: type[nn.Module]) -> None:
    net = small(norm)
    batches = [torch.randn(8, 5, generator=generator(seed), dtype=torch.float64) for seed in range(3)]
    net(100 + batches[0])
    with measuring(net), torch.no_grad():
        for batch in batches:
            net(batch)
    heard = torch.stack([net[0](batch) for batch in batches])
    torch.testing.assert_close(net[1].running_mean, heard.mean((0, 1)))
    torch.testing.assert_close(net[1].running_var, heard.var(1).mean(0))
    assert net[1].momentum == 0.1
    assert net.training


@pytest.mark.parametrize("context", [measuring, probing])
def test_an_error_leaves_batch_norm_as_it_was(context: object) -> None:
    net = small(nn.BatchNorm1d)
    with pytest.raises(RuntimeError), context(net):  # type: ignore[operator]
        net(torch.zeros(2, 3, dtype=torch.float64))
    assert net[1].momentum == 0.1
    assert net[1].track_running_stats


def test_a_frozen_layer_is_not_measured() -> None:
    class Still(nn.BatchNorm1d):
        def train(self, mode: bool = True) -> Still:
            return super().train(False)

    still, learns = Still(1), nn.BatchNorm1d(1)
    still.eval()
    still.running_mean = torch.tensor([7.0])
    with measuring(nn.Sequential(still, learns)) as _:
        learns(torch.tensor([[1.0], [3.0]]))
    assert (still.running_mean.item(), learns.running_mean.item()) == (7.0, 2.0)  # type: ignore[union-attr]
