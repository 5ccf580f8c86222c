"""Weights to start from: a safetensors file with the state of the same network, of ours or from elsewhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bandwise.checkpoints.tensors import from_file, load_weights
from bandwise.config import NetworkConfig
from bandwise.errors import IncompatibleError, UsageError
from bandwise.files.regular import sha256_file
from bandwise.progress import say

_COLOURS = (1, 3)


@dataclass(frozen=True, slots=True)
class InitialCheckpoint:
    """A file of weights, known by its content: it may be moved or renamed between two calls."""

    path: Path
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return name and hash, which say where a branch started from."""
        return {"name": self.path.name, "sha256": self.sha256}


def find_initial(config: NetworkConfig) -> InitialCheckpoint | None:
    """Return the file to start from; None for a start from scratch.

    Raises:
        UsageError: there is no such file.
    """
    if not config.initial_checkpoint:
        return None
    path = Path(config.initial_checkpoint).expanduser()
    if not path.is_file():
        raise UsageError(f"initial_checkpoint is {config.initial_checkpoint!r}, which is no file; give its path")
    return InitialCheckpoint(path, sha256_file(path))


def require_same_start(saved: dict[str, Any] | None, now: dict[str, Any] | None, where: str) -> None:
    """Refuse to continue a branch that started from other weights.

    Args:
        saved: name and SHA-256 of the weights that it started from, or None for a start from scratch.
        now: those asked for, likewise.
        where: the branch folder, for the message.

    Raises:
        IncompatibleError: the contents differ.
    """
    before, after = (start["sha256"] if start else "" for start in (saved, now))
    if before != after:
        first, second = (f"weights of SHA-256 {each[:16]}..." if each else "scratch" for each in (before, after))
        raise IncompatibleError(
            f"{where} was started from {first}, and would now be from {second}; give the same weights to continue it "
            "(the file or branch folder may have another place and name), or another --out"
        )


def load_initial(
    network: nn.Module, initial: InitialCheckpoint, *, num_classes: int, bands: int, channels: int
) -> None:
    """Copy the weights of a file into a new network.

    Every tensor must have its place and every place its tensor, except for two layers:

    - The first convolution takes `bands * channels` inputs. Filters of as many are kept. Filters of 1 or 3 colours are
      adapted by `adapt_filters`.
    - The last linear layer is kept where its number of classes is that of the store, else it stays as newly drawn.

    Numbers of another floating type are converted.

    Args:
        network: as newly built, on the CPU.
        initial: the file.
        num_classes: classes of the store.
        bands: bands of the branch.
        channels: colours of a band.

    Raises:
        IncompatibleError: the file does not fit the network; the names are listed.
        CorruptionError: the file is damaged, or holds values that are not finite.
    """
    tensors = from_file(initial.path)
    expected = network.state_dict()
    tensors = {
        name: value.to(expected[name].dtype)
        if name in expected and value.is_floating_point() and expected[name].is_floating_point()
        else value
        for name, value in tensors.items()
    }
    notes = []
    first = name_of_first(network, nn.Conv2d)
    if first in tensors and first in expected and _adaptable(tensors[first], expected[first], bands * channels):
        notes.append(f"its filters of {tensors[first].shape[1]} inputs are adapted to {bands} bands of {channels}")
        tensors[first] = adapt_filters(tensors[first], bands=bands, channels=channels)
    classifier = _name_of_last(network, nn.Linear)
    if classifier in tensors and classifier in expected:
        found = tensors[classifier].shape
        if len(found) == 2 and found[0] != num_classes and found[1:] == expected[classifier].shape[1:]:
            notes.append(f"its classifier has {found[0]} classes, so one of {num_classes} is newly drawn")
            for name in (classifier, classifier.removesuffix("weight") + "bias"):
                if name in tensors and name in expected:
                    tensors[name] = expected[name]
    load_weights(network, tensors, initial.path)
    say(f"starting from {initial.path.name}" + "".join(f"; {note}" for note in notes))


def adapt_filters(filters: Tensor, *, bands: int, channels: int) -> Tensor:
    """Turn the first filters of a network for pictures into those for a group of bands.

    - Colours: where the filters have as many as a band, they are kept. Otherwise their sum over the colours is spread
      evenly over `channels`, which keeps the response to a grey picture.
    - Bands: the same filters for each band, divided by the square root of the number of bands. Every input has mean 0
      and variance 1, and the bands of an orthonormal transform are nearly uncorrelated, so the response keeps its
      variance, which the batch statistics and the next layers of the file expect. (Division by the number itself, as
      for copies of one picture, would shrink it by the root of that number.)

    Args:
        filters: (outputs, 1 or 3, h, w).
        bands: bands of the branch.
        channels: colours of a band.

    Returns:
        (outputs, bands * channels, h, w), band-major.
    """
    if filters.shape[1] != channels:
        filters = filters.sum(1, keepdim=True).repeat(1, channels, 1, 1) / channels
    return filters.repeat(1, bands, 1, 1) / bands**0.5


def _adaptable(filters: Tensor, expected: Tensor, inputs: int) -> bool:
    same = filters.ndim == 4 and filters.shape[0] == expected.shape[0] and filters.shape[2:] == expected.shape[2:]
    return same and expected.shape[1] == inputs != filters.shape[1] and filters.shape[1] in _COLOURS


def name_of_first(network: nn.Module, kind: type[nn.Module]) -> str:
    """Return the name of the weight of the first layer of a kind; empty where there is none."""
    return next((f"{name}.weight" for name, layer in network.named_modules() if isinstance(layer, kind)), "")


def _name_of_last(network: nn.Module, kind: type[nn.Module]) -> str:
    return next(
        (f"{name}.weight" for name, layer in reversed([*network.named_modules()]) if isinstance(layer, kind)), ""
    )
