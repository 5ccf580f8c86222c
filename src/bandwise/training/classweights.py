"""How much an image of each class counts in the loss, where some classes have far fewer images than others."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandwise.config.configfile import read_config_file
from bandwise.config.data import require_positive
from bandwise.errors import UsageError
from bandwise.store.reading.store import Store

AUTO = "auto"
_LARGEST = 1e6


def class_weights(chosen: str, store: Store) -> list[float]:
    """Return the weight of every class, whose mean over the training images is 1.

    `auto` is inversely proportional to the number of training images of a class, so that all classes count alike;
    otherwise a YAML or JSON file that gives every class of the store a number.
    """
    counts = np.bincount(store.labels("train"), minlength=len(store.classes))
    if chosen == AUTO:
        # A class without training images has no loss to weigh.
        raw = 1 / np.maximum(counts, 1)
    else:
        given = read_class_weights(chosen)
        if differing := sorted(set(store.classes) ^ set(given)):
            raise UsageError(
                f"class_weights {chosen}: its classes are not those of the store; in one of both only: "
                f"{', '.join(differing[:5])}"
            )
        raw = np.array([given[name] for name in store.classes])
    return (raw * counts.sum() / (raw * counts).sum()).tolist()


def row_weights(store: Store) -> NDArray[np.float64]:
    """Return how often each training image comes in an epoch of balanced sampling on average, (N,) of mean 1."""
    return np.array(class_weights(AUTO, store))[store.labels("train")]


def read_class_weights(path: str) -> dict[str, float]:
    """Read a file of weights by class, each above 0."""
    content: Any = read_config_file(Path(path).expanduser())
    if not isinstance(content, dict):
        raise UsageError(f"class_weights {path} holds no names with numbers; write one `class: number` a line")
    for name, value in content.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"class_weights {path}: {name} is {value!r}; it must be a number")
        require_positive(value, _LARGEST, f"class_weights {path}: {name}")
    return {str(name): float(value) for name, value in content.items()}
