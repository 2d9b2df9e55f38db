"""The dense, plain form of JULE's merging; kept with the benchmarks, where it is the alternative in the speed table."""

from __future__ import annotations

from kinfold.benchmark.dense import Merged, affinities, fill, flows, merge, weights

__all__ = ["Merged", "affinities", "fill", "flows", "merge", "weights"]
