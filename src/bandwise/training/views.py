"""The crops of stored bands that a network is evaluated on: the centre, or ten."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bandwise.augment.bands import BandCutter
from bandwise.augment.ondevice import to_device
from bandwise.augment.standardise import BandStandardiser
from bandwise.bands.flips import flip_group
from bandwise.errors import UsageError
from bandwise.evaluation.crops import evaluation_boxes
from bandwise.store.reading.store import Store


class Views:
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
        """Prepare for one group of bands.

        Args:
            store: opened with at least these bands.
            bands: the group, in the order of the channels.
            crop: side of the crop in pixels of a band.
            crops: 1 for the centre, 10 for corners and centre with their mirrors.
            device: where the views are computed.
            mirrored: the mirror image of a single crop is a second view; of ten crops half are mirror images anyway.

        Raises:
            UsageError: another number of crops, a crop that does not fit, or a group whose mirror image is no function
                of its stored bands.
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
        self._cutter = BandCutter(
            BandStandardiser(store.transform, bands, store.mean(bands), store.std(bands)),
            side=store.side,
            crop_side=crop,
        )

    def __call__(self, images: Tensor) -> Iterator[Tensor]:
        """Yield the standardised views of stored bands (B, nb * C, side, side) as float32 (B, nb * C, crop, crop)."""
        images = to_device(images, self._device)
        for top, left, mirrored in self._boxes:
            yield self._cutter.box(images, top, left, mirrored)


def why_no_mirror(store: Store, bands: tuple[int, ...]) -> str | None:
    """Say why the mirror image of a group of stored bands is no function of these bands; None where it is one."""
    if store.transform.invertible and flip_group(store.transform, bands, "horizontal") is not None:
        return None
    return (
        f"ten crops need mirror images, and that of bands {list(bands)} under {store.config.transform} is no function "
        "of these bands alone"
    )
