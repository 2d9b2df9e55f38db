"""``python -m kinfold`` is the ``kinfold`` command."""

from __future__ import annotations

import sys

from kinfold.cli import main

if __name__ == "__main__":
    sys.exit(main())
