"""Cropping and mirroring a batch, each sample at its own place: one gather of whole rows, on any device."""

import torch
from torch import Tensor

from bandwise.augment.ondevice import to_device


def crop_and_mirror(
    images: Tensor, top: Tensor, left: Tensor, side: int, *, horizontal: Tensor, vertical: Tensor
) -> Tensor:
    """Cut a square out of every sample, and mirror the squares that are marked.

    Args:
        images: (B, channels, H, W), any type; fastest where the channels lie innermost in memory (channels_last).
        top: int64 (B,), first row of each square, 0 to H - side.
        left: int64 (B,), first column of each square, 0 to W - side.
        side: rows and columns of a square.
        horizontal: bool (B,), whether to exchange left and right.
        vertical: bool (B,), whether to exchange top and bottom.

    Returns:
        A new tensor (B, side, side, channels) of the same type.
    """
    device = images.device
    records = images.permute(0, 2, 3, 1).contiguous()
    batch, height, width, channels = records.shape
    assert side <= min(height, width), (side, height, width)
    if batch == 0:
        return records.new_empty((0, side, side, channels))
    down = torch.arange(side)
    rows = top[:, None] + torch.where(vertical[:, None], side - 1 - down, down)
    starts = ((torch.arange(batch)[:, None] * height + rows) * width + left[:, None]) * channels
    # Every run of `length` values in memory is a row of this view; rows overlap, none is copied until it is chosen.
    length = side * channels
    runs = records.view(-1).as_strided((records.numel() - length + 1, length), (1, 1))
    squares = runs.index_select(0, to_device(starts.view(-1), device)).view(batch, side, side, channels)
    mirrored = to_device(horizontal.nonzero().view(-1), device)
    if len(mirrored):
        squares[mirrored] = squares[mirrored].flip(2)
    return squares
