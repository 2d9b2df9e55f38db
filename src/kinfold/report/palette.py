"""Colours for up to hundreds of clusters that stay apart for colour-blind readers.

Candidates are laid out evenly in OKLab (B. Ottosson, 2020) at moderate lightness and chroma, so that they read on a
light and on a dark page. They are picked one by one, each as far as possible from those already picked, where the
distance adds what everybody sees and what is left of it with protanopia or deuteranopia, whichever is worse
(simulated by the linear model of Viénot, Brettel and Mollon, 1999). The first six are those of Okabe and Ito
(2002) that stand out on white and on black alike.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_OKABE_ITO = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9"]
# Linear sRGB -> linear sRGB as a dichromat sees it (Viénot, Brettel and Mollon, 1999).
_PROTANOPIA = np.array([[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]])
_DEUTERANOPIA = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
_RGB_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _oklab(linear: Floats) -> Floats:
    """Linear sRGB to OKLab ``(n, 3) -> (n, 3)``."""
    return np.asarray(np.cbrt(np.clip(linear, 0, None) @ _RGB_TO_LMS.T) @ _LMS_TO_LAB.T)


def _linear(lab: Floats) -> Floats:
    """OKLab to linear sRGB, which may lie outside [0, 1] ``(n, 3) -> (n, 3)``."""
    return np.asarray((lab @ np.linalg.inv(_LMS_TO_LAB).T) ** 3 @ np.linalg.inv(_RGB_TO_LMS).T)


def seen(colours: list[str]) -> list[Floats]:
    """OKLab places of hexadecimal colours ``-> three of (n, 3)``: normal vision, protanopia, deuteranopia."""
    codes = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours], dtype=np.float64) / 255
    linear = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    return [_oklab(linear), _oklab(linear @ _PROTANOPIA.T), _oklab(linear @ _DEUTERANOPIA.T)]


def _candidates() -> list[str]:
    lightness, chroma, hue = np.meshgrid(
        np.linspace(0.44, 0.80, 10), np.array([0.05, 0.09, 0.13, 0.16]), np.arange(0, 360, 8.0), indexing="ij"
    )
    angle = np.deg2rad(hue.ravel())
    lab = np.stack([lightness.ravel(), chroma.ravel() * np.cos(angle), chroma.ravel() * np.sin(angle)], axis=1)
    linear = _linear(lab)
    inside = np.all((linear >= 0) & (linear <= 1), axis=1)
    linear = linear[inside]
    codes = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.clip(linear, 0, None) ** (1 / 2.4) - 0.055)
    rows = np.rint(codes * 255).astype(int)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in rows]


@cache
def _ranked(n_colours: int) -> tuple[str, ...]:
    names = _OKABE_ITO + _candidates()
    views = seen(names)
    picked: list[int] = []
    nearest = np.full(len(names), np.inf)
    while len(picked) < min(n_colours, len(names)):
        picked.append(len(picked) if len(picked) < len(_OKABE_ITO) else int(np.argmax(nearest)))
        normal, *dichromat = [np.linalg.norm(view - view[picked[-1]], axis=1) for view in views]
        nearest = np.minimum(nearest, 0.5 * normal + np.min(dichromat, axis=0))
    return tuple(names[i] for i in picked)


def palette(n_colours: int) -> list[str]:
    """Hexadecimal colours, the first ones furthest apart; they repeat past the roughly 800 that can be told apart.

    Examples
    --------
    >>> palette(2)[0].startswith("#")
    True
    >>> len(set(palette(100)))
    100
    """
    colours = _ranked(n_colours)
    return [colours[i % len(colours)] for i in range(n_colours)]
