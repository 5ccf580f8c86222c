"""The chain that the method's first code used to make sub-datasets: one image file for each band of each picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.fourier import fft_form
from benchmarks.pictures import Photograph, canvases


def write_band_images(pictures: Sequence[Photograph], stride: int, canvas: int, root: Path) -> None:
    """Decode, resize, turn into a tensor, transform by FFT and write PNG files, picture by picture."""
    folders = [root / f"band-{band:02d}" for band in range(stride * stride)]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    for place, picture in enumerate(pictures):
        pixels = canvases([picture], canvas)[0]
        tensor = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
        bands = fft_form(tensor[None], stride)
        for folder, band in zip(folders, bands[:, 0], strict=True):
            Image.fromarray(np.ascontiguousarray(band.permute(1, 2, 0).numpy())).save(folder / f"{place:05d}.png")
