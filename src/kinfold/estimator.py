"""DeepClusterer: scikit-learn outside, rounds inside. An algorithm writes four verbs and a network, and no more."""

from __future__ import annotations

import math
import numbers
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from torch.optim import Optimizer

from kinfold.allocator import keeping_freed_memory
from kinfold.data.arrays import refuse_masked
from kinfold.data.brightness import alike
from kinfold.data.images import Images, as_images
from kinfold.errors import InputError, KinfoldError
from kinfold.health import Watch
from kinfold.inputs import classes, is_table, refuse_what_has_no_clusters
from kinfold.journal import Journal, conclude, identify, in_words, is_finished, open_cache, resume, saying_how_to_go_on
from kinfold.metrics import accuracy, ari, nmi
from kinfold.parameters import refuse_parameters
from kinfold.presets import WithPresets
from kinfold.results import Clustering
from kinfold.runtime import Progress, Runtime
from kinfold.strangeness import Strangeness
from kinfold.train import embed
from kinfold.warm_start import warm_start

Labels = np.ndarray[Any, np.dtype[np.int64]]
Probabilities = np.ndarray[Any, np.dtype[np.float64]]
Known = tuple[Labels | None, list[str] | None]
MAX_PIXELS = 2**27
SCORES = {"nmi": nmi, "acc": accuracy, "ari": ari}

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass
class State:
    """All that changes while an algorithm runs, and all that a checkpoint holds.

    Algorithms add fields: numbers, texts, arrays, tensors, networks, optimisers, generators, and dataclasses, lists or
    dicts of these. Networks and optimisers are made in ``_start``.

    Attributes
    ----------
    net
        The network; its output is the embedding.
    optimizer
        Steps the network's weights, or None.
    generator
        The only source of chance.
    labels : (n,) int64
        Cluster of every image.
    round
        Finished rounds; the base class counts.
    features : (n, d) float32 or None
        The embedding of the fitted images; computed after the last round, unless the algorithm has set it by then.
    planned
        How many rounds there will be, if that is known, so that the time left can be shown.
    facts
        What else ``run.json`` should say, as JSON: a pretrained network, a measured recall.
    """

    net: nn.Module
    optimizer: Optimizer | None
    generator: torch.Generator
    labels: Labels
    round: int = 0
    features: Tensor | None = None
    planned: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)


if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    AnyState = TypeVarWithDefault("AnyState", bound=State, default=State)
else:
    AnyState = TypeVar("AnyState", bound=State)


@dataclass
class Record:
    """What a round reports.

    Attributes
    ----------
    loss
        Mean loss, or None when nothing was trained.
    n_clusters
        Clusters that the algorithm has now, used or not.
    extra
        More columns for the history.
    done
        Plain sentences about what was done against trouble, such as "restarted 2 empty clusters".
    """

    loss: float | None
    n_clusters: int
    extra: dict[str, float | int | str] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)


class _Learner(ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """scikit-learn's part, which has no types."""


class DeepClusterer(WithPresets, _Learner, ABC, Generic[AnyState]):
    """Base class of all algorithms.

    A subclass stores its parameters in ``__init__`` and writes ``_start``, ``_round``, ``_done``, ``_assign`` and
    ``_network``. Everything that changes lives in the state, so a run that was killed goes on with the same bits. One
    with a parameter ``initial`` goes on with another run's network, see `kinfold.warm_start`.

    Attributes
    ----------
    labels_ : (n,) int64
        Cluster of every fitted image.
    embedding_ : (n, d) float32
        Its features.
    confidence_ : (n,) float32
        The probability of its cluster.
    outlier_ : (n,) float32
        The share of fitted images that lie closer to their cluster, see :class:`kinfold.strangeness.Strangeness`.
    n_clusters_ : int
        Number of clusters.
    n_features_in_ : int
        Number of columns, when fitted on a 2-D array.
    images_shape_ : tuple
        ``(c, h, w)`` or ``(d,)`` of the fitted images; others are converted to it.
    result_ : Clustering
        All of the above and more, ready to save.
    state_ : State
        The state after the last round.
    """

    # -- the four verbs, and the network -------------------------------------------------------------------------------

    @abstractmethod
    def _start(self, images: Images, run: Runtime) -> AnyState:
        """Make the network, the optimiser and the first labels."""

    @abstractmethod
    def _round(self, state: AnyState, images: Images, run: Runtime) -> Record:
        """Do one round and update the state."""

    @abstractmethod
    def _done(self, state: AnyState) -> bool:
        """Whether no round is left."""

    @abstractmethod
    def _assign(self, state: State) -> nn.Module:
        """Make the map from features to probabilities of each cluster, ``(m, d) -> (m, k)``, rows sum to one.

        It predicts, and it is exported together with the network. It may use ``state.features`` and ``state.labels``
        of the fitted images and ``state.net``; a loaded state has nothing else.
        """

    @abstractmethod
    def _network(self, shape: tuple[int, ...]) -> nn.Module:
        """Make the network for images of this shape, untrained, into which saved weights are loaded.

        ``self.n_clusters_`` and ``self.images_shape_`` are set by then.
        """

    def _prepare(self, images: Images, run: Runtime) -> Images:
        """What the rounds look at, by default the images themselves.

        An algorithm whose network has a part that never learns gives what that part makes of the images, computed
        once; the network must take both. ``_start`` finds the shape of the images as they came in ``self._raw_shape``.
        """
        return images

    # -- scikit-learn --------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: ArrayLike | None = None, *, runtime: Runtime | None = None) -> Self:
        """Learn features and clusters of images.

        Parameters
        ----------
        X
            Whatever :func:`kinfold.as_images` reads: a folder, paths, an array, a tensor, a Dataset, a feature matrix.
        y
            Known classes, ``(n,)``, used only for the scores in the history.
        runtime
            Device, precision, processes and folder.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If the images or the parameters cannot be clustered.
        Interrupted
            After Ctrl-C; the sentence says how to go on.
        """
        run = runtime or Runtime()
        if not run.is_main:
            run = replace(run, progress=Progress())
        with saying_how_to_go_on(run), keeping_freed_memory():
            refuse_parameters(self)
            images = self._images(X, run, fitting=True)
            refuse_what_has_no_clusters(images, getattr(self, "n_clusters", None))
            known = classes(y, images)
            identity = identify(type(self).__name__, self.get_params(deep=False), images)
            if is_finished(run, identity):
                return self._adopt(Clustering.load(Path(run.folder or "")))
            self._raw_shape = images.shape
            open_cache(run, identity)
            began = time.perf_counter()
            with run.dice(self._generator()):
                seen = self._prepare(images, run)
                begun = self._start(seen, run)
                begun.facts |= warm_start(begun.net, getattr(self, "initial", None))
                state = self._wrap(begun, run)
            journal = resume(Journal(state, seconds=time.perf_counter() - began), identity, run)
            state = journal.state
            watch = Watch(journal.history, state.labels)
            run.progress.phase("rounds", None if state.planned is None else state.planned - state.round)
            while not self._done(state):
                began = time.perf_counter()
                with run.dice(state.generator):
                    record = self._round(state, seen, run)
                self._log(journal, watch, record, known[0], time.perf_counter() - began)
                run.save(state.round, journal, identity)
                run.progress.say(in_words(journal.history[-1]))
                run.progress.advance()
            if state.features is None:
                state.features = embed(state.net, seen, run)
            return self._finish(journal, identity, images, known, run)

    def fit_predict(self, X: Any, y: ArrayLike | None = None, *, runtime: Runtime | None = None) -> Labels:
        """Fit and return the cluster of every image, ``-> (n,)``."""
        return self.fit(X, y, runtime=runtime).labels_

    def predict(self, X: Any, *, runtime: Runtime | None = None) -> Labels:
        """Most probable cluster of images, new or old, ``-> (m,)``."""
        return np.asarray(self._probabilities(self._features(X, runtime)).argmax(1), dtype=np.int64)

    def predict_proba(self, X: Any, *, runtime: Runtime | None = None) -> np.ndarray[Any, Any]:
        """Probability of each cluster, ``-> (m, k)`` float32."""
        # The features are float32, so more digits would differ from batch to batch.
        return self._probabilities(self._features(X, runtime)).astype(np.float32)

    def transform(self, X: Any, *, runtime: Runtime | None = None) -> np.ndarray[Any, Any]:
        """Features of images, ``-> (m, d)`` float32."""
        return self._features(X, runtime)

    def fit_transform(self, X: Any, y: ArrayLike | None = None, *, runtime: Runtime | None = None) -> Any:
        """Fit and return the features of the fitted images, ``-> (n, d)`` float32."""
        return self.fit(X, y, runtime=runtime).embedding_

    def predict_table(self, X: Any, *, runtime: Runtime | None = None) -> dict[str, Any]:
        """Cluster, confidence and strangeness of images, new or old.

        Returns
        -------
        dict
            ``labels (m,)``, ``confidence (m,)``: the probability of that cluster, ``outlier (m,)``: the share of fitted
            images that lie closer to their cluster (1 is farther than all), ``probabilities (m, k)`` and
            ``embedding (m, d)``.
        """
        features = self._features(X, runtime)
        probabilities = self._probabilities(features)
        labels = np.asarray(probabilities.argmax(1), dtype=np.int64)
        return {
            "labels": labels,
            "confidence": probabilities.max(1).astype(np.float32),
            "outlier": self._strangeness().score(features, labels),
            "probabilities": probabilities.astype(np.float32),
            "embedding": features,
        }

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Names of the columns of :meth:`transform`, the class name in lower case and a number."""
        check_is_fitted(self)
        return super().get_feature_names_out(input_features)

    @classmethod
    def from_result(cls, result: Clustering) -> Self:
        """A fitted estimator from a loaded run.

        Raises
        ------
        InputError
            If the run was made by another algorithm or its weights do not fit its parameters.
        """
        if result.run.get("algorithm") != cls.__name__:
            raise InputError(f"the run was made by {result.run.get('algorithm')!r}; expected {cls.__name__}.")
        parameters = result.run.get("parameters")
        known = set(cls._get_param_names())
        if not isinstance(parameters, dict) or not set(parameters) <= known:
            raise InputError(f"run.json has parameters that {cls.__name__} does not know; expected {sorted(known)}.")
        parameters = {name: _tuples(value) for name, value in parameters.items()}
        if isinstance(parameters.get("random_state"), str):  # an object, of which only the draw is known
            parameters["random_state"] = result.run.get("seed")
        for name in ("initial", "teacher"):  # an object too, and what it gave is in the weights
            if str(parameters.get(name)).startswith("<"):
                parameters[name] = None
        return cls(**parameters)._adopt(result)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @property
    def _n_features_out(self) -> int:
        return int(self.embedding_.shape[1])

    # -- what comes in -------------------------------------------------------------------------------------------------

    def _images(self, X: Any, run: Runtime, *, fitting: bool) -> Images:
        """Read the input; a plain 2-D array goes through scikit-learn's own validation."""
        if is_table(X):
            if not fitting and len(self.images_shape_) == 3:
                raise InputError(f"a table came; expected images, as this model was fitted on {self.images_shape_}.")
            refuse_masked(X, "the table")
            X = validate_data(self, X, reset=fitting, dtype=np.float32, ensure_min_samples=1, copy=True)
            X.flags.writeable = False
            return Images(X, source=f"array {X.shape}")
        if fitting:
            images = as_images(X, image_size=getattr(self, "image_size", None), progress=run.progress)
            for name in ("n_features_in_", "feature_names_in_"):
                if hasattr(self, name):
                    delattr(self, name)
            return images
        images = as_images(X, shape=self.images_shape_, progress=run.progress)
        if images.shape != self.images_shape_:
            raise InputError(f"the images have shape {images.shape}; this model was fitted on {self.images_shape_}.")
        found = alike(images, self._scale)
        if found is not images:
            run.progress.say(found.note[-1])
        return found

    def _generator(self) -> torch.Generator:
        """A generator seeded by ``random_state``; the same on every process."""
        state = check_random_state(getattr(self, "random_state", None))
        if isinstance(getattr(self, "random_state", None), numbers.Integral):
            seed = int(self.random_state)
        else:
            seed = int(state.randint(2**31 - 1))
        return torch.Generator().manual_seed(Runtime().agree(seed))

    # -- the run -------------------------------------------------------------------------------------------------------

    def _wrap(self, state: State, run: Runtime) -> State:
        """Put every network and optimiser of the state on the machine."""
        values = [(each.name, getattr(state, each.name)) for each in fields(state)]
        optimizers = [value for _, value in values if isinstance(value, Optimizer)]
        for name, value in values:
            if isinstance(value, nn.Module):
                setattr(state, name, run.wrap(value, *optimizers))
        return state

    def _log(self, journal: Journal, watch: Watch, record: Record, truth: Labels | None, seconds: float) -> None:
        """Count, measure and score a finished round."""
        state: State = journal.state
        state.round += 1
        journal.seconds += seconds
        journal.done.extend(f"round {state.round}: {sentence}" for sentence in record.done)
        extra: dict[str, Any] = dict(record.extra)
        if truth is not None:
            extra |= {name: score(truth, state.labels) for name, score in SCORES.items()}
        watch.row(state.round, record.loss, record.n_clusters, state.labels, seconds=seconds, extra=extra)

    def _finish(self, journal: Journal, identity: dict[str, Any], images: Images, known: Known, run: Runtime) -> Self:
        """Set the fitted attributes, and write and tidy the run folder."""
        state: State = journal.state
        if state.features is None or not bool(torch.isfinite(state.features).all()):
            raise KinfoldError("the network's features contain NaN after the last round; lower the learning rate.")
        self.images_shape_, self.state_ = images.shape, state
        if images.is_vectors:
            self.n_features_in_ = images.shape[0]
        features = state.features.numpy()
        probabilities = self._probabilities(features)
        self.n_clusters_ = int(probabilities.shape[1])
        self.result_ = conclude(journal, identity, images, probabilities, known, run)
        self._scale = self.result_.run["scale"]
        self._publish()
        self.result_.outlier = self.outlier_ = self._strangeness().fitted
        for sentence in self.result_.run["health"]:
            run.progress.say(sentence)
        if run.folder is not None and run.is_main:
            self.result_.save(run.folder)
            run.discard_checkpoint()
        run.wait()
        return self

    def _publish(self) -> None:
        """Set the fitted attributes that are parts of the result."""
        self.labels_ = self.result_.labels
        self.embedding_ = self.result_.embedding
        self.confidence_ = self.result_.confidence
        self._strange: Strangeness | None = None
        self.outlier_ = self.result_.outlier

    def _adopt(self, result: Clustering) -> Self:
        """Become fitted from a run that was saved."""
        k, sides = result.run.get("n_clusters"), result.run.get("shape")
        shape = sides if isinstance(sides, list) else []
        rounds = result.run.get("rounds", 0)
        whole = all(isinstance(side, int) and 0 < side <= 65536 for side in shape) and isinstance(rounds, int)
        if not whole or len(shape) not in (1, 3) or math.prod(shape) > MAX_PIXELS:
            raise InputError("run.json has no valid shape or rounds; restore the folder or run again.")
        if not isinstance(k, int) or not 0 < k <= max(len(result), 1):
            raise InputError("run.json has no valid n_clusters; restore the folder or run again.")
        if len(result) and not 0 <= int(result.labels.min()) <= int(result.labels.max()) < k:
            raise InputError(f"labels.csv has clusters outside 0 to {k - 1}; restore the folder or run again.")
        self.images_shape_, self.n_clusters_, self.result_ = tuple(shape), k, result
        self._scale = result.run.get("scale")
        if len(shape) == 1:
            self.n_features_in_ = shape[0]
        try:
            with Runtime().dice(torch.Generator()):
                net = self._network(self.images_shape_)
            net.load_state_dict(result.weights)
        except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"model.safetensors does not fit the parameters in run.json ({type(error).__name__}); "
                "restore the folder."
            ) from None
        features = torch.from_numpy(result.embedding.copy())
        self.state_ = State(net.eval(), None, torch.Generator(), result.labels, rounds, features)
        self._publish()
        return self

    def _features(self, X: Any, runtime: Runtime | None) -> np.ndarray[Any, Any]:
        check_is_fitted(self)
        run = runtime or Runtime()
        images = self._images(X, run, fitting=False)
        with keeping_freed_memory():
            return embed(run.to(self.state_.net), images, run).numpy()

    def _probabilities(self, features: np.ndarray[Any, Any]) -> Probabilities:
        with torch.inference_mode():
            assign = self._assign(self.state_)
            parts = [assign(part) for part in torch.split(torch.from_numpy(np.array(features)), 4096)]
        found = torch.cat(parts).double().numpy()
        if found.ndim != 2 or len(found) != len(features) or found.shape[1] <= int(self.state_.labels.max(initial=0)):
            raise KinfoldError(
                f"{type(self).__name__}._assign gave {found.shape} for {len(features)} images; "
                "expected one row an image and one column a cluster."
            )
        return found

    def assignment_module(self) -> nn.Module:
        """Network and assignment in one, images ``(b, c, h, w) -> (b, k)``, float images in [0, 1]; for export."""
        check_is_fitted(self)
        return nn.Sequential(self.state_.net, self._assign(self.state_)).eval()

    def _strangeness(self) -> Strangeness:
        if self._strange is None:
            self._strange = Strangeness(self.embedding_, self.labels_)
        return self._strange


def _tuples(value: Any) -> Any:
    """JSON's lists as the tuples that parameters are."""
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value
