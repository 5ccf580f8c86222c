"""Every benchmark in a fresh process with one thread a library: what ran before it changes nothing."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from bandwise.bench.catalog import run_bench

_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run_isolated(name: str, *, data: str = "photos", smallest: bool = False) -> dict[str, Any]:
    """Run one benchmark in a process of its own; arguments, result and errors are those of `run_bench`."""
    with (
        _one_thread_each(),
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
    ):
        return pool.submit(run_bench, name, data=data, smallest=smallest).result()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Set what the BLAS of a process that starts now reads; here numpy may have been imported already."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(dict.fromkeys(_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
