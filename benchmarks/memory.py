"""`python -m benchmarks memory`: what a training step needs, by the formula of `bandwise plan` and by real steps.

The formula is checked on a CPU with small networks, whose tensors can be counted, on an accelerator with large ones.
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bandwise.checkpoints.branch import build_network
from bandwise.config import RunConfig
from bandwise.launch.cost import activation_bytes, branch_cost
from bandwise.recipes.catalog import find_recipe
from bandwise.training.memory import StepMemory, step_memory
from bandwise.training.optim import create_optimizer
from benchmarks.accelerator import memory_figures
from benchmarks.figures import Figure, Options, Reach


def peak_live_bytes(work: Callable[[], object]) -> int:
    """Run some code and return the peak of the bytes that it made and still held.

    Tensors that existed before do not count. Code in other threads is not seen.
    """
    with _Ledger() as ledger:
        work()
    return ledger.peak


class _Ledger(TorchDispatchMode):
    """Sees every operator, also those of the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._alive: dict[int, int] = {}
        self._total = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[Any], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {_storage(each) for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)}
        for each in tree_leaves(result):
            # Views and results in place share memory with an argument, and are no new memory.
            if isinstance(each, Tensor) and _storage(each) not in given:
                self._enter(each)
        return result

    def _enter(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return
        self._alive[key] = size
        self._total += size
        self.peak = max(self.peak, self._total)
        weakref.finalize(storage, self._leave, key)

    def _leave(self, key: int) -> None:
        self._total -= self._alive.pop(key)


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


BASELINE, LEAN = "resnet34", "resnet34-sub4-lean"
_OTHERS = ("resnet34-sub4", "resnet34-sub16")
CLASSES, CHANNELS, BATCH, BUDGET_BYTES = 1000, 3, 512, 32e9
_AGREE = Reach("<=", 0.1)
_EQUAL_BATCH, _CEILING = Reach("<=", 0.33), Reach(">=", 3.9)
_NOTE = f"by the formula of `bandwise plan`, float32: batch {BATCH}, {CLASSES} classes, a device of 32 GB"


@dataclass(frozen=True, slots=True)
class Small:
    """A network whose real steps are quick."""

    name: str
    recipe: str
    batch: int


_SMALL = (Small("resnet8, 16 px", "cifar10-sub4", 64), Small("resnet10, 112 px", "photos-sub4", 8))


def measure(options: Options) -> list[Figure]:
    """Compare recipes by the formula, then the formula with real steps."""
    figures = [*_by_formula(LEAN, _EQUAL_BATCH, _CEILING)]
    for name in () if options.smallest else _OTHERS:
        figures += _by_formula(name, None, None)
    for small in _SMALL[:1] if options.smallest else _SMALL:
        figures += _on_cpu(small)
    large = {name: find_recipe(name).config for name in (BASELINE, *_OTHERS, LEAN, "resnet50")}
    return [*figures, *memory_figures(large, formula, BATCH, BUDGET_BYTES, CLASSES)]


def formula(config: RunConfig, classes: int = CLASSES) -> StepMemory:
    """Return the memory of a step of the first branch."""
    cost = branch_cost(config, 0, channels=CHANNELS, num_classes=classes)
    kept = activation_bytes(config, 0, channels=CHANNELS, num_classes=classes)
    return step_memory(config, parameters=cost.params, buffers=cost.buffers, activations=kept)


def _by_formula(name: str, equal_batch: Reach | None, ceiling: Reach | None) -> list[Figure]:
    whole, branch = (formula(find_recipe(each).config) for each in (BASELINE, name))
    most = {each: memory.batch_ceiling(BUDGET_BYTES) for each, memory in (("whole", whole), ("branch", branch))}
    return [
        Figure(
            f"memory/{name}/peak",
            "GB",
            ours=branch.peak(BATCH) / 1e9,
            peers={BASELINE: whole.peak(BATCH) / 1e9},
            ratio=branch.peak(BATCH) / whole.peak(BATCH),
            ratio_of=f"one branch / {BASELINE}",
            reach=equal_batch,
            note=_NOTE,
        ),
        Figure(
            f"memory/{name}/largest batch",
            "images",
            ours=most["branch"],
            peers={BASELINE: most["whole"]},
            ratio=most["branch"] / most["whole"],
            ratio_of=f"one branch / {BASELINE}",
            reach=ceiling,
            note=_NOTE,
        ),
    ]


def _on_cpu(small: Small) -> list[Figure]:
    """Compare the formula with the tensors that a real step keeps, and with all that is alive at its peak."""
    config = find_recipe(small.recipe).config
    network, optimizer, images, labels = _material(config, small.batch)
    predicted = formula(config, classes=10)
    kept = _kept_for_backward(network, images)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    step()
    states = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    held = sum(value.nbytes for value in (*network.parameters(), *network.buffers(), *states, images))
    # The gradients of the step before are given back at its start.
    peak = held + peak_live_bytes(step)
    model = {"kept": predicted.activations * small.batch, "peak": predicted.peak(small.batch) - predicted.context}
    return [
        Figure(
            f"memory/{small.name}/{name}",
            "MB",
            ours=found / 1e6,
            peers={"formula": model[key] / 1e6},
            ratio=abs(found - model[key]) / model[key],
            ratio_of="difference / formula",
            reach=_AGREE,
            note=f"a real step on a CPU, batch {small.batch} of {small.name}",
        )
        for name, key, found in (("kept for backward", "kept", kept), ("peak of a step", "peak", peak))
    ]


def _material(config: RunConfig, batch: int) -> tuple[nn.Module, torch.optim.Optimizer, Tensor, Tensor]:
    torch.manual_seed(0)
    side = config.training.crop // config.split.stride
    network = build_network(config, num_classes=10, bands=1, channels=CHANNELS).train()
    images, labels = torch.randn(batch, CHANNELS, side, side), torch.arange(batch) % 10
    return network, create_optimizer(network, config.training), images, labels


def _kept_for_backward(network: nn.Module, images: Tensor) -> int:
    """Return the bytes of distinct memory that a real forward pass saves, weights and buffers left out."""
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network(images)
    own = {value.untyped_storage().data_ptr() for value in (*network.parameters(), *network.buffers())}
    blocks = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in saved}
    del output
    return sum(size for address, size in blocks.items() if address not in own)
