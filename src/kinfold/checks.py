"""The contract of every algorithm, as checks that anyone may run on their own."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn
from unittest import SkipTest

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from sklearn.base import clone
from sklearn.utils.estimator_checks import estimator_checks_generator
from torch.utils.data import Dataset

from kinfold.data.images import as_images
from kinfold.errors import InputError, KinfoldError
from kinfold.estimator import DeepClusterer
from kinfold.results import Clustering
from kinfold.runtime import Interrupted, Runtime

Check = Callable[[DeepClusterer], None]
Pictures = np.ndarray[Any, np.dtype[np.uint8]]


class ContractError(KinfoldError, AssertionError):
    """An algorithm broke the contract; the sentence says which part."""


def check_clusterer(estimator: DeepClusterer, *, skip: Mapping[str, str] | None = None) -> list[str]:
    """Run every check on an estimator, and return the names of those that ran.

    Parameters
    ----------
    estimator
        An instance with settings so small that it fits 60 images of 16 x 16 pixels in seconds. It is not fitted itself.
    skip
        Name of a check to the reason why it is left out.

    Raises
    ------
    ContractError
        At the first check that fails.
    ValueError
        If `skip` names a check that does not exist, or gives no reason.

    Examples
    --------
    >>> from kinfold import JULE
    >>> others = [name for name, check in clusterer_checks(JULE()) if name != "bad input is explained"]
    >>> skip = dict.fromkeys(others, "an example is to be quick")
    >>> check_clusterer(JULE(n_clusters=3, random_state=0), skip=skip)
    ['bad input is explained']
    """
    skip = dict(skip or {})
    done, known = [], set()
    for name, check in clusterer_checks(estimator):
        known.add(name)
        if name in skip:
            if not skip[name].strip():
                raise ValueError(f"the check {name!r} is skipped without a reason; give one.")
            continue
        try:
            check(estimator)
        except SkipTest:
            continue
        except Exception as error:
            raise ContractError(f"{type(estimator).__name__} fails the check {name!r}: {error}") from error
        done.append(name)
    if set(skip) - known:
        raise ValueError(f"there is no check {sorted(set(skip) - known)[0]!r}; there are {', '.join(sorted(known))}.")
    return done


def clusterer_checks(estimator: DeepClusterer) -> Iterator[tuple[str, Check]]:
    """Yield the name of each check and the check: Kinfold's own first, then scikit-learn's.

    With pytest: ``@pytest.mark.parametrize(("name", "check"), clusterer_checks(Mine()))``.

    Examples
    --------
    >>> from kinfold import JULE
    >>> names = [name for name, check in clusterer_checks(JULE(n_clusters=3))]
    >>> names[:3]
    ['input untouched', 'seed repeats', 'resume is exact']
    """
    yield from CHECKS.items()
    seen: dict[str, int] = {}
    for _, check in estimator_checks_generator(_fresh(estimator)):
        name = getattr(check, "func", check).__name__
        seen[name] = seen.get(name, 0) + 1
        suffix = f" ({seen[name]})" if seen[name] > 1 else ""
        yield f"scikit-learn: {name}{suffix}", check


# -- what the checks are made of ---------------------------------------------------------------------------------------


def pictures(n: int = 60, *, seed: int = 0) -> Pictures:
    """Three kinds of small grey pictures (a bar, a column, a square), ``-> (n, 16, 16)`` bytes.

    Examples
    --------
    >>> pictures(3).shape
    (3, 16, 16)
    """
    generator = np.random.default_rng(seed)
    found = generator.integers(0, 60, size=(n, 16, 16))
    for i in range(n):
        row, column = generator.integers(2, 9, size=2)
        height, width = ((3, 12), (12, 3), (6, 6))[i % 3]
        found[i, row : row + height, column : column + width] += 170
    return found.astype(np.uint8)


def _fresh(estimator: DeepClusterer) -> DeepClusterer:
    """An unfitted copy with a fixed seed."""
    copied: DeepClusterer = clone(estimator)
    if "random_state" in copied.get_params(deep=False):
        copied.set_params(random_state=0)
    return copied


def _here(folder: Path | None = None, *, resume: bool = False) -> Runtime:
    return Runtime(device="cpu", precision="float32", folder=folder, resume=resume)


def _fit(estimator: DeepClusterer, X: Any, y: ArrayLike | None = None) -> DeepClusterer:
    return _fresh(estimator).fit(X, y, runtime=_here())


def _broken(sentence: str) -> NoReturn:
    raise ContractError(sentence)


def _same(one: DeepClusterer, two: DeepClusterer, what: str) -> None:
    """Equal to the last bit: labels, features and weights."""
    np.testing.assert_array_equal(one.labels_, two.labels_, err_msg=f"labels_ differ {what}")
    np.testing.assert_array_equal(one.embedding_, two.embedding_, err_msg=f"embedding_ differs {what}")
    theirs = two.result_.weights
    for name, weight in one.result_.weights.items():
        if name not in theirs or not torch.equal(weight, theirs[name]):
            _broken(f"the weight {name} differs {what}.")


class _Pairs(Dataset[tuple[torch.Tensor, int]]):
    """A torch Dataset of (image, label), as others make them."""

    def __init__(self, images: Pictures) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.images[i : i + 1].copy()), i % 3


# -- the checks --------------------------------------------------------------------------------------------------------


def check_input_untouched(estimator: DeepClusterer) -> None:
    """Neither the images, read-only ones included, nor the parameters change."""
    X = pictures()
    X.flags.writeable = False
    before, fresh = X.copy(), _fresh(estimator)
    parameters = copy.deepcopy(fresh.get_params())
    fresh.fit(X, runtime=_here())
    np.testing.assert_array_equal(X, before, err_msg="fit changed the images")
    if repr(fresh.get_params()) != repr(parameters):
        _broken(f"fit changed the parameters from {parameters} to {fresh.get_params()}.")


def check_seed_repeats(estimator: DeepClusterer) -> None:
    """A seed gives the same bits twice, whatever was drawn before, and nobody else's dice are thrown."""
    X = pictures()
    one = _fit(estimator, X)
    torch.rand(7)
    dice, other = torch.get_rng_state(), _numpy_dice()
    two = _fit(estimator, X)
    _same(one, two, "between two fits with one seed")
    if not torch.equal(dice, torch.get_rng_state()):
        _broken("fit threw torch's common dice; draw from state.generator.")
    np.testing.assert_array_equal(other, _numpy_dice(), err_msg="fit threw numpy's common dice")


def _numpy_dice() -> np.ndarray[Any, Any]:
    return np.asarray(np.random.get_state(legacy=False)["state"]["key"])


def check_resume_is_exact(estimator: DeepClusterer) -> None:
    """Stopped after the first round, and after the last but one, a run goes on to the same bits."""
    X = pictures()
    straight = _fit(estimator, X)
    rounds = straight.state_.round
    for stop in sorted({1, rounds - 1} & set(range(1, rounds))):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "run"
            _stopped(_fresh(estimator), X, stop, folder)
            resumed = _fresh(estimator).fit(X, runtime=_here(folder, resume=True))
            _same(straight, resumed, f"between a straight run and one stopped after round {stop}")


def _stopped(estimator: DeepClusterer, X: Pictures, stop: int, folder: Path) -> None:
    """Fit until Ctrl-C comes in the round after `stop`."""
    kept = estimator._round

    def interrupted(state: Any, images: Any, run: Runtime) -> Any:
        if state.round == stop:
            raise KeyboardInterrupt
        return kept(state, images, run)

    estimator._round = interrupted  # type: ignore[method-assign]
    try:
        estimator.fit(X, runtime=_here(folder))
    except Interrupted:
        return
    _broken(f"Ctrl-C after round {stop} raised no Interrupted.")


def check_sources_agree(estimator: DeepClusterer) -> None:
    """An array, a folder of the same pictures and a Dataset of them give the same bits."""
    X = pictures()
    one = _fit(estimator, X)
    _same(one, _fit(estimator, X[:, None]), "between (n, h, w) and (n, 1, h, w)")
    _same(one, _fit(estimator, torch.from_numpy(X.copy())), "between an array and a tensor")
    _same(one, _fit(estimator, _Pairs(X)), "between an array and a Dataset")
    with tempfile.TemporaryDirectory() as name:
        for i, picture in enumerate(X):
            Image.fromarray(picture).save(Path(name) / f"{i:03d}.png")
        _same(one, _fit(estimator, name), "between an array and a folder")


def check_y_is_ignored(estimator: DeepClusterer) -> None:
    """Known classes change the history only."""
    X = pictures()
    y = np.arange(len(X)) % 3
    named = _fit(estimator, X, y)
    _same(_fit(estimator, X), named, "between a fit without y and one with")
    missing = {"nmi", "acc", "ari"} - set(named.result_.history[-1])
    if missing:
        _broken(f"the history has no {', '.join(sorted(missing))} although y was given.")


def check_save_and_load(estimator: DeepClusterer) -> None:
    """A run folder gives back an estimator that answers with the same bits."""
    X, new = pictures(), pictures(20, seed=1)
    one = _fit(estimator, X)
    with tempfile.TemporaryDirectory() as name:
        two = type(estimator).from_result(Clustering.load(one.result_.save(Path(name) / "run")))
    _same(one, two, "after saving and loading")
    for images in (X, new):
        mine, theirs = (model.predict_table(images, runtime=_here()) for model in (one, two))
        for column, values in mine.items():
            np.testing.assert_array_equal(values, theirs[column], err_msg=f"{column} differs after loading")
    if one.get_params() != two.get_params():
        _broken(f"the parameters were {one.get_params()} and are {two.get_params()} after loading.")


def check_answers_are_sound(estimator: DeepClusterer) -> None:
    """Probabilities are probabilities, labels are clusters, shapes are as promised."""
    X, new = pictures(), pictures(20, seed=1)
    model = _fit(estimator, X)
    k, d = model.n_clusters_, model.embedding_.shape[1]
    table = model.predict_table(new, runtime=_here())
    shapes = {"labels": (20,), "confidence": (20,), "outlier": (20,), "probabilities": (20, k), "embedding": (20, d)}
    for name, shape in shapes.items():
        if table[name].shape != shape or not np.isfinite(table[name]).all():
            _broken(f"{name} of 20 new images is {table[name].shape} or not finite; expected {shape}.")
    np.testing.assert_allclose(table["probabilities"].sum(1), 1, atol=1e-5, err_msg="probabilities do not sum to one")
    np.testing.assert_array_equal(table["probabilities"].argmax(1), table["labels"])
    for values in (table["probabilities"], table["outlier"], model.confidence_, model.outlier_):
        if values.min() < 0 or values.max() > 1:
            _broken("a probability, confidence or outlier score lies outside [0, 1].")
    if model.labels_.shape != (len(X),) or model.labels_.dtype != np.int64:
        _broken(f"labels_ is {model.labels_.dtype} {model.labels_.shape}; expected int64 ({len(X)},).")
    if model.labels_.min() < 0 or model.labels_.max() >= k:
        _broken(f"labels_ go from {model.labels_.min()} to {model.labels_.max()}; n_clusters_ is {k}.")
    if not model.result_.run["health"] or len(model.result_.history) != model.state_.round:
        _broken("the run has no words on its health, or not one row a round.")


def check_bad_input_is_explained(estimator: DeepClusterer) -> None:
    """What cannot be clustered is refused with one sentence."""
    X = pictures()
    spoiled = X.astype(np.float32)
    spoiled[3, 4, 5] = np.nan
    bad: list[tuple[str, Any, dict[str, Any]]] = [
        ("constant images", np.full_like(X, 7), {}),
        ("one image", X[:1], {}),
        ("no image", X[:0], {}),
        ("NaN", spoiled, {}),
    ]
    known = estimator.get_params(deep=False)
    if "n_clusters" in known:
        bad += [(f"n_clusters={k!r}", X, {"n_clusters": k}) for k in (0, -1, 2.5, "3", True, len(X) + 1)]
    if "preset" in known:
        bad.append(("an unknown preset", X, {"preset": "no such preset"}))
    for what, images, parameters in bad:
        try:
            _fresh(estimator).set_params(**parameters).fit(images, runtime=_here())
        except InputError as error:
            if "\n" in str(error):
                _broken(f"{what} is refused in several lines; expected one sentence.")
            continue
        _broken(f"{what} was accepted; expected an InputError.")
    model = _fit(estimator, X)
    answer = model.predict(as_images(np.repeat(pictures(4), 2, axis=1).repeat(2, axis=2)), runtime=_here())
    if answer.shape != (4,):
        _broken("images of another size were not brought to the fitted one.")


CHECKS: dict[str, Check] = {
    check.__name__.removeprefix("check_").replace("_", " "): check
    for check in (
        check_input_untouched,
        check_seed_repeats,
        check_resume_is_exact,
        check_sources_agree,
        check_y_is_ignored,
        check_save_and_load,
        check_answers_are_sound,
        check_bad_input_is_explained,
    )
}
