"""Whether an exported graph answers as the model it was made of, on real pictures: these, and the comparison.

The pictures serve to calibrate and to score it, too.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bandwise.errors import BandwiseError, UsageError
from bandwise.export.graph import InputType
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.serving.inputs import list_inputs
from bandwise.serving.predict import Classifier, load_input
from bandwise.sources.source import Source
from bandwise.store.reading.canvases import SourceCanvases
from bandwise.store.reading.store import Store

Answer = Callable[[NDArray[np.uint8] | NDArray[np.float32]], NDArray[np.floating]]
"""Canvases (B, C, side, side) of the input type to probabilities (B, classes)."""

SOME = 64
"""Pictures that an export is compared on, at most."""

CALIBRATION = 512
"""Pictures that an export is calibrated on, at most."""

_BATCH = 16
# Sums in another order move probabilities by a hundred times less.
_MOST = 1e-2


@dataclass(frozen=True)
class Pictures:
    """Canvases, uint8 (N, C, side, side)."""

    some: Tensor
    """At most `SOME`, at least one."""
    holdout: Callable[[], list[Tensor]] | None = None
    """At most `CALIBRATION` of the holdout, in batches; None where they are not known to be of it."""
    reported: Callable[[], Iterator[tuple[Tensor, Tensor]]] | None = None
    """Batches of the reported set with their labels; likewise."""


def pictures_of_run(store: Store, source: Source) -> Pictures:
    """Read the pictures of a run again from its source; of the splits that it has, the reported set first."""
    splits = [split for split in ("val", "holdout", "train") if len(store.ids(split))]

    def batches(split: str) -> Iterator[tuple[Tensor, Tensor]]:
        return ((own.images, own.labels) for own in SourceCanvases(store, source, split, _BATCH).batches())

    return Pictures(
        some=torch.cat([images for images, _ in islice(batches(splits[0]), SOME // _BATCH)]),
        holdout=(lambda: [images for images, _ in islice(batches("holdout"), CALIBRATION // _BATCH)])
        if "holdout" in splits
        else None,
        reported=(lambda: batches("val")) if "val" in splits else None,
    )


def pictures_of_files(ensemble: Classifier, paths: Sequence[str]) -> Pictures:
    """Decode files, or those in folders, as for a prediction; what cannot be decoded is passed over."""
    loaded = (load_input(ensemble, item)[1] for item in list_inputs(paths))
    canvases = list(islice((canvas for canvas in loaded if canvas is not None), SOME))
    if not canvases:
        raise UsageError(f"none of the files in {', '.join(paths)} is a picture that can be decoded; name others")
    return Pictures(torch.from_numpy(np.stack(canvases)).permute(0, 3, 1, 2))


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
