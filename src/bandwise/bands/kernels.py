"""Which code splits a picture: the portable one, or the compiled one where numba is installed; the bytes are equal."""

import importlib
from functools import cache
from types import ModuleType
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Kernel = Literal["auto", "portable", "compiled"]
"""`auto` takes the compiled code where it is available."""


def compiled_kernels(kernel: Kernel, folder: Literal["bands", "augment"] = "bands") -> ModuleType | None:
    """Return the module `compiled` of a folder, or None where the portable code shall run.

    Raises:
        ValueError: no such kernel, or `compiled` where numba is missing or does not work.
    """
    if kernel not in ("auto", "portable", "compiled"):
        raise ValueError(f"kernel is {kernel!r}; choose auto, portable or compiled")
    if kernel == "portable":
        return None
    found, why = _load(folder)
    if found is None and kernel == "compiled":
        raise ValueError(f"the compiled kernel needs numba ({why}); install bandwise[fast], or use portable")
    return found


def flat_memory(bands: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]] | None:
    """Return the memory of bands (nb, h, w, C) as one line of bytes, and where in it each band begins, int64 (nb,).

    None where a band does not lie in one piece, the bands not one after another, or where the memory is read-only.
    """
    size = bands[0].size
    step = bands.strides[0] if len(bands) > 1 else size
    if not bands[0].flags.c_contiguous or step < size or not bands.flags.writeable:
        return None
    if bands.flags.c_contiguous:
        return bands.reshape(-1), np.arange(0, bands.size, size)
    line = as_strided(bands, ((len(bands) - 1) * step + size,), (1,))
    return line, np.arange(0, len(bands) * step, step)


@cache
def _load(folder: str) -> tuple[ModuleType | None, str]:
    try:
        return importlib.import_module(f"bandwise.{folder}.compiled"), ""
    except (ImportError, RuntimeError) as error:
        # ImportError also where this numba refuses this numpy; RuntimeError where there is no folder for its cache.
        return None, str(error)
