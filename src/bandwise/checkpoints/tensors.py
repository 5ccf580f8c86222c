"""Tensors on disk and back, strictly: safetensors files with nothing twice, missing, misshaped or not finite.

Also a plain-JSON form for nested states (an optimiser's) whose tensors go to such a file.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from bandwise.errors import BandwiseError, CorruptionError, IncompatibleError
from bandwise.files.arrays import tensor_header
from bandwise.files.regular import read_bytes

_NAMED_IN_ERRORS = 10
_SCALARS = (bool, int, float, str, type(None))


class NotFiniteError(BandwiseError):
    """Weights hold NaN or infinity and were not saved."""


def to_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Serialise tensors of any device as one safetensors file; the bytes depend on names and values only."""
    seen: set[int] = set()
    host: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        flat = tensor.detach().to("cpu").contiguous()
        # The format has no shared storage; tied weights are written out twice.
        address = flat.untyped_storage().data_ptr()
        host[name] = flat.clone() if address in seen else flat
        seen.add(address)
    return save(host)


def from_file(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file into memory; one that is missing or damaged is refused, as by `from_bytes`."""
    return from_bytes(read_bytes(path), path)


def from_bytes(content: bytes, path: Path) -> dict[str, Tensor]:
    """Undo `to_bytes`; `path` says in messages where the bytes come from."""
    tensor_header(content, path)
    try:
        return load(content)
    except (SafetensorError, ValueError, RecursionError) as error:
        raise CorruptionError(f"{path} is damaged: {error}") from error


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the floating-point tensors that hold NaN or infinity."""
    return [name for name, tensor in tensors.items() if tensor.is_floating_point() and not torch.isfinite(tensor).all()]


def require_fit(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Check that tensors from a file are exactly the weights of a network, which may be on the meta device."""
    expected = module.state_dict()
    both = expected.keys() & tensors.keys()
    problems = {
        "missing": expected.keys() - tensors.keys(),
        "unknown": tensors.keys() - expected.keys(),
        "of another shape": {name for name in both if expected[name].shape != tensors[name].shape},
        "of another type": {name for name in both if expected[name].dtype != tensors[name].dtype},
    }
    found = [f"{what}: {listed(names)}" for what, names in problems.items() if names]
    if found:
        raise IncompatibleError(f"{source} does not fit the network {type(module).__name__}: {'; '.join(found)}")


def load_weights(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy tensors from a file into a network: all of them, nothing else (`require_fit`), and all finite."""
    require_fit(module, tensors, source)
    if bad := not_finite(tensors):
        raise CorruptionError(f"{source} holds values that are not finite: {listed(bad)}")
    module.load_state_dict(dict(tensors), strict=True)


def listed(names: Iterable[str]) -> str:
    """Join the first ten names in order and say how many more there are."""
    ordered = sorted(names)
    more = len(ordered) - _NAMED_IN_ERRORS
    return ", ".join(ordered[:_NAMED_IN_ERRORS]) + (f" and {more} more" if more > 0 else "")


def pack(tree: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Turn a nested state into plain JSON types; its tensors are put into `tensors` under dotted names.

    A scalar stands for itself; everything else is an object with the one key `tensor`, `dict`, `list` or `tuple`.
    """
    if isinstance(tree, Tensor):
        assert name not in tensors
        tensors[name] = tree
        return {"tensor": name}
    if isinstance(tree, dict):
        return {"dict": [[key, pack(value, f"{name}.{key}", tensors)] for key, value in tree.items()]}
    if isinstance(tree, list | tuple):
        kind = "list" if isinstance(tree, list) else "tuple"
        return {kind: [pack(value, f"{name}.{index}", tensors) for index, value in enumerate(tree)]}
    if isinstance(tree, _SCALARS):
        return tree
    raise TypeError(f"{name} is a {type(tree).__name__}, which cannot be saved")


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo `pack`; ValueError or KeyError for what it did not make."""
    if isinstance(packed, _SCALARS):
        return packed
    if isinstance(packed, dict) and len(packed) == 1:
        [(kind, content)] = packed.items()
        if kind == "tensor":
            return tensors[content]
        if kind == "dict":
            return {key: unpack(value, tensors) for key, value in content}
        if kind in ("list", "tuple"):
            values = [unpack(value, tensors) for value in content]
            return values if kind == "list" else tuple(values)
    raise ValueError(f"{str(packed)[:80]} is no packed state")
