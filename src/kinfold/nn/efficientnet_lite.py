"""EfficientNet-Lite0: a photograph to 1,280 features or 1,000 logits, without squeeze-and-excitation.

Mobile inverted bottlenecks [1]_ in the sizes of EfficientNet-B0 [2]_; the Lite form [3]_ leaves squeeze-and-excitation
out, bounds activations at six instead of using swish, and keeps stem and head at their width.

References
----------
.. [1] Sandler et al., "MobileNetV2: Inverted residuals and linear bottlenecks", CVPR 2018, section 3.
.. [2] Tan and Le, "EfficientNet: Rethinking model scaling for convolutional neural networks", ICML 2019, table 1.
.. [3] Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow blog, March 2020.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["EfficientNetLite0", "rename"]

# Rows of table 1 of the EfficientNet paper: expansion, channels, blocks, stride of the first block, kernel side.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
STEM, HEAD = 32, 1280
EPS = 1e-3  # TensorFlow's; torch's default of 1e-5 lets channels that hardly vary explode


class ConvNorm(nn.Module):
    """Convolution, batch norm and, unless `linear`, the clip to [0, 6]; padded as TensorFlow's "same"."""

    def __init__(
        self, channels: int, out: int, kernel: int, *, stride: int = 1, groups: int = 1, linear: bool = False
    ) -> None:
        super().__init__()
        # At stride 1 "same" is symmetric; at stride 2 the odd pixel lies after the last, which torch cannot express.
        self.conv = nn.Conv2d(
            channels, out, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups, bias=False
        )
        self.norm: nn.Module = nn.BatchNorm2d(out, eps=EPS)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, ``(b, c, h, w) -> (b, out, ceil(h / stride), ceil(w / stride))``."""
        if self.conv.stride[0] > 1:
            kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
            x = functional.pad(x, [*_around(x.shape[3], kernel, stride), *_around(x.shape[2], kernel, stride)])
        x = self.norm(self.conv(x))
        return x if self.linear else functional.relu6(x)

    def fold(self) -> None:
        """Multiply the batch norm into the convolution, for a network that is only ever evaluated."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.conv = fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())
            self.norm = nn.Identity()


class InvertedBottleneck(nn.Module):
    """Widen, filter each channel, narrow; the input is added where shapes allow."""

    def __init__(self, channels: int, out: int, *, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = ConvNorm(channels, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = ConvNorm(wide, wide, kernel, stride=stride, groups=wide)
        self.project = ConvNorm(wide, out, 1, linear=True)
        self.residual = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """Transform, ``(b, c, h, w) -> (b, out, ceil(h / stride), ceil(w / stride))``."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """The network, with random weights until `load_state_dict`; `rename` translates the published ones.

    Examples
    --------
    >>> import torch
    >>> net = EfficientNetLite0().eval()
    >>> net(torch.zeros(1, 3, 64, 64)).shape, net.features(torch.zeros(1, 3, 64, 64)).shape
    (torch.Size([1, 1000]), torch.Size([1, 1280]))
    """

    def __init__(self, n_classes: int = 1000) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM, 3, stride=2)
        blocks, channels = [], STEM
        for expansion, out, repeats, first_stride, kernel in STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                blocks.append(InvertedBottleneck(channels, out, expansion=expansion, kernel=kernel, stride=stride))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(channels, HEAD, 1)
        self.classifier: nn.Module = nn.Linear(HEAD, n_classes)

    def features(self, images: Tensor) -> Tensor:
        """Pool the last activations over positions, ``(b, 3, h, w) -> (b, 1280)`` float32, at least 0 and at most 6."""
        maps: Tensor = self.head(self.blocks(self.stem(images)))
        return maps.float().mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Score the classes of ImageNet, ``(b, 3, h, w) -> (b, n_classes)``."""
        logits: Tensor = self.classifier(self.features(images))
        return logits

    def fold(self) -> None:
        """Multiply every batch norm into its convolution, for a network that is only ever evaluated."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fold()


def _around(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and after such that ceil(length / stride) windows fit, the odd pixel after."""
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def rename(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give published weights the names of `EfficientNetLite0`.

    Published names number the batch norms in the order of use, so the first is the stem's or the widening one's, and
    the numbers of a block that does not widen begin at one.

    Examples
    --------
    >>> import torch
    >>> list(rename({"_conv_stem.weight": torch.zeros(1), "_blocks.3._bn2.bias": torch.zeros(1)}))
    ['stem.conv.weight', 'blocks.3.project.norm.bias']
    """
    whole = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "head.conv", "_bn1": "head.norm"}
    whole["_fc"] = "classifier"
    block = {"_expand_conv": "expand.conv", "_depthwise_conv": "depthwise.conv", "_project_conv": "project.conv"}
    block |= {"_bn0": "expand.norm", "_bn1": "depthwise.norm", "_bn2": "project.norm"}
    renamed = {}
    for name, weight in published.items():
        found = re.fullmatch(r"(?:_blocks\.(\d+)\.)?(_\w+)\.(\w+)", name)
        parts = block if found and found[1] else whole
        if found is None or found[2] not in parts:
            raise ValueError(
                f"{name!r} is not a weight of EfficientNet-Lite0; expected names such as '_blocks.3._bn2.bias'."
            )
        renamed[f"{f'blocks.{found[1]}.' if found[1] else ''}{parts[found[2]]}.{found[3]}"] = weight
    return renamed
