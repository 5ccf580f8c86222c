"""The benchmarks by name, each imported when it is run, in a fresh process where wanted."""

import importlib
import multiprocessing
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bandwise.errors import UsageError
from bandwise.store.writing.workers import one_thread_each
from benchmarks.figures import Figure, Options

BENCHES = {
    "transform": "pictures into bands: the integer kernels against the FFT form",
    "split": "photographs to a finished store, against decoding and resizing alone",
    "draft": "photographs of 12 megapixels to a store, whole and decoded at a fraction of their size",
    "size": "bytes of a record, by band",
    "load": "batches for training, against JPEG folders, tar files and raw memory",
    "train": "the training loop, against a bare one and timm's; a branch against the whole image",
    "memory": "bytes of a training step and the largest batch, by formula and by looking",
    "infer": "the ensemble and its modes, against its networks alone and the whole-image network",
    "engines": "branches run by each engine, against the sum of their trainings",
    "scale": "whether an image costs more where there are more of them; 14 million names",
}


def run_bench(name: str, *, data: str = "photos", smallest: bool = False) -> dict[str, Any]:
    """Run one benchmark.

    Args:
        name: one of `BENCHES`.
        data: the pictures to use.
        smallest: do the least that shows that it runs.

    Returns:
        The document that is printed and recorded.

    Raises:
        UsageError: no such benchmark, or the pictures cannot be used.
    """
    if name not in BENCHES:
        raise UsageError(f"there is no benchmark {name!r}; choose one of {', '.join(BENCHES)}")
    from benchmarks.documents import document

    module = importlib.import_module(f"benchmarks.{name}")
    with tempfile.TemporaryDirectory(prefix="bandwise-bench-") as scratch, one_thread():
        figures: list[Figure] = module.measure(Options(data, smallest, Path(scratch)))
    return document(name, data, smallest, figures)


def run_isolated(name: str, *, data: str = "photos", smallest: bool = False) -> dict[str, Any]:
    """Run one benchmark in a process of its own; arguments, result and errors are those of `run_bench`."""
    with one_thread_each(), ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(run_bench, name, data=data, smallest=smallest).result()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread; numpy's are set by the environment before numpy is imported, see `run_isolated`."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
