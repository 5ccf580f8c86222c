"""Every network by name: an explicit table of our own, and `timm:NAME` for any model of timm."""

import difflib
from collections.abc import Callable
from functools import partial
from typing import cast, get_args

from torch import nn

from bandwise.errors import UsageError
from bandwise.models.cost import counts, macs
from bandwise.models.mlp import FullyConnected
from bandwise.models.plain import alexnet, alexnet_sub4, alexnet_sub16, vgg16, vgg16_sub4, vgg16_sub16
from bandwise.models.resnet import BasicBlock, Bottleneck, ResNet, StemName
from bandwise.models.timm_models import create_timm_model

__all__ = ["STEMS", "TIMM_PREFIX", "counts", "create_branch", "macs", "names"]

TIMM_PREFIX = "timm:"
STEMS: tuple[StemName, ...] = get_args(StemName)

# Builders take num_classes, in_channels and input_size; the ResNets also take stem.
_WITHOUT_STEM: dict[str, Callable[..., nn.Module]] = {
    "alexnet": alexnet,
    "alexnet-sub4": alexnet_sub4,
    "alexnet-sub16": alexnet_sub16,
    "fc4": partial(FullyConnected, 4),
    "fc8": partial(FullyConnected, 8),
    "vgg16": vgg16,
    "vgg16-sub4": vgg16_sub4,
    "vgg16-sub16": vgg16_sub16,
}
_WITH_STEM: dict[str, Callable[..., nn.Module]] = {
    # For 14 to 32 px with the dense stem: 12.3 million MACs at 16 px, 49.1 at 32 px, 3 channels.
    "resnet8": partial(ResNet, BasicBlock, (1, 1, 1), (32, 64, 128)),
    "resnet8-narrow": partial(ResNet, BasicBlock, (1, 1, 1), (16, 32, 64)),
    "resnet8-slim": partial(ResNet, BasicBlock, (1, 1, 1), (8, 16, 32)),
    # For CPUs: 55.4 million MACs at 112 px with the stock stem, 207.6 at 224 px, 3 channels.
    "resnet10": partial(ResNet, BasicBlock, (1, 1, 1, 1), (24, 64, 128, 256)),
    "resnet18": partial(ResNet, BasicBlock, (2, 2, 2, 2), (64, 128, 256, 512)),
    "resnet34": partial(ResNet, BasicBlock, (3, 4, 6, 3), (64, 128, 256, 512)),
    "resnet50": partial(ResNet, Bottleneck, (3, 4, 6, 3), (64, 128, 256, 512)),
}


def names() -> tuple[str, ...]:
    """Return the names of our own networks, sorted."""
    return tuple(sorted(_WITHOUT_STEM | _WITH_STEM))


def create_branch(
    model: str, *, num_classes: int, in_channels: int, input_size: int, stem: str = "stock", drop_path: float = 0.0
) -> nn.Module:
    """Build the network of one branch, with weights drawn from torch's global generator.

    Seed that generator before the call (`torch.manual_seed`) for the same weights again. Inside
    `torch.device("meta")` nothing is allocated, which is enough to count.

    Args:
        model: a name of `names()`, or `timm:NAME`.
        num_classes: number of logits, at least 2.
        in_channels: channels of the branch's images: bands of its group times colours.
        input_size: side of the branch's images in pixels: crop divided by stride.
        stem: first layers of a ResNet, see `bandwise.models.resnet.choose_stem`; only `stock` for other networks.
        drop_path: probability of skipping a block in training, for ResNets and models of timm that have it.

    Returns:
        A module from images (B, in_channels, input_size, input_size) float32 to logits (B, num_classes). Our own
        networks also have `features`: images to the vector before the last linear layer.

    Raises:
        UsageError: (a ValueError) unknown name or stem, a number out of range, a size that the network cannot take, or
            drop_path for a network without blocks to skip.
    """
    for key, value, least in (
        ("num_classes", num_classes, 2),
        ("in_channels", in_channels, 1),
        ("input_size", input_size, 1),
    ):
        if value < least:
            raise UsageError(f"{key} of {model} is {value}; it must be at least {least}")
    if stem not in STEMS:
        raise UsageError(f"stem is {stem!r}; it must be one of {', '.join(STEMS)}")
    sizes = {"num_classes": num_classes, "in_channels": in_channels, "input_size": input_size}
    if model in _WITH_STEM:
        return _WITH_STEM[model](**sizes, stem=cast(StemName, stem), drop_path=drop_path)
    if stem != "stock":
        raise UsageError(
            f"{model} has no choice of stem; leave it at stock (given: {stem}), or use one of {', '.join(_WITH_STEM)}"
        )
    if model.startswith(TIMM_PREFIX):
        return create_timm_model(model.removeprefix(TIMM_PREFIX), **sizes, drop_path=drop_path)
    if model not in _WITHOUT_STEM:
        near = difflib.get_close_matches(model, names(), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"there is no network {model!r}; {hint}the networks are {', '.join(names())}, or timm:NAME")
    if drop_path:
        raise UsageError(
            f"{model} has no blocks that could be skipped; leave drop_path at 0 (given: {drop_path:g}), or use one of "
            f"{', '.join(_WITH_STEM)}"
        )
    return _WITHOUT_STEM[model](**sizes)
