"""The most bytes of tensors that are alive at one time while some code runs, on any device.

It counts what PyTorch's operators return. Workspace inside an operator and what an allocator rounds up are not in it.
"""

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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
