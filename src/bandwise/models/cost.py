"""What a network costs: parameters, multiply-accumulates and the activations that training keeps."""

import copy
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

MIB = 1 << 20


class Counts(TypedDict):
    """Sizes of a network."""

    parameters: int
    buffers: int
    mib_parameters: float
    mib_with_buffers: float


def counts(model: nn.Module) -> Counts:
    """Count the values of a network, a shared tensor once, and their bytes over 2^20; works on the meta device.

    The buffers of our networks are the running statistics of batch normalisation and its step counters.
    """
    parameters, buffers = list(model.parameters()), list(model.buffers())
    parameter_bytes = sum(tensor.numel() * tensor.element_size() for tensor in parameters)
    buffer_bytes = sum(tensor.numel() * tensor.element_size() for tensor in buffers)
    return {
        "parameters": sum(tensor.numel() for tensor in parameters),
        "buffers": sum(tensor.numel() for tensor in buffers),
        "mib_parameters": parameter_bytes / MIB,
        "mib_with_buffers": (parameter_bytes + buffer_bytes) / MIB,
    }


def macs(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Count the multiply-accumulates of one forward pass.

    Counted: convolutions, linear layers, matrix products and attention, each output value times its inner length;
    padding counts as if it were data, as the kernels compute it. Not counted: biases, normalisation, activations,
    pools, additions. The figure is half of what `torch.utils.flop_counter` gives. Nothing is computed: a copy of the
    network runs on the meta device. `shape` is (batch, channels, height, width); a batch of 1 gives the figure of an
    image.
    """
    network = _without_norms(_on_meta(model).eval())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(shape, device="meta"))
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


def saved_activation_bytes(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Measure the bytes that a training step in float32 keeps for the backward pass.

    Every storage that autograd saves counts once, as PyTorch saves it; parameters and buffers do not count, the input
    images do. Workspace, gradients and the allocator's rounding come on top. A copy runs on the meta device.

    `shape` is (batch, channels, height, width) of the images of the step, batch at least 2. Divide by the batch for the
    bytes of an image: the statistics that batch normalisation saves are shared and hardly count.
    """
    network = _on_meta(model).train()
    # Alive tensors keep their storages distinct; a freed storage could hand its identity to the next one.
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(torch.empty(shape, device="meta"))
    own = {_storage(tensor) for tensor in (*network.parameters(), *network.buffers())}
    sizes = {_storage(tensor): tensor.untyped_storage().nbytes() for tensor in saved}
    del output
    return sum(size for storage, size in sizes.items() if storage not in own)


def _on_meta(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).to("meta")


def _without_norms(network: nn.Module) -> nn.Module:
    """Take batch normalisation out of a network: it changes no size, and on the meta device it takes most time."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.register_module(name, nn.Identity())
    return network


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata
