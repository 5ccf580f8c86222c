"""Mends a run from what is valid in it: damage is set aside or computed again, and what was done is said."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from bandwise.checkpoints.folder import Checkpoint, read_checkpoint, set_aside, steps
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.files.atomic import write_bytes
from bandwise.files.documents import read_document, write_document, write_rows
from bandwise.files.locks import folder_lock
from bandwise.launch.check import METRICS_NAME, Findings, finished
from bandwise.launch.engines import Task, train_one
from bandwise.progress import say
from bandwise.runs.documents import SUMMARY_NAME
from bandwise.runs.run import RUN_FORMAT, RUN_NAME, RUN_VERSION, Run, open_run
from bandwise.sources.source import Source
from bandwise.store.preview import write_preview
from bandwise.store.reading.store import open_store
from bandwise.training.infer import write_branch_logits

_LOGITS = re.compile(r"logits/(train|holdout|val)(?:-(\d+)crop)?/branch-(\d+)\.safetensors")


def repair_run(path: Path, found: Findings, source: Source | None) -> list[str]:
    """Mend what can be mended of the problems that `check_run` found; its store is not touched.

    - a damaged checkpoint is set aside where an older or newer one of its branch is valid;
    - summary and metrics of a finished branch are written again from its last checkpoint;
    - logits are predicted again from the weights of a finished branch;
    - `fusion.json`, `results.json` and features are deleted where commands write them again from valid weights;
    - the preview is drawn again where the images are known, and `run.json` is taken out of `results.json`.

    Args:
        path: the run.
        found: its problems.
        source: the images, or None where they are not known.

    Returns:
        What was done, one sentence each. What could not be done is said aloud and remains a problem.

    Raises:
        LockedError: a branch is being trained.
    """
    done: list[str] = []
    if RUN_NAME in found.problems:
        _restore_run_document(path, found, done)
    try:
        run = open_run(path)
    except CorruptionError:
        # Without its configuration nothing can be computed; checkpoints are still set aside by the next training.
        return done
    for number in range(len(run.groups)):
        _repair_branch(run, number, found, done)
    for name in sorted(found.problems):
        _repair_logits(run, name, done)
    _delete_derived(run, found, done)
    pictures = sorted(name for name in found.problems if name.startswith("preview/"))
    if pictures and source is not None:
        write_preview(run.store_path, source, run.preview_folder)
        done.append(f"{', '.join(pictures)}: drawn again")
    return done


def _restore_run_document(path: Path, found: Findings, done: list[str]) -> None:
    results = next((file for file in sorted(path.glob("results*.json")) if file.name not in found.problems), None)
    if results is None or not (path / "store").is_dir():
        say(f"{RUN_NAME} cannot be restored: that takes a valid results.json, and a store inside the run")
        return
    content = read_document(results)
    restored = {"format": RUN_FORMAT, "version": RUN_VERSION, "config": content["config"], "store": None}
    write_document(path / RUN_NAME, {**restored, "made_by": content["environment"]})
    done.append(f"{RUN_NAME}: written again from {results.name}")


def _repair_branch(run: Run, number: int, found: Findings, done: list[str]) -> None:
    folder = run.branch_folder(number)
    broken = {name for name in found.problems if name.startswith(f"{folder.name}/")}
    if not broken:
        return
    with folder_lock(folder):
        newest = _set_damaged_aside(folder, broken, done)
        if newest is None:
            say(f"{folder.name} has no valid checkpoint: copy a good one there, or remove the folder to train it again")
            return
        summary = folder / SUMMARY_NAME
        intact = summary.read_bytes() if summary.exists() and f"{folder.name}/{SUMMARY_NAME}" not in broken else None
        documents = [name for name in (METRICS_NAME, SUMMARY_NAME) if f"{folder.name}/{name}" in broken]
        if documents or not finished(newest):
            # Without it training looks at the checkpoint, closes the last epoch again and writes both documents.
            summary.unlink(missing_ok=True)
        if METRICS_NAME in documents:
            write_rows(folder / METRICS_NAME, newest.state["position"]["history"])
    if not finished(newest):
        step, last = newest.state["position"]["step"], newest.state["total_steps"]
        done.append(f"{folder.name}: `bandwise train` goes on after step {step} of {last} and writes the rest again")
    elif documents:
        with _saying(folder.name):
            train_one(Task(run, number))
            done.append(f"{folder.name}/{' and '.join(documents)}: written again from the last checkpoint")
        if intact is not None and not summary.exists():
            # It could not be done, and what was good before must not be lost.
            write_bytes(summary, intact)


def _set_damaged_aside(folder: Path, broken: set[str], done: list[str]) -> Checkpoint | None:
    """Return the newest valid checkpoint; only where there is one are the damaged ones set aside."""
    damaged = [path for path in steps(folder) if f"{folder.name}/{path.name}" in broken]
    valid = [path for path in steps(folder) if path not in damaged]
    if not valid:
        return None
    done += [f"{folder.name}/{path.name}: set aside as {set_aside(path).name}" for path in damaged]
    return read_checkpoint(valid[0])


def _repair_logits(run: Run, name: str, done: list[str]) -> None:
    if (match := _LOGITS.fullmatch(name)) is None:
        return
    split, crops, number = match[1], int(match[2] or 1), int(match[3])
    if number >= len(run.groups):
        say(f"{name} is of a branch that the run does not have; remove it")
        return
    with _saying(name):
        folder = run.branch_folder(number)
        write_branch_logits(run.config, run.store_path, folder, number, run.path / name, split=split, crops=crops)
        done.append(f"{name}: predicted again")


def _delete_derived(run: Run, found: Findings, done: list[str]) -> None:
    """Delete what `fuse` and `evaluate` write again, if every branch is here to write it from."""
    broken = [name for name in found.problems if name.startswith(("fusion", "results", "features/", "head."))]
    if not broken:
        return
    with _saying(", ".join(broken)):
        open_store(run.store_path)
        for number in range(len(run.groups)):
            checkpoints = steps(run.branch_folder(number))
            if not checkpoints or not finished(read_checkpoint(checkpoints[0])):
                raise CorruptionError(f"branch {number} has no weights here to compute them again from")
        for name in broken:
            (run.path / name).unlink(missing_ok=True)
            what = "evaluate" if name.startswith("results") else "fuse"
            done.append(f"{name}: deleted; `bandwise {what} {run.path}` writes it again")


@contextlib.contextmanager
def _saying(name: str) -> Iterator[None]:
    """Say why something could not be mended, and go on with the next."""
    try:
        yield
    except (CorruptionError, IncompatibleError, UsageError) as error:
        say(f"{name} cannot be mended: {error}")
