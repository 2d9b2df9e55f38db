from __future__ import annotations

import builtins
import functools
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinfold.data import as_images
from kinfold.data.archives import data_root
from kinfold.errors import InputError

DATA = Path(os.environ.get("KINFOLD_DATA", "nowhere"))


def test_npz_with_labels(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 6, 4, 3), dtype=np.uint8)
    np.savez_compressed(tmp_path / "a.npz", images=images, labels=np.arange(5, dtype=np.int32), more=np.zeros(3))
    found = as_images(tmp_path / "a.npz")
    np.testing.assert_array_equal(found.pixels, images.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(found.labels, np.arange(5), strict=True)
    np.testing.assert_array_equal(as_images(tmp_path / "a.npz", labels=[9] * 5).labels, [9] * 5)


@pytest.mark.parametrize("arrays", [{"features": 1}, {"X": 1}, {"data": 1}, {"arr_0": 1}, {"z": 1, "labels": 2}])
def test_npz_of_features(tmp_path: Path, arrays: dict[str, int]) -> None:
    table = np.random.default_rng(0).normal(size=(4, 3))
    np.savez(tmp_path / "a.npz", **{key: table if kind == 1 else np.arange(4) for key, kind in arrays.items()})
    found = as_images(tmp_path / "a.npz")
    assert found.is_vectors
    np.testing.assert_array_equal(found.pixels, table.astype(np.float32))


def test_damaged_archives_are_one_sentence(tmp_path: Path) -> None:
    images = np.zeros((5, 6, 4), dtype=np.uint8)
    np.savez_compressed(tmp_path / "good.npz", images=np.random.default_rng(0).random((5, 60, 40)))
    content = (tmp_path / "good.npz").read_bytes()
    cases = {
        "cut.npz": content[: len(content) // 2],
        "empty.npz": b"",
        "text.npz": b"no archive",
        "flipped.npz": content[:2000] + bytes(500) + content[2500:],
        "empty.npy": b"",
        "text.npy": b"no array",
    }
    for name, damaged in cases.items():
        (tmp_path / name).write_bytes(damaged)
    np.savez(tmp_path / "keys.npz", pictures=images, thumbs=images)
    np.savez(tmp_path / "none.npz")
    np.savez(tmp_path / "objects.npz", images=np.array([images, None], dtype=object))
    np.save(tmp_path / "objects.npy", np.array([images, None], dtype=object))
    np.savez(tmp_path / "labels.npz", images=images, labels=np.zeros(4))
    np.savez(tmp_path / "shape.npz", images=np.zeros((2, 2, 2, 2, 2)))
    np.save(tmp_path / "cut.npy", images)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-20])
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("images.npy", b"not an array")
    expected = {
        "keys.npz": "keys.npz holds pictures, thumbs; expected an array called images",
        "none.npz": "none.npz holds nothing; expected",
        "objects.npz": "holds Python objects, which Kinfold never loads",
        "objects.npy": "holds Python objects, which Kinfold never loads",
        "labels.npz": r"labels in labels.npz has shape \(4,\); expected \(5,\)",
        "shape.npz": "images in shape.npz has shape",
        "zip.npz": "could not be read",
        "cut.npy": "could not be read",
    }
    for name in [*cases, *expected]:
        with pytest.raises(InputError, match=expected.get(name, "could not be read|never loads")) as caught:
            as_images(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert name in str(caught.value)


def encoded(images: list[np.ndarray], **options: object) -> tuple[np.ndarray, np.ndarray]:
    parts = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", **options)
        parts.append(buffer.getvalue())
    offsets = np.cumsum([0, *map(len, parts)])
    return np.frombuffer(b"".join(parts), dtype=np.uint8), offsets


def test_encoded_images_in_an_archive(tmp_path: Path) -> None:
    originals = [np.full((16, 16, 3), (6 * i, 5 * i, 4 * i + 50), dtype=np.uint8) for i in range(40)]
    jpeg, offsets = encoded(originals, quality=95)
    np.savez(tmp_path / "a.npz", jpeg=jpeg, offsets=offsets, labels=np.arange(40))
    images = as_images(tmp_path / "a.npz")
    assert images.pixels.shape == (40, 3, 16, 16)
    assert images.paths is None
    np.testing.assert_allclose(images.pixels.astype(int), np.stack(originals).transpose(0, 3, 1, 2), atol=2)
    jpeg = jpeg.copy()
    jpeg[offsets[3] : offsets[4]] = 0
    np.savez(tmp_path / "b.npz", jpeg=jpeg, offsets=offsets, labels=np.arange(40))
    fewer = as_images(tmp_path / "b.npz")
    assert [(one.path, one.reason) for one in fewer.skipped] == [("3", "not an image")]
    assert fewer.names[2:4] == ["2", "4"]
    np.testing.assert_array_equal(fewer.labels, np.delete(np.arange(40), 3))
    np.savez(tmp_path / "c.npz", jpeg=jpeg, offsets=offsets[::-1])
    with pytest.raises(InputError, match="jpeg and offsets do not fit"):
        as_images(tmp_path / "c.npz")


@pytest.mark.skipif(not (DATA / "cifar10_jpeg.npz").is_file(), reason="KINFOLD_DATA has no cifar10_jpeg.npz")
def test_the_copy_of_cifar(tmp_path: Path) -> None:
    with np.load(DATA / "cifar10_jpeg.npz") as archive:
        offsets, labels = archive["offsets"][:301], archive["labels"][:300]
        jpeg = archive["jpeg"][: offsets[-1]]
    np.savez(tmp_path / "a.npz", jpeg=jpeg, offsets=offsets, labels=labels)
    images = as_images(tmp_path / "a.npz")
    assert images.pixels.shape == (300, 3, 32, 32)
    for i in (0, 150, 299):
        picture = Image.open(io.BytesIO(jpeg[offsets[i] : offsets[i + 1]].tobytes())).convert("RGB")
        np.testing.assert_array_equal(images.pixels[i], np.asarray(picture).transpose(2, 0, 1))


@pytest.mark.skipif(not (DATA / "umist.npz").is_file(), reason="KINFOLD_DATA has no umist.npz")
def test_real_faces() -> None:
    images = as_images(DATA / "umist.npz")
    assert images.pixels.shape == (575, 1, 112, 92)
    assert int((images.duplicate_of >= 0).sum()) == 10


def test_hdf5_of_the_original_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py", reason="HDF5 is an extra")
    data = np.random.default_rng(0).random((6, 1, 8, 8))
    with h5py.File(tmp_path / "data4torch.h5", "w") as file:
        file["data"], file["labels"] = data, np.arange(6.0).reshape(6, 1)
    images = as_images(tmp_path / "data4torch.h5")
    np.testing.assert_array_equal(images.pixels, data.astype(np.float32))
    np.testing.assert_array_equal(images.labels, np.arange(6), strict=True)
    monkeypatch.setattr("kinfold.data.archives.MEMORY_BUDGET", 100)
    np.testing.assert_array_equal(as_images(tmp_path / "data4torch.h5").pixels, images.pixels)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = data
        file.create_group("data")
    with pytest.raises(InputError, match=r"other.h5 holds data, x; expected data \(n, c, h, w\)"):
        as_images(tmp_path / "other.h5")
    (tmp_path / "broken.h5").write_bytes(b"no")
    with pytest.raises(InputError, match=r"broken.h5 could not be read"):
        as_images(tmp_path / "broken.h5")


def test_without_h5py_a_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.h5").write_bytes(b"no")
    real = builtins.__import__

    def missing(name: str, *rest: object, **more: object) -> object:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(InputError, match=r"a\.h5 needs h5py, which is not installed; pip install 'kinfold\[hdf5\]'"):
        as_images(tmp_path / "a.h5")


def test_torchvision_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets, "FakeData", functools.partial(datasets.FakeData, size=12, image_size=(3, 150, 140)))
    images = as_images("torchvision:FakeData")
    assert images.pixels.shape == (12, 3, 128, 128)
    assert images.source == "torchvision:FakeData"
    assert images.labels is not None
    assert images.note == ["resized 12 images to 128 x 128 (scaled to cover, centre crop)"]


def test_torchvision_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINFOLD_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"downloads nothing by itself: run .*MNIST\(.*download=True"):
        as_images("torchvision:MNIST")
    with pytest.raises(InputError, match=r"train=False, download=True"):
        as_images("torchvision:MNIST:test")
    with pytest.raises(InputError, match=r"split='test', download=True"):
        as_images("torchvision:SVHN:test")
    with pytest.raises(InputError, match="does not have"):
        as_images("torchvision:MNIST:middle")
    with pytest.raises(InputError, match=r"'mnist'; did you mean torchvision:MNIST\?"):
        as_images("torchvision:mnist")
    with pytest.raises(InputError, match="no data set called 'os'; expected one of"):
        as_images("torchvision:os")
    assert list(tmp_path.iterdir()) == []


def test_where_data_sets_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINFOLD_DATA", str(tmp_path))
    assert data_root() == tmp_path
    monkeypatch.delenv("KINFOLD_DATA")
    assert data_root() == Path.home() / ".cache" / "kinfold"
