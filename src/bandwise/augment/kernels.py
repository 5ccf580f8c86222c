"""Where the compiled code of this folder is: beside that of the bands, and there only where that is."""

import importlib
from types import ModuleType

from bandwise.bands.kernels import Kernel, compiled_kernels


def record_kernels(kernel: Kernel = "auto") -> ModuleType | None:
    """Return the module `store.compiled`, or None where the portable code shall run.

    Raises:
        ValueError: as `bands.kernels.compiled_kernels`.
    """
    return None if compiled_kernels(kernel) is None else importlib.import_module("bandwise.augment.compiled")
