"""Real pictures for an export: to compare its answers on, to calibrate it on, to score it on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from bandwise.errors import UsageError
from bandwise.serving.inputs import list_inputs
from bandwise.serving.predict import Classifier, load_input
from bandwise.sources.source import Source
from bandwise.store.reading.canvases import SourceCanvases
from bandwise.store.reading.store import Store

SOME = 64
"""Pictures that an export is compared on, at most."""

CALIBRATION = 512
"""Pictures that an export is calibrated on, at most."""

_BATCH = 16


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
