"""Views of batches: exact where they can be worked out, and drawn from the generator alone."""

from __future__ import annotations

import pytest
import torch

from kinfold.data import views
from kinfold.data.views import affine, flip, iic_colour_transformed, jitter, moved, strength_within, swayed


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_no_strength_changes_nothing() -> None:
    x = torch.rand(3, 2, 7, 9)
    torch.testing.assert_close(affine(x, seeded(), degrees=0, shift=0, scale=0), x)


def test_a_shift_moves_by_at_most_its_share() -> None:
    """A ramp along the width turns a move into a change of grey."""
    ramp = torch.arange(20.0).expand(200, 1, 20, 20)
    moves = affine(ramp, seeded(), degrees=0, shift=0.1, scale=0)[:, 0, 10, 10] - 10
    assert 1.5 < float(moves.abs().max()) <= 2.0 + 1e-4
    assert abs(float(moves.mean())) < 0.3


def test_a_turned_rectangle_keeps_its_distances() -> None:
    """A bar through the centre of a wide image keeps its length when turned by a quarter circle at the most."""
    x = torch.zeros(100, 1, 21, 41)
    x[:, :, 10, 15:26] = 1.0
    mass = affine(x, seeded(), degrees=90, shift=0, scale=0).sum((1, 2, 3))
    torch.testing.assert_close(mass.mean(), torch.tensor(11.0), atol=0.5, rtol=0)


def test_the_generator_decides() -> None:
    x = torch.rand(4, 1, 8, 8)
    options = {"degrees": 10.0, "shift": 0.1, "scale": 0.1}
    torch.testing.assert_close(affine(x, seeded(1), **options), affine(x, seeded(1), **options))
    assert not torch.equal(affine(x, seeded(1), **options), affine(x, seeded(2), **options))


def test_flip_mirrors_about_half() -> None:
    x = torch.arange(4.0).expand(400, 1, 1, 4)
    mirrored = (flip(x, seeded())[:, 0, 0, 0] == 3).float().mean()
    assert 0.4 < float(mirrored) < 0.6


def test_noise_has_its_spread() -> None:
    torch.testing.assert_close(
        jitter(torch.zeros(2000, 3), seeded(), spread=0.5).std(), torch.tensor(0.5), atol=0.02, rtol=0
    )


def test_views_keep_the_shape_and_vectors_get_noise() -> None:
    assert moved(torch.rand(3, 2, 9, 7), seeded(), strength=1.0).shape == (3, 2, 9, 7)
    x = torch.randn(50, 3, generator=seeded())
    assert 0 < float((moved(x, seeded(), strength=1.0) - x).std()) < 1
    torch.testing.assert_close(moved(x[:1], seeded(), strength=1.0), x[:1])


def test_strength_follows_the_neighbours() -> None:
    """Images with near twins get gentler views than images with far neighbours."""
    faces = torch.rand(40, 1, 12, 12, generator=seeded())
    twins = torch.stack([faces, faces + 0.01], 1).flatten(0, 1)
    near, far = (strength_within(x, seeded(), reach=1.8) for x in (twins, faces))
    assert 0 < near < 0.1 < far <= 1


def test_a_large_batch_is_made_in_pieces() -> None:
    """Each image is drawn for itself whatever the pieces are; here every piece holds two."""
    x = torch.rand(5, 3, 24, 24, generator=seeded())
    found = iic_colour_transformed(x, seeded(1), crop=16, size=24)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "PIECE", 2 * 3 * 24 * 24)
        pieces = iic_colour_transformed(x, seeded(1), crop=16, size=24)
    assert found.shape == pieces.shape
    generator = seeded(1)
    expected = [iic_colour_transformed(part, generator, crop=16, size=24) for part in x.split(2)]
    torch.testing.assert_close(pieces, torch.cat(expected))


def test_swayed_images_keep_shape_and_range() -> None:
    for shape in ((6, 1, 28, 28), (6, 3, 20, 31)):
        y = swayed(torch.rand(shape, generator=seeded()), seeded(1), strength=1.0)
        assert y.shape == shape and float(y.min()) >= 0 and float(y.max()) <= 1
    assert swayed(torch.randn(9, 4, generator=seeded()), seeded()).shape == (9, 4)
