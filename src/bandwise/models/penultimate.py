"""The vector before the logits, of any classifier that ends in one linear layer."""

import torch
from torch import Tensor, nn

from bandwise.errors import UsageError


def logits_and_features(network: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Run a network once and return its logits (B, K) and what its classifier, the last linear layer, was given.

    Args:
        network: in the mode and on the device wanted.
        images: (B, C, h, w).

    Returns:
        logits (B, K), features (B, D).

    Raises:
        UsageError: the logits are not what the last linear layer makes of one vector an image.
    """
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
