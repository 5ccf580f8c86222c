"""`bandwise verify RUN`: a run is as it was written, or every file that is not is named and, where asked, mended.

A repair uses what is valid in the run: damage is set aside or computed again.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandwise.checkpoints.folder import read_checkpoint, set_aside, steps
from bandwise.errors import BandwiseError, CorruptionError, IncompatibleError, UsageError
from bandwise.files.atomic import write_bytes
from bandwise.files.documents import read_document, write_document, write_rows
from bandwise.files.locks import folder_lock
from bandwise.launch.answers import require_own_store
from bandwise.launch.check import METRICS_NAME, Findings, check_run, is_finished, parse_logits_name, store_of
from bandwise.launch.pipeline import train_one
from bandwise.launch.queue import Task
from bandwise.progress import say
from bandwise.runs.documents import SUMMARY_NAME
from bandwise.runs.run import RUN_FORMAT, RUN_NAME, RUN_VERSION, Run, open_run
from bandwise.sources.source import Source
from bandwise.store.preview import write_preview
from bandwise.store.reading.store import open_store
from bandwise.store.verify import VerifiedFiles, find_problems, verify_store
from bandwise.training.predict import write_answers

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class SoundRun:
    """What a check of a run has read, and what a repair has done, where all is as it was written."""

    run: str
    ok: bool
    checkpoints: int
    logits: int
    documents: int
    others: int
    notes: tuple[str, ...]
    repaired: tuple[str, ...]


def verify_run(
    path: Path, *, store: Path | None = None, repair: bool = False, source: Source | None = None
) -> SoundRun:
    """Check every file of a run and the store behind it; what is damaged and not mended is a `CorruptionError`.

    The store is that of the run when None; one at another place must have the digest that the branches know.

    With `repair`, what can be mended is mended, see `_repair_run`; the store too, where `source`, the images, is known
    or not needed. A repair reads every file of the store once, and what it writes once more; the files of the run are
    read again only if some were mended.
    """
    if not (path / RUN_NAME).exists():
        raise UsageError(f"{path} is no run (it has no {RUN_NAME})")
    # The store first: what was computed from it is compared with it.
    sound = VerifiedFiles()
    repaired = _repair_store(store or store_of(path), source, sound) if repair else []
    found = check_run(path, sound, store)
    if store is not None and not found.store_problems and RUN_NAME not in found.problems:
        require_own_store(open_run(path), open_store(store))
    if repair and found.problems:
        repaired += _repair_run(path, found, source, store)
        found = check_run(path, sound, store)
    if found.problems or found.store_problems:
        raise CorruptionError(_report(path, found, repaired, repair))
    return SoundRun(run=str(path), ok=True, **found.checked, notes=tuple(found.notes), repaired=tuple(repaired))


def _repair_store(store: Path, source: Source | None, sound: VerifiedFiles) -> list[str]:
    try:
        if not find_problems(store, sound):
            return []
    except UsageError:
        # It is not here, which is no damage.
        return []
    except BandwiseError:
        # The repair says why it cannot be done.
        pass
    try:
        done = verify_store(store, repair=True, source=source, sound=sound)["repaired"]
    except (UsageError, CorruptionError) as error:
        return [f"{store}: not repaired: {error}"]
    return [f"{store / name}: repaired" for name in done]


def _report(path: Path, found: Findings, repaired: list[str], repair: bool) -> str:
    problems = {name: problem.what for name, problem in found.problems.items()}
    problems |= {f"store/{name}": what for name, what in found.store_problems.items()}
    lines = [f"{name}: {what}" for name, what in sorted(problems.items())]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    text = f"{path}: {len(lines)} files are not as they were written:\n  " + "\n  ".join(lines[:_SHOWN] + more)
    if repaired:
        text += "\nwhat was done:\n  " + "\n  ".join(repaired)
    if not repair:
        return f"{text}\nrun bandwise verify --repair to mend what can be computed again"
    return f"{text}\nwhat is named above could not be mended: copy good files there, or make them again"


def _repair_run(path: Path, found: Findings, source: Source | None, store: Path | None) -> list[str]:
    """Mend what can be mended of the problems that `check_run` found; its store is not touched.

    - a damaged checkpoint is set aside where an older or newer one of its branch is valid;
    - summary and metrics of a finished branch are written again from its last checkpoint;
    - logits are predicted again from the weights of a finished branch;
    - `fusion.json`, `results.json` and features are deleted where commands write them again from valid weights;
    - the preview is drawn again where the images are known, and `run.json` is taken out of `results.json`.

    Returns what was done, one sentence each. What could not be done is printed and remains a problem.
    """
    done: list[str] = []
    if RUN_NAME in found.problems:
        done += _restore_run_document(path, found)
    try:
        run = open_run(path, store)
    except CorruptionError:
        # Without its configuration nothing can be computed; checkpoints are still set aside by the next training.
        return done
    for number in range(len(run.groups)):
        done += _repair_branch(run, number, found)
    for problem in found.of("logits"):
        done += _predict_again(run, problem.name)
    done += _delete_derived(run, found)
    pictures = found.of("preview", "picture")
    if pictures and source is not None:
        write_preview(run.store_path, source, run.preview_folder)
        done.append(f"{', '.join(problem.name for problem in pictures)}: drawn again")
    return done


def _restore_run_document(path: Path, found: Findings) -> Iterator[str]:
    results = next((file for file in sorted(path.glob("results*.json")) if file.name not in found.problems), None)
    if results is None or not (path / "store").is_dir():
        say(f"{RUN_NAME} cannot be restored: that takes a valid results.json, and a store inside the run")
        return
    content = read_document(results)
    restored = {"format": RUN_FORMAT, "version": RUN_VERSION, "config": content["config"], "store": None}
    write_document(path / RUN_NAME, {**restored, "made_by": content["environment"]})
    yield f"{RUN_NAME}: written again from {results.name}"


def _repair_branch(run: Run, number: int, found: Findings) -> Iterator[str]:
    problems = [problem for problem in found.of("checkpoint", "summary", "metrics") if problem.branch == number]
    if not problems:
        return
    folder = run.branch_folder(number)
    with folder_lock(folder):
        damaged = [path for path in steps(folder) if f"{folder.name}/{path.name}" in found.problems]
        if damaged == steps(folder):
            say(f"{folder.name} has no valid checkpoint: copy a good one there, or remove the folder to train it again")
            return
        for path in damaged:
            yield f"{folder.name}/{path.name}: set aside as {set_aside(path).name}"
        newest = _newest_checkpoint(folder, found)
        broken = [name for name in (METRICS_NAME, SUMMARY_NAME) if f"{folder.name}/{name}" in found.problems]
        summary = folder / SUMMARY_NAME
        intact = summary.read_bytes() if summary.exists() and SUMMARY_NAME not in broken else None
        if broken or not is_finished(newest):
            # Without it training looks at the checkpoint, closes the last epoch again and writes both documents.
            summary.unlink(missing_ok=True)
        if METRICS_NAME in broken:
            write_rows(folder / METRICS_NAME, newest["position"]["history"])
    if not is_finished(newest):
        yield (
            f"{folder.name}: `bandwise train` goes on after step {newest['position']['step']} of "
            f"{newest['total_steps']} and writes the rest again"
        )
    elif broken:
        with _going_on(folder.name):
            train_one(Task(run, number))
            yield f"{folder.name}/{' and '.join(broken)}: written again from the last checkpoint"
        if intact is not None and not summary.exists():
            # It could not be done, and what was good before must not be lost.
            write_bytes(summary, intact)


def _newest_checkpoint(folder: Path, found: Findings) -> dict[str, Any]:
    """Return the state of the newest checkpoint; one that a training has written since the check is read."""
    return found.newest(folder) or read_checkpoint(steps(folder)[0]).state


def _predict_again(run: Run, name: str) -> Iterator[str]:
    place = parse_logits_name(name)
    if place is None:
        return
    split, crops, branch = place
    if branch >= len(run.groups):
        say(f"{name} is of a branch that the run does not have; remove it")
        return
    with _going_on(name):
        write_answers(
            run.config,
            run.store_path,
            run.branch_folder(branch),
            branch,
            split=split,
            logits=run.path / name,
            crops=crops,
        )
        yield f"{name}: predicted again"


def _delete_derived(run: Run, found: Findings) -> Iterator[str]:
    """Delete what `fuse` and `evaluate` write again, if every branch is here to write it from."""
    broken = found.of("fusion", "results", "features")
    if not broken:
        return
    with _going_on(", ".join(problem.name for problem in broken)):
        open_store(run.store_path)
        for number in range(len(run.groups)):
            folder = run.branch_folder(number)
            if not steps(folder) or not is_finished(_newest_checkpoint(folder, found)):
                raise CorruptionError(f"branch {number} has no weights here to compute them again from")
        for problem in broken:
            (run.path / problem.name).unlink(missing_ok=True)
            command = "evaluate" if problem.part == "results" else "fuse"
            yield f"{problem.name}: deleted; `bandwise {command} {run.path}` writes it again"


@contextlib.contextmanager
def _going_on(name: str) -> Iterator[None]:
    """Print why something cannot be mended, and go on with the next."""
    try:
        yield
    except (CorruptionError, IncompatibleError, UsageError) as error:
        say(f"{name} cannot be mended: {error}")
