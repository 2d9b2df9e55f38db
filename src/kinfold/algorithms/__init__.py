"""The algorithms: one file per paper, one line here for each."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinfold.algorithms.iic import IIC
    from kinfold.algorithms.imsat import IMSAT
    from kinfold.algorithms.imsat_hash import IMSATHash
    from kinfold.algorithms.jule import JULE
    from kinfold.estimator import DeepClusterer

__all__ = ["IIC", "IMSAT", "JULE", "IMSATHash", "about", "load", "names"]

_HOME = {
    "IIC": "kinfold.algorithms.iic",
    "IMSAT": "kinfold.algorithms.imsat",
    "IMSATHash": "kinfold.algorithms.imsat_hash",
    "JULE": "kinfold.algorithms.jule",
}


def __getattr__(name: str) -> Any:
    """Load an algorithm's module when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"kinfold.algorithms has no {name!r}; there are {', '.join(_HOME)}.")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def names() -> list[str]:
    """Name every algorithm, in the order of the alphabet.

    >>> "JULE" in names()
    True
    """
    return sorted(_HOME)


def about(name: str) -> list[str]:
    """Say what an algorithm is and who published it: the first two paragraphs of its file, read without running it.

    >>> about("JULE")[0].startswith("JULE")
    True
    """
    file = Path(__file__).with_name(f"{_HOME[name].rpartition('.')[2]}.py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or name
    return [line for paragraph in text.split("\n\n")[:2] for line in paragraph.splitlines()]


def load(folder: str | Path) -> DeepClusterer[Any]:
    """Read a run folder back into a fitted estimator.

    Parameters
    ----------
    folder : str or Path
        A folder written by ``Clustering.save`` or ``kinfold cluster --out``. Nothing in it is unpickled.

    Returns
    -------
    DeepClusterer
        An estimator of the class and with the parameters named in ``run.json``, ready to predict.

    Raises
    ------
    InputError
        When the folder is not a run, or was made by an algorithm that this version does not have.
    """
    from kinfold.errors import InputError
    from kinfold.results import Clustering

    result = Clustering.load(folder)
    name = str(result.run.get("algorithm"))
    if name not in _HOME:
        raise InputError(
            f"{folder} was made by the algorithm {name!r}, which this version of kinfold does not have; "
            f"it has {', '.join(_HOME)}. Install the version named in its run.json."
        )
    algorithm: type[DeepClusterer[Any]] = getattr(importlib.import_module(_HOME[name]), name)
    return algorithm.from_result(result)
