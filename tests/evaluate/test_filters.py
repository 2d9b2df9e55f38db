"""Layers and filters: what hooks see, what gradient ascent climbs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from kinfold.data import as_images
from kinfold.errors import InputError
from kinfold.evaluate.filters import ascend, blurred, grid, shown, top_images
from kinfold.evaluate.layers import layer_features, layers_of, outputs
from kinfold.nn.pretrained import Frozen
from kinfold.runtime import Runtime
from kinfold.train import embed


@pytest.fixture
def net() -> nn.Sequential:
    with Runtime().dice(torch.Generator().manual_seed(0)):
        convolutions = [
            nn.Conv2d(1, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3),
        ]
        return nn.Sequential(*convolutions, nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8 * 4 * 4, 5))


IMAGES = as_images(np.random.default_rng(0).integers(0, 256, (20, 14, 14), dtype=np.uint8))


def test_features_of_layers_by_hand(net: nn.Sequential) -> None:
    found = layer_features(net, IMAGES, Runtime(), longest=24, batch_size=7)
    assert {name: x.shape for name, x in found.items()} == {"2": (20, 24), "5": (20, 8), "output": (20, 5)}
    np.testing.assert_array_equal(found["output"], embed(net, IMAGES, Runtime()).numpy())
    net.eval()
    with torch.no_grad():
        maps = net[:3](IMAGES.tensor().float() / 255)
    expected = functional.adaptive_avg_pool2d(maps, 2).flatten(1)  # 6 maps of 2 x 2 are 24 numbers
    np.testing.assert_allclose(found["2"], expected.numpy(), rtol=1e-4, atol=1e-5)
    assert not net.training


def test_hooks_are_gone_afterwards(net: nn.Sequential) -> None:
    with pytest.raises(ZeroDivisionError), outputs({"a": net[2]}):
        raise ZeroDivisionError
    assert not net[2]._forward_hooks


def test_many_layers_are_thinned_out() -> None:
    deep = nn.Sequential(*(nn.ReLU() for _ in range(20)))
    assert list(layers_of(deep, shape=(1, 4, 4))) == ["0", "4", "8", "11", "15", "19"]
    assert layers_of(nn.Sequential(nn.Flatten(), nn.ReLU()), maps_only=True, shape=(1, 4, 4)) == {}


def test_ascent_reaches_images_on_which_the_filter_leads(net: nn.Sequential) -> None:
    filters = [0, 3, 5]
    x = ascend(net, net[2], filters, (1, 14, 14), torch.Generator().manual_seed(0), n_steps=60)
    assert x.shape == (3, 1, 14, 14)
    again = ascend(net, net[2], filters, (1, 14, 14), torch.Generator().manual_seed(0), n_steps=60)
    torch.testing.assert_close(x, again, rtol=0, atol=0)
    begin = ascend(net, net[2], filters, (1, 14, 14), torch.Generator().manual_seed(0), n_steps=0)

    def objective(images: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            means = net[:3](images).mean((2, 3))
        return means.log_softmax(1)[torch.arange(3), torch.tensor(filters)]

    assert bool((objective(x) > objective(begin) + 0.01).all())
    seen = shown(x) / 255
    np.testing.assert_allclose(seen.mean((1, 2, 3)), 0.5, atol=0.03)
    np.testing.assert_allclose(seen.std((1, 2, 3)), 0.2, atol=0.03)


def test_top_images_by_hand() -> None:
    layer = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU())
    layer[0].weight.data = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    images = as_images(np.arange(-6, 6, dtype=np.float32)[:, None, None].repeat(4, 1).repeat(4, 2) / 6)
    best = top_images(layer, layer[1], [0, 1], images, Runtime())
    assert best.shape == (2, 9)
    assert best[0, :3].tolist() == [11, 10, 9]
    assert best[1, :3].tolist() == [0, 1, 2]


def test_a_frozen_network_cannot_be_climbed() -> None:
    frozen = Frozen(nn.Conv2d(3, 2, 1), "stub", size=4, mean=(0, 0, 0), std=(1, 1, 1), labelled="untrained")
    with pytest.raises(InputError, match="no gradient reaches the images through this network"):
        ascend(frozen, frozen.net, [0], (3, 4, 4), torch.Generator(), n_steps=1)


def test_a_blur_keeps_the_mean_and_flattens() -> None:
    x = torch.zeros(1, 2, 9, 9)
    x[:, :, 4, 4] = 1
    smooth = blurred(x, 0.8)
    torch.testing.assert_close(smooth.sum((2, 3)), x.sum((2, 3)))
    assert float(smooth.max()) < 0.5


def test_a_grid_places_its_tiles() -> None:
    picture = grid([[Image.new("L", (2, 4), 0)], [Image.new("L", (8, 8), 0)] * 2], 8, gap=1)
    pixels = np.asarray(picture)
    assert pixels.shape == (19, 19, 3)
    assert (pixels[1:9, 1:5] == 0).all()
    assert (pixels[1:9, 5:] == 255).all()
    assert (pixels[10:18, 10:18] == 0).all()
