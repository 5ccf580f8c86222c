"""One training image from its source to the bytes of a crop: decoded, augmented, not yet split."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from bandwise.augment.transforms import PictureAugment
from bandwise.config import AugmentConfig, SplitConfig
from bandwise.errors import BandwiseError, IncompatibleError
from bandwise.sources.decoding.decode import BadImage, decode, to_canvas
from bandwise.sources.source import Source


@dataclass(frozen=True, slots=True)
class Draw:
    """One image to read, and what was drawn for it."""

    path: bytes
    """Name inside the source."""
    state: int
    """Seed of its crop and colours, 0 to 2^64 - 1."""
    horizontal: bool
    vertical: bool


@dataclass(frozen=True, slots=True)
class PictureRecipe:
    """What turns a draw into pixels; small, and goes to worker processes."""

    source: Source
    split: SplitConfig
    augment: AugmentConfig
    crop: int
    """Side of a training crop in pixels, a multiple of the stride, at most the canvas."""


class PictureReader:
    """Reads and augments images, here or in a worker process."""

    def __init__(self, recipe: PictureRecipe) -> None:
        """Prepare the transforms.

        Raises:
            UsageError: `aa` is no policy.
        """
        self._recipe = recipe
        self._augment = PictureAugment(recipe.augment, recipe.crop)

    def read(self, draw: Draw, out: np.ndarray) -> None:
        """Write the pixels of one image to `out`, uint8 (crop, crop, C).

        Raises:
            IncompatibleError: it could be read when the store was made, and cannot now.
            BandwiseError: the storage or a transform fails. The message names the image.
        """
        try:
            picture = self._picture(draw)
            picture = self._augment(picture, draw.state, horizontal=draw.horizontal, vertical=draw.vertical)
        except (BandwiseError, MemoryError):
            raise
        except BadImage as error:
            raise IncompatibleError(
                f"the training image {_shown(draw)} was readable when the store was made and is not any more: {error}; "
                "put the old file back, or split again elsewhere"
            ) from error
        except Exception as error:
            raise BandwiseError(
                f"the training image {_shown(draw)} cannot be used: {type(error).__name__}: {error}"
            ) from error
        pixels = np.asarray(picture)
        out[...] = pixels[:, :, None] if pixels.ndim == 2 else pixels

    def _picture(self, draw: Draw) -> Image.Image:
        """Return the whole picture, or the centre of its canvas where the crop is not random."""
        recipe = self._recipe
        picture, _ = decode(
            recipe.source.read(draw.path),
            channels=recipe.source.channels,
            background=recipe.split.background,
            exif=recipe.split.exif,
            max_pixels=recipe.split.max_pixels,
            name=draw.path,
        )
        if not self._augment.resizes:
            # As `BandAugment` cuts the centre of a stored record, so that both give the same pixels.
            stride = recipe.split.stride
            start = (recipe.split.canvas // stride - recipe.crop // stride) // 2 * stride
            picture = to_canvas(picture, recipe.split.canvas)[start : start + recipe.crop, start : start + recipe.crop]
        if isinstance(picture, np.ndarray):
            picture = Image.fromarray(np.ascontiguousarray(picture[:, :, 0] if picture.shape[2] == 1 else picture))
        return picture


def _shown(draw: Draw) -> str:
    return repr(draw.path.decode("utf-8", "backslashreplace"))
