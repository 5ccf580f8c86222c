"""Every benchmark in a fresh process with one thread a library: what ran before it changes nothing."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from bandwise.store.writing.workers import one_thread_each
from benchmarks.catalog import run_bench


def run_isolated(name: str, *, data: str = "photos", smallest: bool = False) -> dict[str, Any]:
    """Run one benchmark in a process of its own; arguments, result and errors are those of `run_bench`."""
    with one_thread_each(), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run_bench, name, data=data, smallest=smallest).result()
