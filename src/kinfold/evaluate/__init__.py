"""How good what was learnt is: probes of features, of a run's layers and filters, and on sets it never saw."""

from __future__ import annotations

from kinfold.evaluate.protocols import PROTOCOLS, Evaluation, evaluate, stored

__all__ = ["PROTOCOLS", "Evaluation", "evaluate", "stored"]
