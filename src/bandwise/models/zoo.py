"""Every network by name, an explicit table of our own or `timm:NAME` for any model of timm; and its features."""

import contextlib
import difflib
from collections.abc import Callable
from functools import partial
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn

from bandwise.errors import UsageError
from bandwise.models.plain import NETWORKS as PLAIN
from bandwise.models.resnet import BasicBlock, Bottleneck, ResNet, StemName

TIMM_PREFIX = "timm:"
STEMS: tuple[StemName, ...] = get_args(StemName)

# What models of timm were seen to raise, in their constructors or forward passes, for a size that does not fit them.
_REFUSALS = (RuntimeError, ValueError, AssertionError, TypeError, IndexError, ZeroDivisionError)
_RESNETS: dict[str, Callable[..., nn.Module]] = {
    # For 14 to 32 px with the dense stem: 12.3 million MACs at 16 px, 49.1 at 32 px, 3 channels.
    "resnet8": partial(ResNet, BasicBlock, (1, 1, 1), (32, 64, 128)),
    "resnet8-narrow": partial(ResNet, BasicBlock, (1, 1, 1), (16, 32, 64)),
    "resnet8-slim": partial(ResNet, BasicBlock, (1, 1, 1), (8, 16, 32)),
    # For CPUs: 55.4 million MACs at 112 px with the stock stem, 207.6 at 224 px, 3 channels.
    "resnet10": partial(ResNet, BasicBlock, (1, 1, 1, 1), (24, 64, 128, 256)),
    # Half the width: 32.1 million MACs at 160 px with the stock stem.
    "resnet10-slim": partial(ResNet, BasicBlock, (1, 1, 1, 1), (12, 32, 64, 128)),
    "resnet18": partial(ResNet, BasicBlock, (2, 2, 2, 2), (64, 128, 256, 512)),
    "resnet34": partial(ResNet, BasicBlock, (3, 4, 6, 3), (64, 128, 256, 512)),
    "resnet50": partial(ResNet, Bottleneck, (3, 4, 6, 3), (64, 128, 256, 512)),
}


def names() -> tuple[str, ...]:
    """Return the names of our own networks, sorted."""
    return tuple(sorted((*PLAIN, *_RESNETS)))


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
    if model in _RESNETS:
        return _RESNETS[model](**sizes, stem=cast(StemName, stem), drop_path=drop_path)
    if stem != "stock":
        raise UsageError(
            f"{model} has no choice of stem; leave it at stock (given: {stem}), or use one of {', '.join(_RESNETS)}"
        )
    if model.startswith(TIMM_PREFIX):
        return _create_timm_model(model.removeprefix(TIMM_PREFIX), **sizes, drop_path=drop_path)
    if model not in PLAIN:
        near = difflib.get_close_matches(model, names(), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"there is no network {model!r}; {hint}the networks are {', '.join(names())}, or timm:NAME")
    if drop_path:
        raise UsageError(
            f"{model} has no blocks that could be skipped; leave drop_path at 0 (given: {drop_path:g}), or use one of "
            f"{', '.join(_RESNETS)}"
        )
    return PLAIN[model](**sizes)


def _create_timm_model(
    name: str, *, num_classes: int, in_channels: int, input_size: int, drop_path: float = 0.0
) -> nn.Module:
    """Build a model of timm without pretrained weights, and check by one blank image that it takes the size.

    A model that has an `img_size` (transformers) is built for `input_size`.
    """
    import timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them"
        raise UsageError(f"timm {timm.__version__} has no model {name!r}; {hint}")
    size = f"{in_channels}x{input_size}x{input_size}"
    try:
        network = _build(name, drop_path, num_classes=num_classes, in_chans=in_channels, img_size=input_size)
        weight = next(network.parameters())
        with torch.no_grad():
            logits = network.eval()(torch.zeros(1, in_channels, input_size, input_size, device=weight.device))
    except UsageError:
        raise
    except _REFUSALS as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UsageError(
            f"timm:{name} cannot take images of {size}: {reason}; choose another crop or stride, or another model"
        ) from error
    if not isinstance(logits, torch.Tensor) or logits.shape != (1, num_classes):
        raise UsageError(
            f"timm:{name} is no classifier of {num_classes} classes for images of {size}; choose another model"
        )
    return network.train()


def timm_weights(name: str) -> tuple[str, str]:
    """Return the whole name of weights that timm knows, such as `resnet18.a1_in1k`, and their repository on the hub.

    Without a tag it is the one that timm prefers.
    """
    from timm.models import get_pretrained_cfg, list_pretrained

    try:
        found = get_pretrained_cfg(name)
    except RuntimeError:
        found = None
    if found is None or not found.hf_hub_id:
        near = difflib.get_close_matches(name, list_pretrained(), n=3, cutoff=0.5)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_pretrained() lists them"
        raise UsageError(f"timm has no weights {name!r}; {hint}")
    return f"{found.architecture}.{found.tag}", found.hf_hub_id


def _build(name: str, drop_path: float, **sizes: int) -> nn.Module:
    import timm
    from timm.layers import DropPath  # pyright: ignore[reportPrivateImportUsage]

    if not drop_path:
        return _create(name, **sizes)
    # Some models of timm refuse the rate, others read over it: what counts is that there is something to drop.
    with contextlib.suppress(TypeError):
        network = _create(name, **sizes, drop_path_rate=drop_path)
        if any(isinstance(layer, DropPath) and layer.drop_prob for layer in network.modules()):
            return network
    raise UsageError(
        f"timm:{name} of timm {timm.__version__} has no blocks that could be skipped; leave drop_path at 0 "
        f"(given: {drop_path:g}), or choose another model"
    )


def _create(name: str, *, img_size: int, **options: Any) -> nn.Module:
    import timm

    try:
        return timm.create_model(name, img_size=img_size, **options)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
    return timm.create_model(name, **options)


def logits_and_features(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits (B, K) of images and the features (B, D): what the last linear layer was given for them."""
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    name = type(network).__name__
    if not linear:
        raise UsageError(
            f"{name} has no linear layer, so it has no features for a fusion head; use another fusion rule"
        )
    seen: list[Tensor] = []
    handle = linear[-1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        logits = network(images)
    finally:
        handle.remove()
    if len(seen) != 1 or seen[0].ndim != 2 or linear[-1].out_features != logits.shape[1]:
        raise UsageError(
            f"{name} does not end in one linear layer, so it has no features for a fusion head; use another fusion rule"
        )
    return logits, seen[0]


def as_stored(features: Tensor) -> Tensor:
    """Round features to what a file of float16 keeps, as float32; values beyond its range become the largest in it."""
    limit = torch.finfo(torch.float16).max
    return features.float().clamp(-limit, limit).half().float()
