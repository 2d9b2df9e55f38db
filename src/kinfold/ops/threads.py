"""faiss and torch on the same number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def faiss_threads() -> Iterator[None]:
    """Context in which faiss uses as many threads as torch: it has an OpenMP of its own."""
    import faiss
    import torch

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
