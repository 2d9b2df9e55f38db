from __future__ import annotations

import pytest
import torch

from kinfold.errors import InputError
from kinfold.nn.caron import Sobel, alexnet, caron, vgg16


def test_sobel_by_hand() -> None:
    x = torch.zeros(1, 3, 3, 3)
    x[0, :, 0, 0] = 3.0
    # At the middle, the corner has weight 1 in both kernels; at the top left, nothing above or to the left.
    found = Sobel()(x)
    torch.testing.assert_close(found[0, :, 1, 1], torch.tensor([3.0, 3.0]))
    torch.testing.assert_close(found[0, :, 0, 1], torch.tensor([6.0, 0.0]))
    assert not list(Sobel().parameters())


def test_a_colour_does_not_matter_where_the_grey_is_the_same() -> None:
    x = torch.rand(2, 3, 6, 6)
    torch.testing.assert_close(Sobel()(x[:, [2, 0, 1]]), Sobel()(x))


@pytest.mark.parametrize(("make", "weights"), [(alexnet, 58_278_944), (vgg16, 134_259_968 - 640)])
def test_the_papers_networks_have_their_shapes(make: object, weights: int) -> None:
    with torch.device("meta"):
        net = make(2)  # type: ignore[operator]
        assert net(torch.empty(1, 2, 224, 224)).shape == (1, 4096)
    count = sum(w.numel() for w in net.parameters())
    convolutions = sum(m.weight.shape[0] for m in net if isinstance(m, torch.nn.Conv2d))
    assert abs(count + convolutions - weights) < 0.02 * weights


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 16, 16), (3, 96, 64), (20,)])
def test_any_input_gives_features(shape: tuple[int, ...]) -> None:
    for n_projected in (None, 128):
        net = caron("auto" if len(shape) == 1 else "small", shape, sobel=len(shape) == 3, width=4, n_features=32,
                    n_projected=n_projected).eval()  # fmt: skip
        z = net(torch.rand(3, *shape))
        assert z.shape == (3, n_projected or 32)
        if n_projected:
            torch.testing.assert_close(z.norm(dim=1), torch.ones(3))


def test_vectors_need_no_convolutions() -> None:
    with pytest.raises(InputError, match="use 'perceptron'"):
        caron("alexnet", (7,), sobel=False, width=4, n_features=8, n_projected=None)
