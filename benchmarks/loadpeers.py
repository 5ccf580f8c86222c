"""What others do to get batches: JPEG files with Pillow and timm, a tar file of PNGs, a raw array in the page cache."""

import importlib
import importlib.util
import io
import random
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bandwise.compat import ensure_torchvision
from bandwise.sources.folder import FolderSource

CROP = 224
_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
_STD = np.array([0.229, 0.224, 0.225], np.float32) * 255


def image_folder(source: FolderSource, batch_size: int) -> Callable[[], int]:
    """Return an epoch over JPEG files: Pillow, timm's random resized crop to 224 and flip, tensor, normalise, stack.

    timm's colour jitter is switched off, so the peer does not pay for what our side does not do.
    """
    ensure_torchvision()
    from timm.data.transforms_factory import create_transform

    made: Any = create_transform(CROP, is_training=True, color_jitter=0.0, interpolation="bilinear")
    paths = [source.root / entry.path.decode() for entry in source.entries()]

    def one(path: Path) -> Tensor:
        with Image.open(path) as picture:
            return made(picture.convert("RGB"))

    def epoch() -> int:
        random.shuffle(paths)
        for start in range(0, len(paths), batch_size):
            torch.stack([one(path) for path in paths[start : start + batch_size]])
        return len(paths)

    return epoch


def write_tar(records: NDArray[np.uint8], labels: NDArray[np.int32], path: Path) -> None:
    """Write records (rows, side, side, 3) as a WebDataset tar file: a PNG and a class number each."""
    with tarfile.open(path, "w") as tar:
        for row, (record, label) in enumerate(zip(records, labels, strict=True)):
            encoded = io.BytesIO()
            Image.fromarray(record).save(encoded, "PNG")
            for suffix, content in (("png", encoded.getvalue()), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{row:06d}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def tar_loop(path: Path, crop: int, batch_size: int) -> Callable[[], int]:
    """Return an epoch over a tar of PNGs in plain Python: less work for each sample than any data-loading library."""

    def samples() -> Iterator[NDArray[np.float32]]:
        with tarfile.open(path, "r|") as tar:
            for member in tar:
                opened = tar.extractfile(member)
                assert opened is not None
                content = opened.read()
                if member.name.endswith(".png"):
                    with Image.open(io.BytesIO(content)) as picture:
                        yield _augmented(np.asarray(picture), crop)

    return lambda: _batched(samples(), batch_size)


def webdataset_loop(path: Path, crop: int, batch_size: int) -> Callable[[], int] | None:
    """Return an epoch with the `webdataset` package, with its shuffle buffer; None where it is not installed."""
    if importlib.util.find_spec("webdataset") is None:
        return None
    webdataset: Any = importlib.import_module("webdataset")

    def epoch() -> int:
        samples = (
            webdataset.WebDataset(str(path), shardshuffle=False).shuffle(1000).decode("rgb8").to_tuple("png", "cls")
        )
        return _batched((_augmented(pixels, crop) for pixels, _ in samples), batch_size)

    return epoch


def memory_map(
    path: Path, shape: Sequence[int], batch_size: int, use: Callable[[Tensor, NDArray], object]
) -> Callable[[], int]:
    """Return an epoch over a raw uint8 array in a file: a random gather into memory that is allocated once.

    Args:
        path: the file.
        shape: (rows, side, side, channels).
        batch_size: samples a batch.
        use: what is done with each batch (B, channels, side, side) and its rows.
    """
    records = torch.from_numpy(np.memmap(path, np.uint8, "r+", shape=tuple(shape))).view(shape[0], -1)
    buffer = torch.empty((batch_size, *shape[1:]), dtype=torch.uint8)
    flat, images = buffer.view(batch_size, -1), buffer.permute(0, 3, 1, 2)

    def epoch() -> int:
        order = torch.randperm(shape[0])
        for start in range(0, shape[0] - batch_size + 1, batch_size):
            rows = order[start : start + batch_size]
            torch.index_select(records, 0, rows, out=flat)
            use(images, rows.numpy())
        return shape[0]

    return epoch


def _augmented(pixels: NDArray[np.uint8], crop: int) -> NDArray[np.float32]:
    room = pixels.shape[0] - crop + 1
    top, left = random.randrange(room), random.randrange(room)  # noqa: S311
    cut = pixels[top : top + crop, left : left + crop]
    if random.random() < 0.5:  # noqa: S311
        cut = cut[:, ::-1]
    return ((cut - _MEAN) / _STD).transpose(2, 0, 1)


def _batched(samples: Iterator[NDArray[np.float32]], batch_size: int) -> int:
    held: list[NDArray[np.float32]] = []
    count = 0
    for sample in samples:
        held.append(sample)
        count += 1
        if len(held) == batch_size:
            torch.from_numpy(np.stack(held))
            held = []
    return count
