"""Checkpoints of one branch: folders that are complete or absent, checked byte for byte before they are used.

    BRANCH/step-000000123/   model.safetensors  optim.safetensors  state.json  COMMIT.json (size and SHA-256 of each)
    BRANCH/damaged-step-000000123/   one that failed its check, set aside for inspection

The newest one is found by scanning; there is no pointer file that could be lost. Steps count, never clocks.
"""

import contextlib
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from bandwise.checkpoints.tensors import NotFiniteError, from_bytes, listed, not_finite, to_bytes
from bandwise.errors import CorruptionError, IncompatibleError
from bandwise.files.atomic import commit_folder, fsync_folder
from bandwise.files.documents import json_bytes, parse_json
from bandwise.files.regular import FileFacts, facts_of, read_bytes, read_listed
from bandwise.files.schema import parse, plain
from bandwise.progress import say

COMMIT_NAME = "COMMIT.json"
MODEL_NAME = "model.safetensors"
OPTIM_NAME = "optim.safetensors"
STATE_NAME = "state.json"
VERSION = 1
AVERAGE_PREFIX = "average."
"""Names in `optim.safetensors` that hold the moving average of the weights."""

_FILES = (MODEL_NAME, OPTIM_NAME, STATE_NAME)
_NAME = re.compile(r"step-(\d{9})")
_DAMAGED = "damaged-"
_TRASH = ".trash-"
_MAX_COMMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint, read and checked."""

    path: Path
    state: dict[str, Any]
    """What `state.json` holds, with the `version` of its format."""
    model: dict[str, Tensor]
    """The weights, by the names of the network."""
    optim: dict[str, Tensor]
    """Optimiser state, random-number states and, under `average.`, the moving average of the weights."""


def save_checkpoint(
    folder: Path,
    step: int,
    *,
    model: Mapping[str, Tensor],
    optim: Mapping[str, Tensor],
    state: dict[str, Any],
    keep: int,
) -> Path:
    """Write the checkpoint of `step`, read it back, and delete all but the `keep` newest ones.

    The caller holds the lock of the folder, and no checkpoint of this step exists. `optim` has the tensors beside the
    weights, and `state` everything else, as plain JSON types. Whatever it raises, the older checkpoints are intact.
    """
    if bad := _not_finite_weights(model, optim):
        raise NotFiniteError(
            f"the weights after step {step} are not finite ({listed(bad)}) and were not saved; the checkpoints in "
            f"{folder} are untouched; start again in another folder with a lower --lr, with --clip-grad or with warm-up"
        )
    path = folder / f"step-{step:09d}"

    def write(temporary: Path) -> None:
        # Built one at a time, so that the memory for one serialised file is enough.
        makers = {
            MODEL_NAME: lambda: to_bytes(model),
            OPTIM_NAME: lambda: to_bytes(optim),
            STATE_NAME: lambda: json_bytes({"version": VERSION, **state}),
        }
        facts = {}
        for name, make in makers.items():
            content = make()
            (temporary / name).write_bytes(content)
            facts[name] = facts_of(content)
        (temporary / COMMIT_NAME).write_bytes(json_bytes(plain(_Commit("bandwise-checkpoint", facts))))

    commit_folder(path, write)
    files = _read_commit(path)
    for name in _FILES:
        read_listed(path / name, files[name], COMMIT_NAME)
    for old in steps(folder)[keep:]:
        _discard(old)
    return path


def steps(folder: Path) -> list[Path]:
    """Return the checkpoint folders of a branch, newest first, unchecked."""
    found = (path for path in folder.glob("step-*") if _NAME.fullmatch(path.name))
    return sorted(found, key=lambda path: path.name, reverse=True)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint, each of its files once: the bytes that are hashed are the ones that are used."""
    files = _read_commit(path)

    def content(name: str) -> bytes:
        return read_listed(path / name, files[name], COMMIT_NAME)

    state = parse_json(content(STATE_NAME), path / STATE_NAME)
    if not isinstance(state, dict) or type(state.get("version")) is not int:
        raise CorruptionError(f"{path / STATE_NAME} is not the state of a branch")
    if state["version"] != VERSION:
        raise IncompatibleError(f"{path} has format version {state['version']}; this program reads {VERSION}")
    model, optim = (from_bytes(content(name), path / name) for name in (MODEL_NAME, OPTIM_NAME))
    if bad := _not_finite_weights(model, optim):
        raise CorruptionError(f"{path} holds weights that are not finite: {listed(bad)}")
    return Checkpoint(path=path, state=state, model=model, optim=optim)


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest valid checkpoint to resume from, or None where there has never been one.

    A newer one that fails its check is renamed to `damaged-step-...`, with a warning, and the one before it is used.
    Where none is valid that is a `CorruptionError`: training never starts again by itself. The caller holds the lock.
    """
    problems: list[tuple[Path, CorruptionError]] = []
    for path in steps(folder):
        try:
            checkpoint = read_checkpoint(path)
        except CorruptionError as error:
            problems.append((path, error))
            continue
        for damaged, error in problems:
            say(f"WARNING: {error}; it is set aside as {set_aside(damaged).name}, going on from {path.name}")
        return checkpoint
    if problems or any(folder.glob(f"{_DAMAGED}step-*")):
        reasons = "; ".join(str(error) for _, error in problems) or "all were set aside as damaged before"
        raise CorruptionError(
            f"{folder} has checkpoints, but none is valid ({reasons}); copy a good one there, "
            "or remove the folder to train this branch from the start"
        )
    return None


def last_checkpoint(folder: Path) -> Checkpoint:
    """Return the newest checkpoint for reading only: nothing is renamed, no lock is needed; raises also for none."""
    found = steps(folder)
    if not found:
        raise CorruptionError(f"{folder} has no checkpoint; run `bandwise train` to make one")
    try:
        return read_checkpoint(found[0])
    except CorruptionError as error:
        if found[0] not in steps(folder):
            # A training goes on in the folder, and has deleted it meanwhile; there is a newer one.
            return last_checkpoint(folder)
        raise CorruptionError(f"{error}; run `bandwise train` again: it falls back to the checkpoint before") from error


def average_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the moving average of the weights by the names of the network."""
    return {
        name.removeprefix(AVERAGE_PREFIX): value
        for name, value in checkpoint.optim.items()
        if name.startswith(AVERAGE_PREFIX)
    }


def weights_digest(folder: Path) -> str | None:
    """Return the SHA-256 of the newest weights as their COMMIT.json gives it, or None where there is no checkpoint."""
    found = steps(folder)
    return _read_commit(found[0])[MODEL_NAME].sha256 if found else None


def remove_trash(folder: Path) -> None:
    """Finish deletions that were interrupted; the caller holds the lock of the folder."""
    for path in folder.glob(f"{_TRASH}*"):
        shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Commit:
    """COMMIT.json."""

    format: Literal["bandwise-checkpoint"]
    files: dict[str, FileFacts]


def _read_commit(path: Path) -> dict[str, FileFacts]:
    """Return what the commit record of a checkpoint says of each file."""
    commit_path = path / COMMIT_NAME
    content = read_bytes(commit_path, max_bytes=_MAX_COMMIT_BYTES)
    commit = parse(_Commit, parse_json(content, commit_path), commit_path)
    if content != json_bytes(plain(commit)) or sorted(commit.files) != sorted(_FILES):
        raise CorruptionError(f"{commit_path} is damaged: it is not as it was written")
    return commit.files


def _not_finite_weights(model: Mapping[str, Tensor], optim: Mapping[str, Tensor]) -> list[str]:
    average = {name: tensor for name, tensor in optim.items() if name.startswith(AVERAGE_PREFIX)}
    return not_finite({**model, **average})


def set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint so that it is kept and no longer used; the caller holds the lock of the folder."""
    target = path.with_name(f"{_DAMAGED}{path.name}")
    number = 1
    while target.exists():
        target = path.with_name(f"{_DAMAGED}{path.name}.{number}")
        number += 1
    path.rename(target)
    fsync_folder(path.parent)
    return target


def _discard(path: Path) -> None:
    # Renamed first: a half-deleted folder must never look like a checkpoint.
    trash = path.with_name(f"{_TRASH}{path.name}")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(trash)
    path.rename(trash)
    # Else a power cut could keep the deletions and undo the new name.
    fsync_folder(path.parent)
    shutil.rmtree(trash)


def in_host_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors of any device, so that nothing that happens to them later is seen in the copies."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}


class BackgroundWriter:
    """Writes checkpoints in one thread while the training goes on; an error is raised where somebody asks for it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "bandwise-checkpoint")
        self._running: tuple[int, Future[object]] | None = None

    def start(self, step: int, write: Callable[[], object]) -> None:
        """Let the thread write the checkpoint of a step; the one before must have been asked for with `finish`."""
        assert self._running is None
        self._running = step, self._pool.submit(write)

    @property
    def is_done(self) -> bool:
        """Whether there is a checkpoint to `finish` without waiting."""
        return self._running is not None and self._running[1].done()

    def finish(self) -> int | None:
        """Wait for what is being written and return its step, or raise its error; None where nothing is."""
        if self._running is None:
            return None
        (step, future), self._running = self._running, None
        future.result()
        return step

    def close(self) -> None:
        """Wait for what is being written, whatever comes of it, and end the thread."""
        self._pool.shutdown(wait=True)
