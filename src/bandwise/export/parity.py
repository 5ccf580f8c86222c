"""Whether an exported graph answers as the model it was made of, on real pictures."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandwise.errors import BandwiseError
from bandwise.export.graph import InputType
from bandwise.serving.ensemble import SpectralEnsemble

Answer = Callable[[NDArray[np.uint8] | NDArray[np.float32]], NDArray[np.floating]]
"""Canvases (B, C, side, side) of the input type to probabilities (B, classes)."""

_BATCH = 16
# Sums in another order move probabilities by a hundred times less.
_MOST = 1e-2


@dataclass(frozen=True, slots=True)
class Parity:
    """A comparison of probabilities."""

    pictures: int
    max_difference: float
    equal_top1: int
    ms_per_picture: float
    """Of the exported graph, in batches of 16."""

    def __str__(self) -> str:
        return (
            f"parity on {self.pictures} pictures: largest difference of a probability {self.max_difference:.1e}, equal "
            f"top-1 {self.equal_top1} of {self.pictures}, {self.ms_per_picture:.1f} ms a picture"
        )


def compare(ensemble: SpectralEnsemble, answer: Answer, canvases: Tensor, input_type: InputType) -> Parity:
    """Compare a graph with its model on canvases, uint8 (N, C, side, side), of which there is one at least."""
    largest, equal, spent = 0.0, 0, 0.0
    for images in canvases.split(_BATCH):
        with torch.inference_mode():
            expected = ensemble(images).softmax(1).numpy()
        given = images.numpy().astype(input_type)
        started = time.perf_counter()
        found = answer(given)
        spent += time.perf_counter() - started
        largest = max(largest, float(np.abs(found - expected).max()))
        equal += int((found.argmax(1) == expected.argmax(1)).sum())
    return Parity(len(canvases), largest, equal, 1000 * spent / len(canvases))


def require_parity(parity: Parity) -> None:
    """Refuse a graph that answers otherwise than its model."""
    if not parity.max_difference < _MOST:
        raise BandwiseError(f"nothing was written: the exported graph answers otherwise than the model; {parity}")


def accuracies(
    answers: Sequence[Answer], batches: Iterable[tuple[Tensor, Tensor]], input_type: InputType
) -> tuple[list[float], int]:
    """Return the share of labelled canvases on which each graph is right, and how many canvases there are."""
    right, count = [0] * len(answers), 0
    for images, labels in batches:
        given = images.numpy().astype(input_type)
        for place, answer in enumerate(answers):
            right[place] += int((answer(given).argmax(1) == labels.numpy()).sum())
        count += len(labels)
    return [own / count for own in right], count
