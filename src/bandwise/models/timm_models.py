"""Any classifier of timm, with the channels and the size of a branch, refused early where it cannot take them."""

import contextlib
import difflib
from typing import Any

import torch
from torch import nn

from bandwise.errors import UsageError

# What models of timm were seen to raise, in their constructors or forward passes, for a size that does not fit them.
_REFUSALS = (RuntimeError, ValueError, AssertionError, TypeError, IndexError, ZeroDivisionError)


def create_timm_model(
    name: str, *, num_classes: int, in_channels: int, input_size: int, drop_path: float = 0.0
) -> nn.Module:
    """Build a model of timm without pretrained weights, and check that it takes the size.

    A model that has an `img_size` (transformers) is built for `input_size`. The check is one blank image through the
    model, on the device that it was built on (nothing is computed on the meta device).

    Args:
        name: timm's name, for example `convnext_atto`.
        num_classes: number of logits.
        in_channels: channels of an image.
        input_size: side of an image in pixels.
        drop_path: probability of skipping a block in training, as timm's `drop_path_rate`.

    Returns:
        The model in training mode.

    Raises:
        UsageError: timm has no such model, it needs weights from elsewhere, it does not take the channels or the
            size, or it has no blocks to skip.
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
