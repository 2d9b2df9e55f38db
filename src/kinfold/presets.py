"""Parameters that are None take their value from a preset: the paper's numbers, or ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class WithPresets:
    """For estimators, which state their presets by name."""

    preset: str
    _presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    _ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}  # see kinfold.parameters

    def _standing(self) -> Mapping[str, Any]:
        """What stands where a parameter is None."""
        return self._presets[self.preset]

    def _set(self, name: str) -> Any:
        """A parameter, or what the preset says where it is None or no parameter at all."""
        standing = self._standing()
        return standing[name] if getattr(self, name, None) is None and name in standing else getattr(self, name)
