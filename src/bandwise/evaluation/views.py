"""What a network sees of an image when it is evaluated: one crop or ten, of stored bands or of the whole image.

The bands of a branch give the centre crop always, and mirror images only where those are functions of the stored bands.
For ten crops of other bands the whole images are needed: rebuilt from a store of all bands, or decoded again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from bandwise.augment.bands import BandCutter
from bandwise.augment.standardise import BandStandardiser, to_device
from bandwise.bands.module import BandSplit
from bandwise.bands.transform import flip_group
from bandwise.errors import UsageError
from bandwise.sources.source import Source
from bandwise.store.reading.loader import Batch, BatchStream
from bandwise.store.reading.store import Store, open_store

Origin = Literal["bands", "source", "store"]
WantedOrigin = Literal["auto", "bands", "source", "store"]
Views = Callable[[Tensor], Iterator[Tensor]]
"""From a batch of samples to the views of it, one after another."""

CropBox = tuple[int, int, bool]
"""Top and left in pixels of a band, and whether the crop is mirrored left to right after it is cut.

So every position is a multiple of the stride on the canvas: multiply side, crop, top and left by the stride for the
same crops of the canvas; both ways show the same pixels.
"""


class Samples(Protocol):
    """The samples of a split, in batches: their bands, or their canvases."""

    def batches(self) -> Iterator[Batch]:
        """Yield every sample once, in the order of the ids."""
        ...


def center_box(side: int, crop: int) -> tuple[int, int]:
    """Return top and left of the central crop; where the margin is odd the smaller half is above and to the left."""
    if not 1 <= crop <= side:
        raise UsageError(f"a crop of {crop} px does not fit a band of {side} px; choose 1 to {side} (crop / stride)")
    margin = (side - crop) // 2
    return margin, margin


def ten_crop_boxes(side: int, crop: int) -> tuple[CropBox, ...]:
    """Return the ten standard crops: top left, top right, bottom left, bottom right, centre, then their mirrors.

    Box `i + 5` is the mirror of the pixels of box `i`. That differs from crops of the mirrored image only in the
    centre, by one pixel, and only where `side - crop` is odd.

    Source: Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks (2012), section 4.1.
    """
    center = center_box(side, crop)
    far = side - crop
    corners = ((0, 0), (0, far), (far, 0), (far, far), center)
    return tuple((top, left, mirrored) for mirrored in (False, True) for top, left in corners)


def evaluation_boxes(side: int, crop: int, crops: int) -> tuple[CropBox, ...]:
    """Return the crops that an image is evaluated on: 1 is the centre, 10 are those of `ten_crop_boxes`."""
    if crops not in (1, 10):
        raise UsageError(f"crops is {crops}; it must be 1 or 10")
    return ((*center_box(side, crop), False),) if crops == 1 else ten_crop_boxes(side, crop)


class BandViews:
    """Cuts and standardises batches of stored bands as training does, but always at the same places."""

    def __init__(
        self,
        store: Store,
        bands: tuple[int, ...],
        crop: int,
        crops: int,
        device: torch.device,
        *,
        mirrored: bool = False,
    ) -> None:
        """Prepare for a group of bands and 1 or 10 crops of `crop` band pixels a side.

        With `mirrored` the mirror image of a single crop is a second view; of ten crops half are mirror images anyway.
        A group whose mirror image is no function of its stored bands is a `UsageError`.
        """
        self._boxes = evaluation_boxes(store.side, crop, crops)
        if mirrored and crops == 1:
            self._boxes += tuple((top, left, True) for top, left, _ in self._boxes)
        if len(self._boxes) > 1 and (reason := why_no_mirror(store, bands)):
            raise UsageError(
                f"{reason}; use one crop, take them from the source or a full store with --crops-from, split with "
                "dct2d or hadamard, or train one branch on all bands"
            )
        self._device = device
        self._cutter = cutter_of(store, bands, store.side, crop)

    def __call__(self, images: Tensor) -> Iterator[Tensor]:
        """Yield the standardised views of stored bands (B, nb * C, side, side) as float32 (B, nb * C, crop, crop)."""
        images = to_device(images, self._device)
        for top, left, mirrored in self._boxes:
            yield self._cutter.box(images, top, left, mirrored)


class CanvasViews:
    """The views of `BandViews`, cut from the whole image; of unmirrored crops they are the same bits.

    A mirrored crop of a uint8 store differs by one stored step where a value lay halfway between two: the store rounded
    it before it was mirrored, this class rounds it afterwards.
    """

    def __init__(self, store: Store, bands: tuple[int, ...], crop: int, crops: int, device: torch.device) -> None:
        """Prepare for one group of bands, as `BandViews`."""
        self._boxes = evaluation_boxes(store.side, crop, crops)
        self._stride, self._side, self._device = store.config.stride, crop * store.config.stride, device
        self._split = BandSplit(store.transform, bands, storage=store.config.storage, channels=store.channels).to(
            device
        )
        self._stored_as = torch.uint8 if store.config.storage == "uint8" else torch.float16
        self._cutter = cutter_of(store, bands, crop, crop)

    def __call__(self, images: Tensor) -> Iterator[Tensor]:
        """Yield the views of canvases, uint8 (B, C, canvas, canvas), as float32 (B, nb * C, crop, crop)."""
        images = to_device(images, self._device)
        for top, left, mirrored in self._boxes:
            rows = slice(self._stride * top, self._stride * top + self._side)
            columns = slice(self._stride * left, self._stride * left + self._side)
            view = images[:, :, rows, columns]
            stored = self._split(view.flip(3) if mirrored else view).to(self._stored_as)
            yield self._cutter.center(stored.contiguous(memory_format=torch.channels_last))


def cutter_of(store: Store, bands: tuple[int, ...], side: int, crop: int) -> BandCutter:
    """Return what cuts and standardises, one for both ways: not even the last bit depends on where pixels come from."""
    standardiser = BandStandardiser(store.transform, bands, store.mean(bands), store.std(bands))
    return BandCutter(standardiser, side=side, crop_side=crop)


def why_no_mirror(store: Store, bands: tuple[int, ...]) -> str | None:
    """Say why the mirror image of a group of stored bands is no function of these bands; None where it is one."""
    if store.transform.invertible and flip_group(store.transform, bands, "horizontal") is not None:
        return None
    return (
        f"ten crops need mirror images, and that of bands {list(bands)} under {store.config.transform} is no function "
        "of these bands alone"
    )


def _no_source() -> Source:
    raise UsageError("none was given")


@dataclass(frozen=True, slots=True)
class CropsFrom:
    """Where the caller wants the pixels of the crops to come from."""

    origin: WantedOrigin = "auto"
    """`auto` takes the bands where no mirror image is needed or they have exact ones, else the store where it holds all
    bands, else the source."""
    open_source: Callable[[], Source] = _no_source
    """Called where the source is needed; raises UsageError where there is none."""


AUTO = CropsFrom()


@dataclass(frozen=True, slots=True)
class OpenedViews:
    """The samples of one split, and what turns a batch of them into views."""

    origin: Origin
    """Where the pixels come from."""
    stream: Samples
    views: Views


def open_views(
    store: Store,
    bands: tuple[int, ...],
    split: str,
    *,
    crop: int,
    crops: int,
    batch_size: int,
    device: torch.device,
    wanted: CropsFrom = AUTO,
    mirrored: bool = False,
) -> OpenedViews:
    """Open what a branch is evaluated on; sizes and `mirrored`, which is for the bands only, are as for `BandViews`.

    Crops that cannot come from where they are wanted or, on `auto`, from anywhere, are a `UsageError` that says why; a
    source that is not that of the store is an `IncompatibleError`.
    """
    origin = _choose(store, bands, crops) if wanted.origin == "auto" else wanted.origin
    if origin == "bands":
        views = BandViews(store, bands, crop, crops, device, mirrored=mirrored)
        return OpenedViews(origin, BatchStream(store, bands, split, batch_size, cache="none"), views)
    assert not mirrored
    # Here, because one crop of the bands, which most evaluations are, needs nothing of it.
    from bandwise.store.reading.canvases import SourceCanvases, StoreCanvases, why_not_rebuilt

    views = CanvasViews(store, bands, crop, crops, device)
    if origin == "store":
        if reason := why_not_rebuilt(store):
            raise UsageError(f"the images cannot be rebuilt: {reason}; take the crops from the source")
        return OpenedViews(origin, StoreCanvases(open_store(store.path), split, batch_size), views)
    try:
        source = wanted.open_source()
    except UsageError as error:
        if wanted.origin == "source":
            raise
        raise UsageError(
            f"{why_no_mirror(store, bands)}; the images cannot be rebuilt: {why_not_rebuilt(store)}; and the source "
            f"cannot be read: {error}. Use one crop, or evaluate where all bands or the images are"
        ) from error
    return OpenedViews(origin, SourceCanvases(store, source, split, batch_size), views)


def _choose(store: Store, bands: tuple[int, ...], crops: int) -> Origin:
    if crops == 1 or why_no_mirror(store, bands) is None:
        return "bands"
    from bandwise.store.reading.canvases import why_not_rebuilt

    return "store" if why_not_rebuilt(store) is None else "source"
