"""A clustering as one HTML file that opens from disk and asks nobody for anything."""

from __future__ import annotations

from kinfold.report.document import is_report, write_report
from kinfold.report.segmentation import write_segmentation_report

__all__ = ["is_report", "write_report", "write_segmentation_report"]
