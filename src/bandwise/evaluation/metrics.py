"""Metrics of logits against labels; a new score is a field of `Scores`. Sums are integers or float64, divided once."""

import base64
import binascii
from array import array

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error

from bandwise.errors import CorruptionError, UsageError
from bandwise.runs.documents import Scores

ECE_BINS = 15
_CHUNK_VALUES = 1 << 22


class Scoring:
    """Scores of one classifier whose logits come some samples at a time, with the bits of all at once.

    `n`: N. `top1` and `top5`: shares of samples whose label has the largest, or one of the min(5, K) largest, logits;
    where logits are equal the choice among them is PyTorch's. `nll`: mean negative log-likelihood in nats. `ece`:
    expected calibration error of the largest probability in 15 equal bins, as a fraction.

    Source: Guo et al., On Calibration of Modern Neural Networks (2017), equation 3, for the calibration error.
    """

    def __init__(self) -> None:
        """Begin with no samples."""
        self._count, self._top, self._right = 0, 0, 0
        self._rows = 0
        # In one block of memory each: a tensor for every call, between the large ones of a softmax, kept the memory of
        # those from being used again, 3 GB at 100,000 images of 10,450 classes.
        self._own, self._confidences, self._hits = array("d"), array("d"), array("B")

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Take the next samples: logits (N, K), floating point and finite, K >= 2, and labels (N,), 0 to K - 1."""
        _check(logits, labels, self._count)
        classes = logits.shape[1]
        labels = labels.long()
        self._rows = max(1, _CHUNK_VALUES // classes)
        self._count += len(labels)
        for piece, target in zip(logits.split(self._rows), labels.split(self._rows), strict=True):
            log_probabilities = piece.double().log_softmax(1)
            self._right += int((piece.argmax(1) == target).sum())
            self._top += int((piece.topk(min(5, classes), 1).indices == target[:, None]).sum())
            largest, predicted = log_probabilities.max(1)
            for kept, values in (
                (self._own, log_probabilities.gather(1, target[:, None])),
                (self._confidences, largest.exp()),
                (self._hits, predicted == target),
            ):
                kept.frombytes(values.cpu().numpy().tobytes())

    def scores(self) -> Scores:
        """Return the scores of all samples so far, at least one."""
        nll = torch.zeros((), dtype=torch.float64)
        for piece in torch.frombuffer(self._own, dtype=torch.float64).split(self._rows):
            nll -= piece.sum()
        # The calibration error of the largest probability is the binary one of "the prediction is right".
        confidences, hits = torch.frombuffer(self._confidences, dtype=torch.float64), torch.tensor(self._hits).long()
        ece = binary_calibration_error(confidences, hits, n_bins=ECE_BINS, norm="l1")
        count = self._count
        return Scores(n=count, top1=self._right / count, top5=self._top / count, nll=float(nll) / count, ece=float(ece))


def per_class_accuracy(answers: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return from answers (N,) the share of each class that is right, (K,), NaN for none, and its samples, (K,)."""
    labels = labels.long()
    right = labels[answers == labels].bincount(minlength=classes)
    count = labels.bincount(minlength=classes)
    return right.double() / count, count


def pairwise_disagreement(predicted: Tensor) -> Tensor:
    """Return how often each two of n branches, whose answers are (n, N), differ: (n, n), fractions of N."""
    if predicted.ndim != 2 or 0 in predicted.shape:
        raise UsageError(
            f"disagreement needs answers (branches, samples), none of them 0; got {tuple(predicted.shape)}"
        )
    return torch.stack([(predicted != row).double().mean(1) for row in predicted])


def pack_right(right: NDArray[np.bool_]) -> str:
    """Return which images a classifier is right on, (N,), as one short text, for comparing results image by image.

    It is base64 of one bit an image, most significant bit first, zeros at the end.
    """
    return base64.b64encode(np.packbits(right).tobytes()).decode("ascii")


def unpack_right(text: str, count: int) -> NDArray[np.bool_]:
    """Return what `pack_right` was given, (count,); a text that cannot be of as many images is a `CorruptionError`."""
    try:
        packed = np.frombuffer(base64.b64decode(text, validate=True), dtype=np.uint8)
    except (binascii.Error, ValueError) as error:
        raise CorruptionError(f"the answers of a result are damaged: {error}") from error
    bits = np.unpackbits(packed)
    if len(packed) != -(-count // 8) or bits[count:].any():
        raise CorruptionError(f"the answers of a result are those of {len(packed) * 8} images, not of {count}")
    return bits[:count].astype(bool)


def _check(logits: Tensor, labels: Tensor, before: int) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not logits.shape[0] or logits.shape[1] < 2:
        raise UsageError(
            f"metrics need logits (N, K) and labels (N,) with N >= 1 and K >= 2; "
            f"got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    if not logits.is_floating_point() or labels.is_floating_point():
        raise UsageError(f"logits must be floating point and labels integers; got {logits.dtype} and {labels.dtype}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[1]:
        raise UsageError(
            f"labels run from {low} to {high}; with {logits.shape[1]} classes they must be 0 to {logits.shape[1] - 1}"
        )
    if not bool(logits.isfinite().all()):
        row = before + int((~logits.isfinite().all(1)).nonzero()[0])
        raise UsageError(f"logits of sample {row} are not finite; the branch that wrote them diverged, train it again")
