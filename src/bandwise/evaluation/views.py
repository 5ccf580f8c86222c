"""Where the pixels of test crops come from: the branch's own stored bands, a full store, or the source."""

from dataclasses import dataclass
from typing import Literal

import torch

from bandwise.errors import UsageError
from bandwise.store.reading.canvases import (
    Canvases,
    OpenSource,
    SourceCanvases,
    StoreCanvases,
    no_source,
    why_not_rebuilt,
)
from bandwise.store.reading.loader import BatchStream
from bandwise.store.reading.store import Store, open_store
from bandwise.training.canvas_views import CanvasViews
from bandwise.training.views import Views, why_no_mirror

Origin = Literal["bands", "source", "store"]
WantedOrigin = Literal["auto", "bands", "source", "store"]
CropStream = BatchStream | Canvases
CropViews = Views | CanvasViews


@dataclass(frozen=True, slots=True)
class CropsFrom:
    """What the caller wants, and how the source is opened if it comes to that.

    Attributes:
        origin: `auto` takes the bands where no mirror image is needed or they have exact ones, else the store where it
            holds all bands, else the source.
        open_source: raises UsageError where there is none.
    """

    origin: WantedOrigin = "auto"
    open_source: OpenSource = no_source


AUTO = CropsFrom()


@dataclass(frozen=True, slots=True)
class OpenedCrops:
    """The samples of one split, and what turns a batch of them into views.

    Attributes:
        origin: where the pixels come from.
        stream: yields bands, or canvases.
        views: takes what `stream` yields.
    """

    origin: Origin
    stream: CropStream
    views: CropViews


def open_crops(
    store: Store,
    bands: tuple[int, ...],
    split: str,
    *,
    crop: int,
    crops: int,
    batch_size: int,
    device: torch.device,
    wanted: CropsFrom,
) -> OpenedCrops:
    """Open what a branch is evaluated on.

    Args:
        store: opened with the bands of the branch.
        bands: the group, in the order of the channels.
        split: train, holdout or val.
        crop: side of the crop in pixels of a band.
        crops: 1 or 10.
        batch_size: images a batch.
        device: where the views are computed.
        wanted: from where.

    Raises:
        UsageError: the crops cannot come from where they are wanted or, on `auto`, from anywhere; it says why.
        IncompatibleError: the source is not that of the store.
    """
    origin = _choose(store, bands, crops) if wanted.origin == "auto" else wanted.origin
    if origin == "bands":
        views = Views(store, bands, crop, crops, device)
        return OpenedCrops(origin, BatchStream(store, bands, split, batch_size, cache="none"), views)
    views = CanvasViews(store, bands, crop, crops, device)
    if origin == "store":
        if reason := why_not_rebuilt(store):
            raise UsageError(f"the images cannot be rebuilt: {reason}; take the crops from the source")
        return OpenedCrops(origin, StoreCanvases(open_store(store.path), split, batch_size), views)
    try:
        source = wanted.open_source()
    except UsageError as error:
        if wanted.origin == "source":
            raise
        raise UsageError(
            f"{why_no_mirror(store, bands)}; the images cannot be rebuilt: {why_not_rebuilt(store)}; and the source "
            f"cannot be read: {error}. Use one crop, or evaluate where all bands or the images are"
        ) from error
    return OpenedCrops(origin, SourceCanvases(store, source, split, batch_size), views)


def _choose(store: Store, bands: tuple[int, ...], crops: int) -> Origin:
    if crops == 1 or why_no_mirror(store, bands) is None:
        return "bands"
    return "store" if why_not_rebuilt(store) is None else "source"
