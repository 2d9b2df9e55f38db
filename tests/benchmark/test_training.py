from __future__ import annotations

import numpy as np

from kinfold.benchmark import training


def test_the_plain_network_is_the_papers() -> None:
    assert sum(p.numel() for p in training._paper_network().parameters()) == 576_210


def test_the_plain_loss_by_hand() -> None:
    import torch

    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    # one pair (0, 1) at squared distance 2, one negative at 2 from the anchor: 2 - 2 + 0.2
    torch.testing.assert_close(training._triplets(features, torch.tensor([0, 0, 1])), torch.tensor(0.2))


def test_operations_are_counted_by_hand() -> None:
    # products of the forward pass an image: convolutions, the linear layer; twice as many backward, but the first
    # convolution needs no gradient of the image; and the 100 x 100 products of the loss
    first, second, linear = 24 * 24 * 50 * 25, 8 * 8 * 50 * 1250, 3200 * 160
    loss = 100 * 160
    expected = 2 * (2 * first + 3 * second + 3 * linear + 3 * loss)
    np.testing.assert_allclose(training.plain(100, 0)["flops_per_image"], expected, rtol=0.01)


def test_parts_measure_a_rate() -> None:
    found = training.jule(500, 0)
    assert found["images_per_cpu_second"] > 0 and found["n"] % 1000 == 0  # two epochs of 500 images, each round
    assert training.matmul(0, 0)["flops_per_cpu_second"] > 1e8


def test_conclusions_by_hand() -> None:
    runs = {
        "training": [{"images_per_cpu_second": 2000.0}],
        "plain": [{"images_per_cpu_second": 800.0, "flops_per_image": 3e7}],
        "matmul": [{"flops_per_cpu_second": 1e11}],
    }
    found = training.conclusions(runs)
    assert found["ratio"] == {"against": "a plain float32 PyTorch loop", "value": 2.5}
    np.testing.assert_allclose(found["matmul_share"], 0.6)
