"""Classify files: one row for every input, whatever is wrong with it."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import Any, BinaryIO, Protocol

import numpy as np
import torch
from torch import Tensor

from bandwise.config import SplitConfig
from bandwise.errors import IncompatibleError, UsageError
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.serving.inputs import Input, list_inputs
from bandwise.sources.decoding.badimage import BadImage
from bandwise.sources.decoding.decode import decode, to_canvas
from bandwise.sources.reading import read_file


class Classifier(Protocol):
    """What `SpectralEnsemble` and `CascadedEnsemble` have in common."""

    classes: tuple[str, ...]
    channels: int
    split_config: SplitConfig

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        ...

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits (B, K) for pictures (B, C, canvas, canvas)."""
        ...


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class that a picture may belong to."""

    name: str
    probability: float
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class Vote(ClassScore):
    """What one branch says by itself, uncalibrated."""

    branch: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """What became of one input."""

    path: str
    """As `os.fsdecode` gives it, so that it opens the file whatever its bytes are."""
    status: str
    """`ok`; `error` for what could not be classified; `skipped` for other files in a folder of pictures."""
    reason: str = ""
    """A short code where the status is not ok: missing, truncated, too large, ..."""
    detail: str = ""
    """The same in words."""
    classes: tuple[ClassScore, ...] = ()
    """The most probable classes, most probable first."""
    notes: tuple[str, ...] = ()
    """What was unusual about the picture but accepted."""
    votes: tuple[Vote, ...] | None = None
    """The most probable class of every branch, where that was asked for."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types; bytes of the path that are no UTF-8 are written as `\\xe9`."""
        votes = {} if self.votes is None else {"votes": [asdict(vote) for vote in self.votes]}
        return {
            "path": printable(self.path),
            "status": self.status,
            "reason": self.reason,
            "detail": printable(self.detail),
            "classes": [{"name": score.name, "probability": score.probability} for score in self.classes],
            "notes": list(self.notes),
            **votes,
        }


def printable(text: str) -> str:
    """Replace what stands for undecodable bytes by `\\xe9`, so that any UTF-8 output can take it."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def predict_paths(
    ensemble: Classifier,
    inputs: Iterable[str | bytes | os.PathLike[str]],
    *,
    batch_size: int = 32,
    top: int = 5,
    votes: bool = False,
    stdin: BinaryIO | None = None,
) -> Iterator[Prediction]:
    """Classify pictures in the order of `inputs.list_inputs`, decoded and resized as for training.

    The list is made at once, the pictures are read batch by batch.

    Args:
        ensemble: the classifier, on any device.
        inputs: files, folders, and `-` for a list on the standard input.
        batch_size: pictures in memory at a time.
        top: classes in a row, at most; fewer where there are fewer.
        votes: say too what every branch answers by itself; a cascade, which leaves branches out, cannot.
        stdin: where `-` reads; the process's standard input when None.

    Returns:
        One row for each input.

    Raises:
        UsageError: no picture is among the inputs, or a number is below 1.
        OSError: the storage fails, after retries; this is never taken for a bad picture.
    """
    batches = predict_inputs(ensemble, list_inputs(inputs, stdin), batch_size=batch_size, top=top, votes=votes)
    return chain.from_iterable(batches)


def predict_inputs(
    ensemble: Classifier, inputs: Sequence[Input], *, batch_size: int, top: int, votes: bool = False
) -> Iterator[list[Prediction]]:
    """Classify what `list_inputs` listed; yields the rows of one batch after another."""
    for key, value in (("batch_size", batch_size), ("top", top)):
        if value < 1:
            raise UsageError(f"{key} is {value}; it must be at least 1")
    if votes and not isinstance(ensemble, SpectralEnsemble):
        raise UsageError("a cascade does not ask every branch; leave it away for the votes of all")
    return _predict(ensemble, inputs, batch_size, min(top, len(ensemble.classes)), votes)


def _predict(
    ensemble: Classifier, inputs: Sequence[Input], batch_size: int, top: int, votes: bool
) -> Iterator[list[Prediction]]:
    waiting: list[Prediction] = []
    canvases: list[np.ndarray] = []
    for item in inputs:
        row, canvas = load_input(ensemble, item)
        waiting.append(row)
        if canvas is not None:
            canvases.append(canvas)
        if len(canvases) == batch_size or not canvases:
            yield _finish(ensemble, waiting, canvases, top, votes)
            waiting, canvases = [], []
    yield _finish(ensemble, waiting, canvases, top, votes)


def load_input(ensemble: Classifier, item: Input) -> tuple[Prediction, np.ndarray | None]:
    """Return the row of an input, without classes, and its canvas (side, side, C); None where it has none."""
    path = os.fsdecode(item.path)
    if item.status != "ok":
        return Prediction(path, item.status, item.reason, item.detail), None
    config = ensemble.split_config
    try:
        picture, notes = decode(
            read_file(item.path),
            channels=ensemble.channels,
            background=config.background,
            exif=config.exif,
            depth=config.depth,
            least_side=config.draft * config.canvas,
            max_pixels=config.max_pixels,
            name=item.path,
        )
    except BadImage as error:
        return Prediction(path, "error", error.reason, error.detail), None
    except (IncompatibleError, UsageError) as error:
        # The file was there when the list was made.
        return Prediction(path, "error", "unreadable", str(error)), None
    return Prediction(path, "ok", notes=notes), to_canvas(picture, config.canvas)


def _finish(
    ensemble: Classifier, waiting: list[Prediction], canvases: list[np.ndarray], top: int, votes: bool
) -> list[Prediction]:
    """Return the rows that wait, with the answers for those that have a canvas."""
    answers = iter(_classify(ensemble, canvases, top, votes) if canvases else ())
    return [replace(row, **next(answers)) if row.status == "ok" else row for row in waiting]


def _classify(ensemble: Classifier, canvases: list[np.ndarray], top: int, votes: bool) -> list[dict[str, Any]]:
    """Return the fields of a row that say what the pictures show."""
    images = torch.from_numpy(np.stack(canvases)).permute(0, 3, 1, 2).to(ensemble.device)
    with torch.inference_mode():
        if not votes:
            return [{"classes": row} for row in _best(ensemble, ensemble(images), top)]
        assert isinstance(ensemble, SpectralEnsemble)
        logits, own = ensemble.fused_and_branches(ensemble.stored(images))
        numbers, each = ensemble.fusion.branches, [_best(ensemble, branch, 1) for branch in own]
    return [
        {
            "classes": row,
            "votes": tuple(
                Vote(best.name, best.probability, number) for number, (best,) in zip(numbers, said, strict=True)
            ),
        }
        for row, *said in zip(_best(ensemble, logits, top), *each, strict=True)
    ]


def _best(ensemble: Classifier, logits: Tensor, top: int) -> list[tuple[ClassScore, ...]]:
    best = torch.softmax(logits.double(), dim=1).topk(top, dim=1)
    return [
        tuple(ClassScore(ensemble.classes[index], value) for value, index in zip(values, indices, strict=True))
        for values, indices in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
