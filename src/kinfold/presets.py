"""Parameters that are None take their value from a preset: the paper's numbers, or ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kinfold.errors import InputError


class WithPresets:
    """For estimators, which state their presets by name."""

    _presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def _standing(self) -> Mapping[str, Any]:
        """What stands where a parameter is None."""
        found: Mapping[str, Any] = self._presets.get(getattr(self, "preset", ""), {})
        return found

    def _set(self, name: str) -> Any:
        """A parameter, or what the preset says where it is None or no parameter at all."""
        standing = self._standing()
        if getattr(self, name, None) is None and name in standing:
            return standing[name]
        return getattr(self, name)

    def _check_preset(self) -> None:
        """Refuse a preset that does not exist."""
        preset = getattr(self, "preset", None)
        if self._presets and preset not in self._presets:
            raise InputError(f"preset is {preset!r}; expected {' or '.join(map(repr, self._presets))}.")
