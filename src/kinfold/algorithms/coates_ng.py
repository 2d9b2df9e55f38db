"""Coates-Ng: features of images from k-means on their patches, without a network that is trained.

Coates, Lee, Ng, AISTATS 2011 ("An analysis of single-layer networks"); Coates, Ng, ICML 2011 ("The importance of
encoding versus training"). Random patches are contrast-normalised and whitened, clustered, and every patch of an image
is described by its closeness to all centres; the descriptions are added up over quarters of the image.

It learns features and no clusters, so it is a transformer that stands before a clusterer or a linear probe. Patches,
normalisation, whitening, dictionaries, encoders and pooling are the papers'. What differs is

- one convolution in place of patches: mean and whitening are folded into the dictionary, brightness and contrast of
  every patch come from box filters, and the result is the same but for rounding;
- an atom that no patch chooses takes half the patches of another, where the authors' stays dead for good;
- Euclidean k-means starts from patches, not from a narrow Gaussian around the mean;
- rows of a table are taken as one patch each, their columns standardised, because they have no brightness.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from torch.nn import functional

from kinfold.data.images import Images, as_images
from kinfold.data.sample import seed_from
from kinfold.errors import InputError
from kinfold.inputs import is_table, refuse_unknown, refuse_what_has_no_clusters
from kinfold.nn.backbones import Standardize
from kinfold.ops.kmeans import kmeans
from kinfold.ops.whitening import whitening
from kinfold.parameters import refuse_parameters
from kinfold.runtime import Runtime
from kinfold.train import embed, pixels

if TYPE_CHECKING:
    from typing_extensions import Self

GREY = 255.0  # levels that the papers' constants are in; ours are shares of it
ENCODINGS = {"kmeans": "triangle", "gain-shape": "soft", "random": "soft"}
BLOCK = 2**20  # numbers computed at a time: they stay in a processor's cache


class _Transformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """scikit-learn's part, which has no types."""


class CoatesNg(_Transformer):
    """Describe images by the patches they are made of.

    Parameters
    ----------
    n_atoms : int
        The papers' K, the size of the dictionary.
    dictionary : {"kmeans", "gain-shape", "random"}
        Euclidean k-means (2011a); gain-shape k-means, also called OMP-1 (2011b); or whitened patches as they come.
    encoding : {"triangle", "soft", "hard"}, optional
        See `triangle` and `soft_threshold`; "hard" counts the patches nearest to each atom. None takes the
        triangle after "kmeans" and the soft threshold after the others.
    patch_size, stride : int
        In pixels.
    pool : int
        Responses are added up over pool x pool parts of the image.
    mirror : bool
        Describe an image by the mean of its own code and that of its mirror image, so that left and right do not count;
        not in the papers. Encoding takes twice as long.
    n_patches : int
        Random patches that the dictionary is learnt from.
    n_iter : int
        Rounds of k-means, at most; see `kinfold.ops.kmeans`.
    threshold : float
        Of the soft threshold, the paper's alpha.
    contrast : float
        Added to the variance of a patch, in squared grey levels of 0 to 255; float images are taken to lie in 0 to 1.
    whitening : float
        Added to the eigenvalues of the patches' covariance.
    image_size : int or (h, w), optional
        Resize images to this.
    random_state : int, RandomState or None
        Seed.

    Attributes
    ----------
    atoms_ : (n_atoms, c * patch_size ** 2) float32
        The dictionary, in the whitened space.
    encoder_ : PatchEncoder
        Images to features.
    images_shape_ : tuple
        ``(c, h, w)`` or ``(d,)`` of the fitted images.
    n_features_in_ : int
        Number of columns, when fitted on a 2-D array.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> x = load_digits().images[:100].astype("float32") / 16
    >>> CoatesNg(20, patch_size=4, n_patches=2000, random_state=0).fit_transform(x).shape
    (100, 80)
    """

    def __init__(
        self,
        n_atoms: int = 400,
        *,
        dictionary: str = "kmeans",
        encoding: str | None = None,
        patch_size: int = 6,
        stride: int = 1,
        pool: int = 2,
        mirror: bool = False,
        n_patches: int = 400_000,
        n_iter: int = 50,
        threshold: float = 0.25,
        contrast: float = 10.0,
        whitening: float = 0.1,
        image_size: int | tuple[int, int] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_atoms = n_atoms
        self.dictionary = dictionary
        self.encoding = encoding
        self.patch_size = patch_size
        self.stride = stride
        self.pool = pool
        self.mirror = mirror
        self.n_patches = n_patches
        self.n_iter = n_iter
        self.threshold = threshold
        self.contrast = contrast
        self.whitening = whitening
        self.image_size = image_size
        self.random_state = random_state

    def fit(self, X: Any, y: ArrayLike | None = None, *, runtime: Runtime | None = None) -> Self:
        """Learn the dictionary from random patches of images; `y` is not looked at.

        Parameters
        ----------
        X
            Whatever :func:`kinfold.as_images` reads: a folder, paths, an array, a tensor, a Dataset, a feature matrix.
        runtime
            Device and progress; several processes learn the same dictionary.

        Raises
        ------
        InputError
            If the images have no patches of this size, too few of them, or nothing to tell apart.
        """
        run = runtime or Runtime()
        refuse_parameters(self)
        images = self._images(X, run, fitting=True)
        refuse_what_has_no_clusters(images, None)
        self._check_choices(images.shape)
        random = check_random_state(self.random_state)
        generator = torch.Generator().manual_seed(run.agree(int(random.randint(2**31 - 1))))
        self.images_shape_ = images.shape
        patches, front = self._patches(images, generator, run)
        if len(patches) < self.n_atoms:
            raise InputError(f"n_atoms is {self.n_atoms}, but there are only {len(patches)} patches; ask for fewer.")
        run.progress.phase(f"learning {self.n_atoms} atoms from {len(patches)} patches")
        found = whitening(patches.numpy(), None, form="zca", eps=self.whitening, unit_length=False)
        mean, whiten = torch.from_numpy(found.mean), torch.from_numpy(found.matrix)
        atoms = self._atoms((patches - mean) @ whiten, generator)
        self.encoder_ = PatchEncoder(
            atoms, mean, whiten, self._patch_shape(), encoding=self.encoding or ENCODINGS[self.dictionary],
            stride=self.stride, pool=self.pool, mirror=self.mirror, threshold=self.threshold,
            contrast=self._contrast(), front=front,
        ).eval()  # fmt: skip
        run.progress.done()
        self.atoms_ = atoms.numpy()
        return self

    def transform(self, X: Any, *, runtime: Runtime | None = None) -> npt.NDArray[np.float32]:
        """Features of images, ``-> (n, pool * pool * maps)`` float32; a few images are in memory at a time."""
        check_is_fitted(self)
        run = runtime or Runtime()
        images = self._images(X, run, fitting=False)
        size = self.encoder_.batch_size(images.shape)
        return embed(run.to(self.encoder_), images, run, batch_size=size).numpy()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @classmethod
    def _small(cls) -> dict[str, Any]:
        return {"n_atoms": 5, "n_patches": 500, "n_iter": 5}

    @property
    def _n_features_out(self) -> int:
        return self.encoder_.n_features

    # -- what comes in -------------------------------------------------------------------------------------------------

    def _images(self, X: Any, run: Runtime, *, fitting: bool) -> Images:
        """Read the input; a plain 2-D array goes through scikit-learn's own validation."""
        if is_table(X):
            if not fitting and len(self.images_shape_) == 3:
                raise InputError(f"a table came; expected images, as this model was fitted on {self.images_shape_}.")
            table = validate_data(self, X, reset=fitting, dtype=np.float32, ensure_min_samples=1, copy=True)
            return Images(table, source=f"array {table.shape}")
        if fitting:
            return as_images(X, image_size=self.image_size, progress=run.progress)
        return as_images(X, shape=self.images_shape_, progress=run.progress)

    def _patch_shape(self) -> tuple[int, int, int]:
        """``(c, p, p)``; a row of a table is a patch of one pixel."""
        shape = self.images_shape_
        side = 1 if len(shape) == 1 else self.patch_size
        return shape[0], side, side

    def _contrast(self) -> float | None:
        return None if len(self.images_shape_) == 1 else self.contrast / GREY**2

    def _check_choices(self, shape: tuple[int, ...]) -> None:
        """Refuse choices that do not exist, one sentence each."""
        refuse_unknown({
            "dictionary": (self.dictionary, ENCODINGS),
            "encoding": (self.encoding, ("triangle", "soft", "hard", None)),
        })  # fmt: skip
        for name in ("contrast", "whitening"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)!r}; expected a number above 0.")
        if len(shape) == 1 and self.mirror:
            raise InputError("mirror is for images, but a table came; leave it out.")
        if len(shape) == 3 and self.patch_size > min(shape[1:]):
            raise InputError(
                f"patch_size is {self.patch_size}, but the images are {shape[1]} x {shape[2]} pixels; expected at most "
                f"{min(shape[1:])}."
            )

    # -- the dictionary ------------------------------------------------------------------------------------------------

    def _patches(self, images: Images, generator: torch.Generator, run: Runtime) -> tuple[Tensor, nn.Module]:
        """Contrast-normalised patches ``-> (m, c * p * p)``, and what rows of a table pass first."""
        channels, side, _ = self._patch_shape()
        if images.is_vectors:
            front = Standardize((channels,))
            some = torch.randperm(len(images), generator=generator)[: self.n_patches].numpy()
            rows = pixels(images, np.sort(some), run).cpu()
            front.measure(rows)
            standardised: Tensor = front(rows)
            return standardised, front
        patches = sample_patches(images, self.n_patches, side, generator, run)
        return normalise(patches, self.contrast / GREY**2), nn.Identity()

    def _atoms(self, white: Tensor, generator: torch.Generator) -> Tensor:
        """Dictionary of whitened patches ``(m, d) -> (k, d)``."""
        if self.dictionary == "random":
            chosen = white[torch.randperm(len(white), generator=generator)[: self.n_atoms]]
            return functional.normalize(chosen, dim=1)
        seed = seed_from(generator)
        choices: dict[str, Any] = {"n_iterations": self.n_iter, "seed": seed}
        if self.dictionary == "gain-shape":  # the authors found random directions better than patches to start from
            start = torch.randn(self.n_atoms, white.shape[1], generator=generator)
            choices |= {"form": "gain-shape", "start": start.numpy()}
        return torch.from_numpy(kmeans(white.numpy(), self.n_atoms, **choices).centres)


# -- the equations -----------------------------------------------------------------------------------------------------


def sample_patches(images: Images, n: int, side: int, generator: torch.Generator, run: Runtime) -> Tensor:
    """Patches at random places of random images, a block of images at a time ``-> (n, c * side * side)``."""
    c, h, w = images.shape
    places = h - side + 1, w - side + 1
    where = torch.randint(len(images) * places[0] * places[1], (n,), generator=generator).sort().values
    image, rest = where // (places[0] * places[1]), where % (places[0] * places[1])
    row, column = rest // places[1], rest % places[1]
    patches = torch.empty(n, c * side * side)
    block = max(1, BLOCK // (c * h * w))
    for start in range(0, len(images), block):
        first, last = torch.searchsorted(image, torch.tensor([start, start + block])).tolist()
        if first == last:
            continue
        rows = np.arange(start, min(start + block, len(images)))
        windows = pixels(images, rows, run).cpu().unfold(2, side, 1).unfold(3, side, 1)
        part = slice(first, last)
        patches[part] = windows[image[part] - start, :, row[part], column[part]].reshape(last - first, -1)
    return patches


def normalise(patches: Tensor, contrast: float) -> Tensor:
    """Take out brightness and contrast ``(m, d) -> (m, d)``: ``(x - mean) / sqrt(var + contrast)``, var unbiased.

    Examples
    --------
    >>> normalise(torch.tensor([[1.0, 3.0]]), 2.0)
    tensor([[-0.5000,  0.5000]])
    """
    centred = patches - patches.mean(1, keepdim=True)
    variance = centred.square().sum(1, keepdim=True) / max(patches.shape[1] - 1, 1)
    return centred / (variance + contrast).sqrt()


def triangle(distances: Tensor) -> Tensor:
    """Closeness to each atom beyond the average one ``(..., k, h, w) -> (..., k, h, w)``: max(0, mean z - z).

    Examples
    --------
    >>> triangle(torch.tensor([1.0, 2.0, 6.0])[:, None, None]).flatten()
    tensor([2., 1., 0.])
    """
    return functional.relu(distances.mean(-3, keepdim=True) - distances)


def soft_threshold(products: Tensor, threshold: float) -> Tensor:
    """What of each product passes the threshold, either sign in a map of its own ``(..., k, h, w) -> (..., 2k, h, w)``.

    Examples
    --------
    >>> soft_threshold(torch.tensor([1.0, -2.0])[:, None, None], 0.25).flatten()
    tensor([0.7500, 0.0000, 0.0000, 1.7500])
    """
    return torch.cat([functional.relu(products - threshold), functional.relu(-products - threshold)], -3)


def pooled(maps: Tensor, parts: int) -> Tensor:
    """Sums over parts x parts regions, the first ones larger ``(b, m, h, w) -> (b, parts * parts * m)``."""
    h, w = maps.shape[-2:]
    high, wide = math.ceil(h / parts), math.ceil(w / parts)
    regions = [
        maps[..., i * high : (i + 1) * high, j * wide : (j + 1) * wide].sum((-2, -1))
        for i in range(parts)
        for j in range(parts)
    ]
    return torch.cat(regions, 1)


class PatchEncoder(nn.Module):
    """Images to pooled codes of all their patches, as one convolution ``(b, c, h, w) -> (b, pool * pool * maps)``.

    A code needs products of atoms with ``(normalise(x) - mean) @ whiten``. This is ``(V x) / s - V mean`` with
    ``V = (atoms @ whiten.T)`` less the mean of each row, which takes out the brightness, and s the patch's contrast,
    which is a matter of two box filters. Distances need the length of the whitened patch besides: d more maps, V being
    the whitener itself.

    Parameters
    ----------
    atoms : (k, d)
    mean : (d,)
        Of the normalised patches.
    whiten : (d, d)
        ``x @ whiten`` is white.
    patch : (c, p, p)
    encoding : {"triangle", "soft", "hard"}
    stride, pool : int
    mirror : bool
    threshold : float
    contrast : float or None
        In squared units of the input; None leaves brightness and contrast as they are.
    front : Module
        Passed before everything else.
    """

    filters: Tensor
    offset: Tensor
    lengths: Tensor

    def __init__(
        self, atoms: Tensor, mean: Tensor, whiten: Tensor, patch: tuple[int, int, int], *, encoding: str, stride: int,
        pool: int, threshold: float, contrast: float | None, mirror: bool = False, front: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.encoding, self.stride, self.pool, self.mirror = encoding, stride, pool, mirror
        self.threshold, self.contrast, self.n_atoms = threshold, contrast, len(atoms)
        self.front = nn.Identity() if front is None else front
        rows = atoms.double() @ whiten.double().T
        if encoding != "soft":
            rows = torch.cat([rows, whiten.double().T])
        offset = rows @ mean.double()
        if contrast is not None:
            rows = rows - rows.mean(1, keepdim=True)
        self.register_buffer("filters", rows.float().reshape(len(rows), *patch))
        self.register_buffer("offset", offset.float()[:, None, None])
        self.register_buffer("lengths", atoms.square().sum(1)[:, None, None])

    @property
    def n_features(self) -> int:
        """Columns of the output."""
        maps = 2 * self.n_atoms if self.encoding == "soft" else self.n_atoms
        return maps * (self.pool**2 if self.filters.shape[-1] > 1 or self.contrast is not None else 1)

    def batch_size(self, shape: tuple[int, ...]) -> int:
        """How many images of this shape keep the responses in the processor's cache."""
        if len(shape) == 1:
            return max(1, BLOCK // len(self.filters))
        places = [(side - self.filters.shape[-1]) // self.stride + 1 for side in shape[1:]]
        return max(1, BLOCK // (len(self.filters) * math.prod(places)))

    def products(self, x: Tensor) -> Tensor:
        """Whitened patches times the filters ``(b, c, h, w) -> (b, k or k + d, rows, columns)``."""
        if self.contrast is None:
            return functional.conv2d(x, self.filters, stride=self.stride) - self.offset
        x = x - x.mean((1, 2, 3), keepdim=True)  # so that the variance is no difference of large numbers
        side, d = self.filters.shape[-1], self.filters[0].numel()
        box = torch.cat([x.mean(1, keepdim=True), x.square().mean(1, keepdim=True)], 1)
        mean, square = functional.avg_pool2d(box, side, self.stride).chunk(2, 1)
        variance = (square - mean.square()).clamp(min=0) * (d / max(d - 1, 1))
        x = x.contiguous(memory_format=torch.channels_last)
        products = functional.conv2d(x, self.filters, stride=self.stride)
        return products / (variance + self.contrast).sqrt() - self.offset

    def encode(self, products: Tensor) -> Tensor:
        """Codes of all patches ``(b, k or k + d, rows, columns) -> (b, maps, rows, columns)``."""
        if self.encoding == "soft":
            return soft_threshold(products, self.threshold)
        k = self.n_atoms
        length = products[:, k:].square().sum(1, keepdim=True)
        squared = (length + self.lengths - 2 * products[:, :k]).clamp(min=0)
        if self.encoding == "triangle":
            return triangle(squared.sqrt())
        nearest = squared.argmin(1, keepdim=True)
        return torch.zeros_like(squared).scatter_(1, nearest, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.front(x)
        if x.ndim == 2:
            return self.encode(self.products(x[:, :, None, None])).flatten(1)
        code = self.code(x)
        return (code + self.code(x.flip(-1))) / 2 if self.mirror else code

    def code(self, x: Tensor) -> Tensor:
        """Pooled codes of all patches ``(b, c, h, w) -> (b, pool * pool * maps)``."""
        return pooled(self.encode(self.products(x)), self.pool)
