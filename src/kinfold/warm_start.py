"""Warm start: one algorithm goes on with the network that another has trained.

Every algorithm with a parameter ``initial`` takes it, and `kinfold.estimator` reads it here, once for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kinfold.errors import InputError
from kinfold.results import Clustering

TRUNK = "trunk."  # how `kinfold.nn.heads.WithHead` calls what lies below the head


def warm_start(net: nn.Module, initial: Any) -> dict[str, Any]:
    """Give the trunk of a network the weights of another's ``-> facts for run.json``.

    Heads are left as they are, on both sides: they belong to the algorithm, the trunk to the images.

    Parameters
    ----------
    net
        A fresh network; with a head (`kinfold.nn.heads.WithHead`) or without.
    initial
        A run folder, a `Clustering` (``model.result_``), or tensors by name as ``state_dict`` gives; None changes
        nothing.

    Raises
    ------
    InputError
        If there are no such weights or they are of another network; the first difference is named.

    Examples
    --------
    >>> one, two = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> warm_start(two, one.state_dict())["initial"]["tensors"], torch.equal(one.weight, two.weight)
    (2, True)
    """
    if initial is None:
        return {}
    found, about = _weights(initial)
    if any(name.startswith(TRUNK) for name in found):
        found = {name.removeprefix(TRUNK): value for name, value in found.items() if name.startswith(TRUNK)}
    wanted = getattr(net, "trunk", net).state_dict()
    cure = "begin with the same backbone, width and image size"
    for name in sorted({*wanted, *found}):
        if name not in wanted or name not in found:
            where = "initial has no" if name not in found else "the network has no"
            raise InputError(f"initial is of another network: {where} {name!r}; {cure}.")
        if wanted[name].shape != found[name].shape:
            shapes = f"{tuple(found[name].shape)}; expected {tuple(wanted[name].shape)}"
            raise InputError(f"initial is of another network: {name!r} has shape {shapes}: {cure}.")
    with torch.no_grad():
        for name, value in wanted.items():
            value.copy_(found[name])
    return {"initial": {"tensors": len(wanted), **about}}


def _weights(initial: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and where they come from."""
    if isinstance(initial, (str, Path)):
        initial = Clustering.load(initial)
    if isinstance(initial, Clustering):
        return dict(initial.weights), {"algorithm": initial.run.get("algorithm")}
    if isinstance(initial, Mapping) and initial and all(isinstance(value, Tensor) for value in initial.values()):
        return {str(name): value for name, value in initial.items()}, {}
    raise InputError(
        f"initial is a {type(initial).__name__}; expected a run folder, the result_ of a fitted model, or a state dict."
    )
