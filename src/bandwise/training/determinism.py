"""One device, one number of threads, and streams of random numbers that nothing else shares, while a branch trains."""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bandwise.config import TrainingConfig
from bandwise.errors import UsageError
from bandwise.machine import has_nvidia_device

_CPU_STATE = "random.cpu"
_CUDA_STATE = "random.cuda"


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device; auto takes CUDA where there is one, `cuda` insists on it."""
    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise UsageError("device is 'cuda', but torch sees no CUDA device here; use --device cpu or auto")
    return torch.device("cuda", torch.cuda.current_device()) if present and name != "cpu" else torch.device("cpu")


def explain_device(name: str) -> str:
    """Say which device a training takes and why; a warning where it is the CPU although there is a GPU."""
    if choose_device(name).type == "cuda":
        return f"training on {torch.cuda.get_device_name()}"
    if name == "cpu":
        return "training on the CPU, as asked for (device cpu)"
    if not has_nvidia_device():
        return "training on the CPU: this machine has no NVIDIA device"
    reason = (
        f"torch {torch.__version__} is built without CUDA; install a build with it (make install TORCH=cuda)"
        if torch.version.cuda is None
        else f"torch {torch.__version__} cannot use it; look at its driver (nvidia-smi) and CUDA_VISIBLE_DEVICES"
    )
    return f"WARNING: training on the CPU although this machine has an NVIDIA device: {reason}"


def seed_for(run_seed: int, branch: int | None, purpose: str, epoch: int = 0) -> int:
    """Derive the seed of one use of randomness, 0 to 2^63 - 1: the first 63 bits of the SHA-256 of its coordinates.

    Sums such as `seed + branch + epoch` collide; a hash of all coordinates does not. `branch` is None for what all
    branches share; `purpose` is for example "init" or "order".
    """
    coordinates = json.dumps(["bandwise", run_seed, branch, purpose, epoch])
    return int.from_bytes(hashlib.sha256(coordinates.encode("ascii")).digest()[:8], "big") >> 1


def seeds_of(run_seed: int, branch: int) -> dict[str, int]:
    """Return every seed of a branch by its purpose, and that of the run."""
    own = {purpose: seed_for(run_seed, branch, purpose) for purpose in ("init", "order", "dropout")}
    # Without the branch: all branches see the same crop of an image in the same epoch.
    return {"run": run_seed, **own, "augment": seed_for(run_seed, None, "augment")}


@contextlib.contextmanager
def reproducible(config: TrainingConfig, device: torch.device) -> Iterator[None]:
    """Fix threads and algorithms inside, and give back threads, algorithms and global random numbers as they were.

    A result on a CPU is then repeatable bit for bit with the same versions and the same number of threads, and a branch
    leaves no trace in the next one that the same process trains. On CUDA the algorithms stay the fast ones; those of
    convolutions are tried out.
    """
    threads = torch.get_num_threads()
    strict, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    memory: Any = torch.utils.deterministic
    filling, trying = memory.fill_uninitialized_memory, torch.backends.cudnn.benchmark
    with torch.random.fork_rng(devices=[device.index] if device.type == "cuda" else [], device_type="cuda"):
        torch.set_num_threads(config.threads)
        torch.use_deterministic_algorithms(device.type == "cpu")
        # Filling fresh memory with NaN takes a tenth of the time of a step, and helps only code that reads such memory.
        memory.fill_uninitialized_memory = False
        torch.backends.cudnn.benchmark = device.type == "cuda"
        try:
            yield
        finally:
            memory.fill_uninitialized_memory = filling
            torch.backends.cudnn.benchmark = trying
            torch.use_deterministic_algorithms(strict, warn_only=warn_only)
            torch.set_num_threads(threads)


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return the states of torch's global generators, which dropout draws from, as uint8 tensors."""
    states = {_CPU_STATE: torch.get_rng_state()}
    if device.type == "cuda":
        states[_CUDA_STATE] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Put back what `random_states` returned; the state of a device that is not in use now is left out."""
    torch.set_rng_state(states[_CPU_STATE])
    if device.type == "cuda" and _CUDA_STATE in states:
        torch.cuda.set_rng_state(states[_CUDA_STATE], device)
