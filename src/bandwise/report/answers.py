"""What the branches of a run and their fusion answered, for the figures that go image by image."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bandwise.evaluation.blocks import StoredLogits, blocks
from bandwise.evaluation.metrics import Scoring
from bandwise.runs.documents import HeadRecord, Scores, WeightsRecord
from bandwise.runs.logits import LogitsFile


@dataclass(frozen=True, slots=True)
class Answers:
    """What the branches of a run and their fusion answered for every reported image."""

    ids: NDArray[np.int64]
    """(N,), increasing."""
    labels: NDArray[np.int64]
    """(N,)."""
    branches: NDArray[np.int64]
    """(n, N), the class that each branch answers."""
    fused: NDArray[np.int64]
    """(N,), the class that the fusion answers."""
    confidence: NDArray[np.float64]
    """(N,), the probability that it gives that class, at its temperature."""
    uncalibrated: Scores
    """Of the fusion at temperature 1."""
    calibrated: Scores
    """Of the fusion at its temperature."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,), whether the fusion is right."""
        return self.fused == self.labels

    @property
    def branch_right(self) -> NDArray[np.bool_]:
        """(n, N), whether each branch is right."""
        return self.branches == self.labels


def answered(files: list[LogitsFile], fusion: HeadRecord | WeightsRecord) -> Answers:
    """Read the logits of the branches, and of the head after them, some images at a time."""
    logits, labels = StoredLogits(files), files[0].labels.astype(np.int64)
    count = len(fusion.branches)
    branches, fused = np.empty((count, len(labels)), np.int64), np.empty(len(labels), np.int64)
    confidence = np.empty(len(labels))
    scorings = {divisor: Scoring() for divisor in (1.0, fusion.temperature)}
    for rows in blocks(logits):
        block = logits[:, rows]
        own = block[-1] if isinstance(fusion, HeadRecord) else np.tensordot(np.asarray(fusion.weights), block, axes=1)
        branches[:, rows], fused[rows] = block[:count].argmax(axis=2), own.argmax(axis=1)
        confidence[rows] = torch.from_numpy(own / fusion.temperature).double().softmax(1).amax(1).numpy()
        for divisor, scoring in scorings.items():
            scoring.add(torch.from_numpy(own / divisor), torch.from_numpy(labels[rows]))
    scores = [scorings[divisor].scores() for divisor in (1.0, fusion.temperature)]
    return Answers(files[0].ids, labels, branches, fused, confidence, *scores)


def of_same_images(files: list[LogitsFile]) -> bool:
    """Say whether logits are of the same images, in number, ids and labels, and of as many classes."""
    first = files[0]
    return all(
        np.array_equal(first.ids, other.ids)
        and np.array_equal(first.labels, other.labels)
        and first.logits.shape == other.logits.shape
        for other in files[1:]
    )
