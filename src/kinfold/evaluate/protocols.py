"""A run, judged: each protocol turns a fitted model and labelled images into a table and sentences about it."""

from __future__ import annotations

import base64
import copy
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import nn

from kinfold import metrics
from kinfold.data.images import Images, as_images
from kinfold.errors import InputError
from kinfold.estimator import DeepClusterer
from kinfold.evaluate import probes
from kinfold.evaluate.filters import ascend, grid, shown, top_images
from kinfold.evaluate.layers import layer_features, layers_of
from kinfold.files import read_json, write_bytes, write_text
from kinfold.ops.batch_norm import measuring, norms
from kinfold.runtime import Runtime
from kinfold.train import embed

__all__ = ["PROTOCOLS", "Evaluation", "evaluate", "random_network", "stored"]

FOLDER = "evaluation"
MOST_IMAGES = 10_000
N_FILTERS = 12

Features = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

# Columns whose name in the JSON is no word.
SHOWN_AS = metrics.NAMES | {
    "acc": "accuracy",
    "map": "mAP",
    "precision_at_1": "precision at 1",
    "precision_at_10": "precision at 10",
}


@dataclass
class Evaluation:
    """What a protocol found.

    Attributes
    ----------
    protocol, title : str
        Its name, and what it is, in words.
    rows : list of dict
        The table; columns are the keys of the first row, in order.
    words : list of str
        Plain sentences: how the numbers came about, and how to read them.
    settings : dict
        All that was chosen.
    pictures : list of (str, PNG bytes)
        A heading and a picture each.
    """

    protocol: str
    title: str
    rows: list[dict[str, Any]]
    words: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    pictures: list[tuple[str, bytes]] = field(default_factory=list)

    def save(self, run: str | Path) -> Path:
        """Write ``RUN/evaluation/PROTOCOL.json``, and the pictures beside it; returns the JSON's path."""
        folder = Path(run) / FOLDER
        folder.mkdir(exist_ok=True)
        names = []
        for i, (heading, content) in enumerate(self.pictures):
            names.append({"heading": heading, "file": f"{self.protocol}-{i:02d}.png"})
            write_bytes(folder / names[-1]["file"], content)
        path = folder / f"{self.protocol}.json"
        write_text(path, json.dumps({**asdict(self), "pictures": names}, indent=1, ensure_ascii=False) + "\n")
        return path

    def page(self) -> dict[str, Any]:
        """The evaluation as the report shows it: pictures as addresses that hold them."""
        shown = [(heading, "data:image/png;base64," + base64.b64encode(png).decode()) for heading, png in self.pictures]
        columns = list(self.rows[0]) if self.rows else []
        cells = [[_cell(row.get(name)) for name in columns] for row in self.rows]
        heads = [SHOWN_AS.get(name, name) for name in columns]
        return {"title": self.title, "columns": heads, "rows": cells, "words": self.words, "pictures": shown}


@dataclass(frozen=True)
class Subject:
    """What a protocol looks at: a model, images, their classes if known, and a machine."""

    model: DeepClusterer[Any]
    images: Images
    y: Labels | None
    run: Runtime
    seed: int

    def features(self) -> dict[str, Features]:
        """Of the model, of its network before it learnt, and the pixels themselves ``-> {name: (n, d)}``."""
        name = type(self.model).__name__
        untrained = random_network(self.model, self.images, self.seed)
        return {
            name: embed(self.run.to(self.model.state_.net), self.images, self.run).numpy(),
            "random network": embed(self.run.to(untrained), self.images, self.run).numpy(),
            "pixels": flat_pixels(self.images),
        }

    def classes(self) -> Labels:
        """Known labels ``-> (n,)``, of which a score can say something."""
        if self.y is None:
            raise InputError(
                "this protocol needs known labels; give --labels from-folders, a file of one label a line, or images "
                "that come with labels."
            )
        if (self.y == self.y[0]).all():
            raise InputError("the labels hold a single class, in which every answer is right; give at least two.")
        if np.bincount(self.y).max() == 1:
            raise InputError("every class has a single image; give labels of which at least two images share one.")
        return self.y


def evaluate(
    model: DeepClusterer[Any],
    images: Any,
    protocol: str,
    labels: npt.ArrayLike | None = None,
    *,
    seed: int = 0,
    runtime: Runtime | None = None,
) -> Evaluation:
    """Judge a fitted model on images with known classes.

    Parameters
    ----------
    model
        A fitted estimator, such as `kinfold.load` gives.
    images
        Whatever :func:`kinfold.as_images` reads, of the shape that the model was fitted on, best those it was fitted
        on: no label has been used on them.
    protocol
        One of `PROTOCOLS`.
    labels
        Known classes ``(n,)``; those of the images by default. "filters" needs none.
    seed
        Of the split into images to learn from and to test on, of draws, and of the untrained network.
    runtime
        Device and precision.

    Raises
    ------
    InputError
        When the protocol is unknown, the model no fitted one, or the labels or images do not fit it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> import kinfold
    >>> x, y = load_digits(return_X_y=True)
    >>> images = kinfold.as_images(x[:200].reshape(-1, 8, 8).astype("float32") / 16)
    >>> model = kinfold.JULE(10, preset="fast", n_epochs=1, random_state=0).fit(images)
    >>> found = evaluate(model, images, "knn", y[:200])
    >>> [row["features"] for row in found.rows]
    ['JULE', 'random network', 'pixels']
    """
    if protocol not in PROTOCOLS:
        raise InputError(f"protocol is {protocol!r}; expected one of {', '.join(PROTOCOLS)}.")
    if not isinstance(model, DeepClusterer) or not hasattr(model, "state_"):
        raise InputError(f"model is {type(model).__name__}; expected a deep clusterer after fit, or kinfold.load(RUN).")
    images = as_images(images)
    given = images.labels if labels is None else np.asarray(labels)
    if given is not None:
        if given.shape != (len(images),):
            raise InputError(f"labels has shape {given.shape}; expected ({len(images)},), one class an image.")
        given = np.unique(given, return_inverse=True)[1].astype(np.int64)
    words = []
    if len(images) > MOST_IMAGES and protocol != "kmeans":
        chosen = np.sort(np.random.default_rng(seed).choice(len(images), MOST_IMAGES, replace=False))
        words.append(f"A sample of {MOST_IMAGES:,} of the {len(images):,} images was used.")
        images, given = images.select(chosen), None if given is None else given[chosen]
    found = PROTOCOLS[protocol](Subject(model, images, given, runtime or Runtime(), seed))
    found.words = [*words, *found.words]
    found.settings = {"seed": seed, "n": len(images), **found.settings}
    return found


def stored(run: str | Path) -> list[Evaluation]:
    """What was found before about a run, read back from its folder; a damaged file is passed over.

    >>> stored("no-such-run")
    []
    """
    folder = Path(run) / FOLDER
    found = []
    for protocol in PROTOCOLS:
        try:
            said = read_json(folder, f"{protocol}.json")
            pictures = [
                (str(one["heading"]), (folder / Path(str(one["file"])).name).read_bytes()) for one in said["pictures"]
            ]
            rows, words = list(said["rows"]), [str(word) for word in said["words"]]
            found.append(Evaluation(protocol, str(said["title"]), rows, words, dict(said["settings"]), pictures))
        except (InputError, OSError, KeyError, TypeError, ValueError):
            continue
    return found


def random_network(model: DeepClusterer[Any], images: Images, seed: int) -> nn.Module:
    """The model's network before it learnt: first weights, with batch norm set to the images.

    What is measured and not learnt, mean and spread of the input, is the model's; a pretrained front stays as it is.
    """
    with Runtime().dice(torch.Generator().manual_seed(seed)):
        net = model._network(model.images_shape_)
    known = dict(model.state_.net.named_modules())
    for name, layer in net.named_modules():
        if type(layer).__name__ == "Standardize" and name in known:
            layer.load_state_dict(known[name].state_dict())
    if norms(net):
        from kinfold.train import pixels

        some = np.linspace(0, len(images) - 1, min(len(images), 512)).astype(np.int64)
        with measuring(net), torch.no_grad():
            net(pixels(images, some, Runtime(device="cpu")))
    return net.eval()


def flat_pixels(images: Images) -> Features:
    """Pixels in a row each, bytes divided by 255 ``-> (n, d)``."""
    rows = np.asarray(images.pixels).reshape(len(images), -1).astype(np.float32)
    return rows / np.float32(255) if images.pixels.dtype == np.uint8 else rows


# -- the protocols -----------------------------------------------------------------------------------------------------


def _linear(subject: Subject) -> Evaluation:
    y = subject.classes()
    train, test = probes.split(y, subject.seed)
    trained, images, run = subject.model.state_.net, subject.images, subject.run
    untrained = random_network(subject.model, images, subject.seed)
    run.progress.phase("looking at layers", 2 * len(images))
    sets = [(type(subject.model).__name__, layer_features(trained, images, run))]
    sets.append(("random network", layer_features(untrained, images, run)))
    run.progress.phase("fitting probes", sum(len(found) for _, found in sets) + 1)
    rows = []
    for name, layers in sets:
        for layer, x in layers.items():
            accuracy = probes.linear_accuracy(x, y, train, test)
            rows.append({"features": name, "layer": layer, "numbers": x.shape[1], "accuracy": accuracy})
            run.progress.advance()
    x = flat_pixels(images)
    rows.append(
        {
            "features": "pixels",
            "layer": "",
            "numbers": x.shape[1],
            "accuracy": probes.linear_accuracy(x, y, train, test),
        }
    )
    words = [
        f"A logistic regression was fitted to {len(train):,} labelled images and tested on {len(test):,}; the largest "
        f"class alone would give {probes.chance(y[test]):.3f}.",
        "What a layer adds over the random network is what was learnt; labels were used by the probe alone.",
    ]
    return Evaluation("linear", "Linear probe, layer by layer", rows, words, {"train": len(train), "test": len(test)})


def _knn(subject: Subject) -> Evaluation:
    y = subject.classes()
    train, test = probes.split(y, subject.seed)
    rows: list[dict[str, Any]] = []
    for name, x in subject.features().items():
        found = {f"k = {k}": probes.knn_accuracy(x, y, train, test, n_neighbors=k) for k in (1, 20, 200)}
        rows.append({"features": name, **found})
    words = [
        f"The nearest of {len(train):,} labelled images, by cosine, vote about each of {len(test):,}; a closer one "
        f"counts more. The largest class alone would give {probes.chance(y[test]):.3f}."
    ]
    return Evaluation("knn", "Nearest-neighbour probe", rows, words, {"train": len(train), "test": len(test)})


def _kmeans(subject: Subject) -> Evaluation:
    y, classes = subject.classes(), int(np.unique(subject.classes()).size)
    fitted = subject.images.names == subject.model.result_.names
    own = subject.model.labels_ if fitted else subject.model.predict(subject.images)
    k = int(np.unique(own).size)
    rows: list[dict[str, Any]] = [{"what": "clusters of the run", "k": k, **metrics.scores(y, own)}]
    for name, x in subject.features().items():
        rows.append({"what": f"k-means on {name}", "k": classes, **probes.kmeans_scores(x, y, seed=subject.seed)})
    words = ["Accuracy is that of the best one-to-one map of clusters to classes."]
    if k > classes:
        words.append(
            f"The run has {k} clusters for {classes} classes. Then NMI flatters, for it grows when clusters "
            "are split at random, and accuracy counts every cluster beyond the classes as wrong; read AMI and ARI, "
            "which are 0 for chance at any number of clusters."
        )
    return Evaluation("kmeans", "Clusters against the known classes", rows, words, {"classes": classes})


def _few_labels(subject: Subject) -> Evaluation:
    y = subject.classes()
    train, test = probes.split(y, subject.seed)
    rows: list[dict[str, Any]] = []
    spread: dict[str, Any] = {}
    for name, x in subject.features().items():
        found = probes.few_labels(x, y, train, test, seed=subject.seed)
        rows.append({"features": name, **{f"{r['labels']} a class": r["accuracy"] for r in found}})
        spread[name] = {f"{r['labels']} a class": r["sd"] for r in found}
    words = [
        "A linear reader saw so many labels of each class, in five random choices of them, and was tested on "
        f"{len(test):,} images; the features were learnt without any. The mean over the choices is shown."
    ]
    return Evaluation("few-labels", "Few labels", rows, words, {"test": len(test), "draws": 5, "sd": spread})


def _retrieval(subject: Subject) -> Evaluation:
    y = subject.classes()
    rows: list[dict[str, Any]] = []
    for name, x in subject.features().items():
        rows.append({"features": name, **probes.retrieval(x, y, seed=subject.seed)})
    words = [
        "Every query ranks all other images by cosine; those of its class are to come first. mAP is the mean average "
        "precision, 1 when they all do."
    ]
    return Evaluation("retrieval", "Retrieval of images of the same class", rows, words)


def _filters(subject: Subject) -> Evaluation:
    model, images, run = subject.model, subject.images, subject.run
    if images.is_vectors:
        raise InputError("filters are looked at in networks for images; this run was fitted on vectors.")
    net = run.to(copy.deepcopy(model.state_.net)).eval()
    layers = layers_of(net, maps_only=True, shape=images.shape)
    if not layers:
        raise InputError("this network has no layer of maps, so it has no filters to look at.")
    generator = torch.Generator().manual_seed(subject.seed)
    pictures, rows, words = [], [], []
    for depth, (name, layer) in enumerate(layers.items(), 1):
        n_maps = _maps(net, layer, images, run)
        filters = np.unique(np.linspace(0, n_maps - 1, min(N_FILTERS, n_maps)).astype(int)).tolist()
        best = top_images(net, layer, filters, images, run)
        run.progress.phase(f"climbing filters of layer {depth}", 300)
        try:
            climbed = shown(ascend(net, layer, filters, images.shape, generator, progress=run.progress.advance))
        except InputError as error:
            climbed, words = None, [str(error)]
        tiles = []
        for i in range(len(filters)):
            first = [] if climbed is None else [_picture(climbed[i])]
            tiles.append([*first, *(images.thumbnail(int(j), 64) for j in best[i])])
        pictures.append((f"Layer {depth} ({name}): {len(filters)} of {n_maps} filters", _png(grid(tiles, 64))))
        rows.append({"layer": depth, "name": name, "filters": n_maps, "shown": len(filters)})
    what = "the nine images" if words else "first what gradient ascent makes for it, then the nine images"
    words.insert(0, f"One line a filter: {what} on which its mean activation is highest.")
    return Evaluation("filters", "What filters look for", rows, words, {"filters": N_FILTERS}, pictures)


PROTOCOLS: dict[str, Callable[[Subject], Evaluation]] = {
    "linear": _linear,
    "knn": _knn,
    "kmeans": _kmeans,
    "few-labels": _few_labels,
    "retrieval": _retrieval,
    "filters": _filters,
}


def _maps(net: nn.Module, layer: nn.Module, images: Images, run: Runtime) -> int:
    from kinfold.evaluate.layers import activations

    return int(activations(net, layer, images.select([0]), run).shape[1])


def _picture(image: npt.NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)))


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return content.getvalue()


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)
