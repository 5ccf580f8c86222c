"""The crops of stored bands that a network is evaluated on: the centre, or ten."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bandwise.bands.algebra import flip_group
from bandwise.bands.quantize import offsets
from bandwise.errors import UsageError
from bandwise.evaluation.crops import CropBox, center_box, ten_crop_boxes
from bandwise.store.format import Store


class Views:
    """Cuts and standardises batches of stored bands."""

    def __init__(
        self, store: Store, bands: tuple[int, ...], crop: int, crops: int, device: torch.device | str = "cpu"
    ) -> None:
        """Prepare for one group of bands.

        Args:
            store: opened with at least these bands.
            bands: the group, in the order of the channels.
            crop: side of the crop in pixels of a band.
            crops: 1 for the centre, 10 for corners and centre with their mirrors.
            device: where the views are computed.

        Raises:
            UsageError: another number of crops, a crop that does not fit, or a group whose mirror image is no function
                of its stored bands.
        """
        if crops not in (1, 10):
            raise UsageError(f"crops is {crops}; it must be 1 or 10")
        top, left = center_box(store.side, crop)
        self._boxes: tuple[CropBox, ...] = ((top, left, False),) if crops == 1 else ten_crop_boxes(store.side, crop)
        self._crop = crop
        self._device = torch.device(device)
        self._shape = (len(bands), store.channels)
        self._mean = self._column(store.mean(bands))
        std = store.std(bands)
        self._std = self._column(std + (std == 0))
        zero = 0 * offsets(store.transform) if store.config.storage == "float16" else offsets(store.transform)
        self._zero = torch.tensor(zero[list(bands)], dtype=torch.float32, device=self._device).view(-1, 1, 1, 1)
        self._mirror = None if crops == 1 else self._mirror_matrix(store, bands)

    def __call__(self, images: Tensor) -> Iterator[Tensor]:
        """Yield the standardised views of stored bands (B, nb * C, side, side) as float32 (B, nb * C, crop, crop)."""
        images = images.to(self._device)
        for top, left, mirrored in self._boxes:
            view = images[..., top : top + self._crop, left : left + self._crop].float()
            yield (self._mirrored(view) - self._mean) / self._std if mirrored else (view - self._mean) / self._std

    def _column(self, values: object) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=self._device).reshape(-1, 1, 1)

    def _mirrored(self, view: Tensor) -> Tensor:
        assert self._mirror is not None
        # All bands of a store share one scale, so the matrix for coefficients serves for stored steps about their zero.
        parted = view.flip(-1).unflatten(1, self._shape) - self._zero
        return (torch.einsum("ij,bjchw->bichw", self._mirror, parted) + self._zero).flatten(1, 2)

    def _mirror_matrix(self, store: Store, bands: tuple[int, ...]) -> Tensor:
        matrix = flip_group(store.transform, bands, "horizontal")
        if matrix is None:
            raise UsageError(
                f"ten crops need mirrored images, and the mirror image of bands {list(bands)} of {store.config.transform} "
                "is no function of these bands alone; use one crop, split with dct2d or hadamard, "
                "or train a branch on all bands"
            )
        return torch.tensor(matrix, dtype=torch.float32, device=self._device)
