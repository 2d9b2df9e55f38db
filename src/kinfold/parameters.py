"""What may be given to an estimator: kinds of thing as its constructor declares them, and ranges of numbers by name.

A name means the same in every algorithm, so one table says what its values may be. Choices between words, and what
goes together, are each algorithm's own matter.
"""

from __future__ import annotations

import inspect
import math
import numbers
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from kinfold.errors import InputError

# Least and most of a number, both included. None stands for a choice that is made later, and the one word that may
# stand in place of a number is AUTO.
RANGES: Mapping[str, tuple[float, float]] = {
    # counts
    "batch_size": (2, math.inf), "crop_size": (1, math.inf), "hidden": (1, math.inf), "largest_side": (1, math.inf),
    "least_steps": (1, math.inf), "n_atoms": (1, math.inf), "n_components": (1, math.inf), "n_epochs": (1, math.inf),
    "n_final": (0, math.inf), "n_graphs": (0, math.inf), "n_groups": (1, math.inf), "n_heads": (1, math.inf),
    "n_iter": (1, math.inf), "n_local": (1, math.inf), "n_neighbors": (1, math.inf), "n_patches": (1, math.inf),
    "n_periods": (1, math.inf), "n_positives": (0, math.inf), "n_refine": (0, math.inf), "n_repeats": (1, math.inf),
    "n_rounds": (1, math.inf), "n_steps": (1, math.inf), "n_target_dims": (2, math.inf), "patch_size": (1, math.inf),
    "pool": (1, math.inf), "radius": (0, math.inf), "reassign_every": (0, math.inf), "restarts": (0, math.inf),
    "small_crops": (0, math.inf), "stride": (1, math.inf), "warm_epochs": (0, math.inf), "warm_steps": (0, math.inf),
    "width": (1, math.inf),
    # shares
    "anneal": (0, 1), "jitter": (0, 1), "marginal_rate": (1e-3, 1), "slack": (0, 1), "smallest": (0, 1),
    "view_strength": (0, 1),
    # lengths, rates and weights
    "gamma": (0, math.inf), "learning_rate": (0, math.inf), "margin": (0, math.inf), "marginal_weight": (0, math.inf),
    "reach": (0, math.inf), "side_weight": (0, math.inf), "temperature": (1e-3, math.inf), "threshold": (0, math.inf),
    "trunk_rate": (0, math.inf), "weight_contrast": (0, math.inf), "weight_graph": (0, math.inf),
    "weight_information": (0, math.inf), "weight_local": (0, math.inf), "weight_marginal": (0, math.inf),
}  # fmt: skip

WORDS = {
    "int": "a whole number", "float": "a number", "bool": "True or False", "str": "a word",
    "tuple": "several in a tuple", "Sequence": "several in a list", "None": "None",
}  # fmt: skip
AUTO = "auto"
MOST_SEED = 2**32 - 1
ELSEWHERE = ("n_clusters", "n_bits", "random_state")  # said with words of their own


def refuse_parameters(estimator: Any) -> None:
    """Check each parameter against its kind and its range; `_ranges` of a class has what a name means in it alone.

    Raises
    ------
    InputError
        Naming the first that is of another kind, not finite, out of its range, or a preset that does not exist.

    Examples
    --------
    >>> class Some:
    ...     def __init__(self, n_epochs: int | None = None, sobel: bool = True): ...
    ...     def get_params(self, deep=True):
    ...         return {"n_epochs": 5, "sobel": "false"}
    >>> refuse_parameters(Some())
    Traceback (most recent call last):
    ...
    kinfold.errors.InputError: sobel is 'false'; expected True or False.
    """
    ranges = {**RANGES, **getattr(estimator, "_ranges", {})}
    declared = inspect.signature(type(estimator)).parameters
    for name, value in estimator.get_params(deep=False).items():
        if name == "random_state":
            _refuse_seed(value)
        if name in ELSEWHERE:
            continue
        kinds = kinds_of(declared[name].annotation)
        if not fits(value, kinds):
            words = [WORDS[kind] for kind in kinds if kind in WORDS]
            raise InputError(f"{name} is {value!r}; expected {' or '.join(words)}.")
        presets = getattr(estimator, "_presets", {})
        if name == "preset" and presets and value not in presets:
            raise InputError(f"preset is {value!r}; expected {' or '.join(map(repr, presets))}.")
        if name not in ranges:
            continue
        low, high = ranges[name]
        expected = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
        if "str" in kinds:
            expected = f"{AUTO!r} or {expected}"
        if isinstance(value, str) and value != AUTO:
            raise InputError(f"{name} is {value!r}; expected {expected}.")
        if isinstance(value, numbers.Real) and not low <= value <= high:
            raise InputError(f"{name} is {value}; expected {expected}.")


def _refuse_seed(value: Any) -> None:
    """What scikit-learn seeds from: a whole number of 32 bits, a RandomState, or nothing."""
    if value is None or value is np.random or isinstance(value, np.random.RandomState):
        return
    if not fits(value, ["int"]) or not 0 <= value <= MOST_SEED:
        raise InputError(
            f"random_state is {value!r}; expected a whole number from 0 to {MOST_SEED}, a numpy RandomState, or None."
        )


def refuse_no_count(estimator: Any) -> None:
    """Check that the number of clusters is given, for algorithms that do not estimate it.

    Raises
    ------
    InputError
        If it is None.
    """
    if estimator.n_clusters is None:
        name = type(estimator).__name__
        raise InputError(f"{name} needs n_clusters, a whole number; JULE estimates it where it is not known.")


def kinds_of(annotation: Any) -> list[str]:
    """The alternatives of an annotation, what stands in brackets left out.

    Examples
    --------
    >>> kinds_of("int | tuple[int, ...] | None"), kinds_of("Sequence[str | Transformation]")
    (['int', 'tuple', 'None'], ['Sequence'])
    """
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    while "[" in text:
        text = re.sub(r"\[[^\[\]]*\]", "", text)
    return [kind.strip() for kind in text.split("|")]


def fits(value: Any, kinds: list[str]) -> bool:
    """Whether a value is of one of these kinds; a kind that is not known here is not judged.

    Examples
    --------
    >>> fits(3, ["float"]), fits(True, ["int"]), fits(float("nan"), ["float"]), fits("photos", ["Path", "None"])
    (True, False, False, True)
    """
    if not set(kinds) <= set(WORDS):
        return True
    if value is None:
        return "None" in kinds
    if isinstance(value, bool | np.bool_):
        return "bool" in kinds
    if isinstance(value, numbers.Integral):
        return bool({"int", "float"} & set(kinds))
    if isinstance(value, numbers.Real):
        return "float" in kinds and math.isfinite(value)
    if isinstance(value, str):
        return "str" in kinds
    return bool({"tuple", "Sequence"} & set(kinds))
