"""Makes `import torchvision` work beside a CPU-only torch; timm and torchmetrics import it where it is installed.

The wheels of torchvision on the package index are linked against CUDA. Beside a CPU-only torch their compiled part
does not load, so the operators it would declare are missing, and the Python part stops at its first use of one.
Declaring the schemas of those operators is enough for everything that is written in Python. The compiled operators
themselves (`torchvision.ops.nms`, `torchvision.io.decode_jpeg`) stay unusable; Bandwise calls none of them.
"""

import importlib
import sys
from typing import Literal

import torch

Outcome = Literal["native", "shim", "absent"]

_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

# A library object that is collected takes its declarations with it.
_declared: list[torch.library.Library] = []


def ensure_torchvision() -> Outcome:
    """Import torchvision, and declare the operators that its compiled part left out where that is what stops it.

    The plain import is tried first: where the compiled part loads, it must declare its operators itself. Call this
    before anything imports timm or torchmetrics; a second call changes nothing. An import that fails for another reason
    raises what it raised.

    Returns `native` when torchvision imports as it is, `shim` when it imports with the declared operators, `absent`
    when it is not installed.
    """
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        return "absent"
    except RuntimeError as error:
        if "torchvision::" not in str(error) or _declared:
            raise
    else:
        return "shim" if _declared else "native"
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    _declared.append(library)
    for operator in _OPERATORS:
        library.define(operator + _SCHEMA)
    importlib.import_module("torchvision")
    return "shim"
