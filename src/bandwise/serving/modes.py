"""How the networks of an ensemble run: one after the other, several at a time, or stacked into one."""

import copy
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from bandwise.errors import UsageError
from bandwise.machine import usable_cores

Mode = Literal["sequential", "concurrent", "stacked"]
MODES: tuple[Mode, ...] = get_args(Mode)
Use = Callable[[nn.Module, Tensor], tuple[Tensor, ...]]
"""What is done with one network and its images, (B, C, h, w): any tensors, batch first."""


def check_mode(mode: str) -> None:
    """Refuse an unknown mode, with UsageError."""
    if mode not in MODES:
        raise UsageError(f"mode is {mode!r}; it must be one of {', '.join(MODES)}")


def one_after_the_other(
    networks: Iterable[nn.Module], inputs: Iterable[Tensor], use: Use
) -> tuple[tuple[Tensor, ...], ...]:
    """Run every network alone: beyond the weights, memory for one of them is enough."""
    return tuple(use(network, own) for network, own in zip(networks, inputs, strict=True))


def side_by_side(networks: Sequence[nn.Module], inputs: Iterable[Tensor], use: Use) -> tuple[tuple[Tensor, ...], ...]:
    """Run several networks at a time, with the bits of `one_after_the_other`.

    On a CPU as many as there are cores for, with `torch.get_num_threads()` threads each: call
    `torch.set_num_threads(1)` first to give every network a core. On CUDA each has a stream of its own.
    """
    pairs = list(zip(networks, inputs, strict=True))
    device = pairs[0][1].device
    if device.type == "cuda":
        return _in_streams(pairs, use, device)
    workers = min(len(pairs), max(1, usable_cores() // torch.get_num_threads()))
    if workers == 1:
        return one_after_the_other(networks, (own for _, own in pairs), use)
    modes = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def run(pair: tuple[nn.Module, Tensor]) -> tuple[Tensor, ...]:
        # These are kept for each thread by torch, so a new thread starts without them.
        with (
            torch.inference_mode(modes[1]),
            torch.set_grad_enabled(modes[0]),
            torch.autocast("cpu", dtype=autocast[1], enabled=autocast[0]),
        ):
            return use(*pair)

    with ThreadPoolExecutor(workers, thread_name_prefix="branch") as pool:
        return tuple(pool.map(run, pairs))


class StackedNetworks(nn.Module):
    """Networks of one architecture as one: every weight has a leading axis, and each layer runs once for all.

    The results differ from those of the single networks by rounding: the sums of a convolution come in another order.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        """Copy the weights of networks of one architecture into common tensors."""
        super().__init__()
        first = _architecture(networks[0])
        for place, network in enumerate(networks[1:], 1):
            if (other := _architecture(network)) != first:
                different = sorted(set(first.items()) ^ set(other.items()), key=str)[0][0]
                raise UsageError(
                    f"mode 'stacked' needs branches of one architecture; network {place} differs from network 0 in "
                    f"{different!r}; use sequential or concurrent"
                )
        parameters, buffers = stack_module_state(list(networks))
        self._names = list(parameters | buffers)
        for place, name in enumerate(self._names):
            self.register_buffer(f"stacked_{place}", (parameters | buffers)[name].detach().contiguous())
        # In a list, so that it is no part of this module: it has no memory, and `to` must not touch it.
        self._skeleton = [copy.deepcopy(networks[0]).to("meta")]

    def run(self, inputs: Iterable[Tensor], use: Use) -> tuple[tuple[Tensor, ...], ...]:
        """Run all networks; the images of all have one shape."""
        using = _Using(self._skeleton[0], use)
        state = {f"network.{name}": self.get_buffer(f"stacked_{place}") for place, name in enumerate(self._names)}
        # Colours outermost: vmap has no rule for pooling of the other layout and falls back to a slow loop.
        images = torch.stack([own.contiguous() for own in inputs])

        def one(own_state: dict[str, Tensor], own: Tensor) -> tuple[Tensor, ...]:
            return functional_call(using, own_state, (own,))

        try:
            stacked = vmap(one)(state, images)
        except NotImplementedError as error:
            raise UsageError(f"this network cannot be stacked ({error}); use sequential or concurrent") from error
        return tuple(zip(*(values.unbind(0) for values in stacked), strict=True))


class _Using(nn.Module):
    """A network with what is done with it, as one module that `functional_call` can give other weights."""

    def __init__(self, network: nn.Module, use: Use) -> None:
        super().__init__()
        self.network = network
        self._use = use

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self._use(self.network, images)


def _in_streams(
    pairs: Sequence[tuple[nn.Module, Tensor]], use: Use, device: torch.device
) -> tuple[tuple[Tensor, ...], ...]:
    current = torch.cuda.current_stream(device)
    streams = [torch.cuda.Stream(device) for _ in pairs]
    found = []
    for stream, (network, own) in zip(streams, pairs, strict=True):
        stream.wait_stream(current)
        own.record_stream(stream)
        with torch.cuda.stream(stream):
            found.append(use(network, own))
    # Only now: a wait between two of them would make the second one wait for the first.
    for stream, values in zip(streams, found, strict=True):
        current.wait_stream(stream)
        for value in values:
            value.record_stream(current)
    return tuple(found)


def _architecture(network: nn.Module) -> dict[str, str]:
    """Return what has to be equal: every module by its printed settings, every tensor by its shape."""
    modules = {name: f"{type(module)} {module.extra_repr()}" for name, module in network.named_modules()}
    tensors = (*network.named_parameters(), *network.named_buffers())
    return modules | {f"{name} (shape)": f"{tuple(value.shape)} {value.dtype}" for name, value in tensors}
