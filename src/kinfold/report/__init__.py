"""A clustering as one HTML file that opens from disk and asks nobody for anything."""

from __future__ import annotations

from kinfold.report.document import write_report
from kinfold.report.segmentation import write_segmentation_report

__all__ = ["write_report", "write_segmentation_report"]
