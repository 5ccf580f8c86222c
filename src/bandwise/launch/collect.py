"""Bring the branches that machines without a network between them have trained into one run folder."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandwise.checkpoints.folder import last_checkpoint, steps, weights_digest
from bandwise.config import RunConfig, to_dict
from bandwise.config.configfile import differences
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.files.arrays import open_arrays
from bandwise.files.atomic import commit_folder, remove_temporaries, replacing
from bandwise.files.locks import folder_lock
from bandwise.files.regular import sha256_file
from bandwise.launch.answers import require_own_store
from bandwise.runs.documents import SUMMARY_NAME, Summary, read_summary
from bandwise.runs.run import FREE_TRAINING, RUN_NAME, Run, create_run, open_run
from bandwise.store.layout import MANIFEST_NAME
from bandwise.store.reading.store import open_store
from bandwise.training.identity import describe_branch, require_same_branch

_NOT_BINDING = {"training": FREE_TRAINING, "data": ("data", "reported"), "network": ("initial_checkpoint",)}
"""What may differ from machine to machine: places, and what changes no sample, order or draw."""
_OF_STORE = ("digest", "classes", "channels", "side")


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What was brought together, and what is still missing."""

    run: str
    brought: dict[int, str]
    """Branch to the folder that it came from."""
    there: tuple[int, ...]
    """Branches that the run had already, with the same weights."""
    missing: tuple[int, ...]
    notes: tuple[str, ...]
    """What is no obstacle, but good to know."""


@dataclass(frozen=True, slots=True)
class _Finished:
    """A finished branch in some run folder, read and checked."""

    run: Run
    number: int
    weights: str | None
    """SHA-256 of its weights; its logits have it too, and may have come without them."""
    store: dict[str, Any]
    """What it knows of the store that it was trained on."""
    summary: Summary

    @property
    def folder(self) -> Path:
        return self.run.branch_folder(self.number)


def collect(folders: Sequence[Path], into: Path, *, store: Path | None = None) -> Collected:
    """Copy the finished branches of run folders, with their logits and features, into one run.

    Everything is compared before anything is copied: the configuration of the runs and of every branch, the store that
    each was trained on, all hashes, and the weights that a branch has started from. A branch that is in several folders
    must have the same weights in all.

    Args:
        folders: run folders that hold some branches each.
        into: the run; made with the configuration of the first folder where there is none.
        store: where the store of the run is; in the run when None. It need not be there.

    Raises:
        IncompatibleError: the folders do not belong together; every field that differs is listed.
        CorruptionError: a branch, or what belongs to it, is damaged; its file is named.
        UsageError: a folder is no run, no branch is finished, or a training in `into` is not.
    """
    sources = [open_run(folder) for folder in folders]
    here = Run(into, sources[0].config, into / "store" if store is None else store)
    own = [open_run(into, store)] if (into / RUN_NAME).exists() else []
    _require_one_configuration([*own, *sources])
    chosen, notes = _finished((*own, *sources))
    copied = [found for found in chosen.values() if found.run.path != into]
    _require_one_store(list(chosen.values()))
    _require_own_starts(chosen)
    if not copied and not own:
        raise UsageError(
            f"no branch is finished in {', '.join(str(source.path) for source in sources)}; train some with "
            "`bandwise train --out RUN --branch K` first"
        )
    for found in copied:
        if steps(here.branch_folder(found.number)):
            raise UsageError(
                f"{here.branch_folder(found.number)} holds a training that is not finished; remove it to take the "
                f"branch of {found.run.path}, or leave that out"
            )
    run = create_run(into, here.config if not own else own[0].config, store)
    if (run.store_path / MANIFEST_NAME).exists():
        opened = open_store(run.store_path, ())
        for source in sources:
            require_own_store(source, opened)
    with folder_lock(into):
        remove_temporaries(into)
        for found in copied:
            _copy(found, run)
    return Collected(
        run=str(into),
        brought={found.number: str(found.run.path) for found in sorted(copied, key=lambda found: found.number)},
        there=tuple(sorted(set(chosen) - {found.number for found in copied})),
        missing=tuple(sorted(set(range(len(run.groups))) - set(chosen))),
        notes=(*notes, *_other_versions([chosen[number] for number in sorted(chosen)])),
    )


def _require_one_configuration(runs: Sequence[Run]) -> None:
    for other in runs[1:]:
        if changed := differences(_binding(runs[0].config), _binding(other.config)):
            raise IncompatibleError(
                f"{runs[0].path} and {other.path} are of different experiments:\n  "
                + "\n  ".join(changed)
                + "\nonly branches of one configuration can be fused; collect the others elsewhere"
            )


def _binding(config: RunConfig) -> dict[str, Any]:
    return {
        section: {key: value for key, value in fields.items() if key not in _NOT_BINDING.get(section, ())}
        if isinstance(fields, dict)
        else fields
        for section, fields in to_dict(config).items()
    }


def _finished(runs: Iterable[Run]) -> tuple[dict[int, _Finished], list[str]]:
    """Return every finished branch, that of the first run which has it, and notes on those that are not."""
    chosen: dict[int, _Finished] = {}
    notes = []
    for run in runs:
        for number in range(len(run.groups)):
            folder = run.branch_folder(number)
            if not (folder / SUMMARY_NAME).exists():
                notes += [f"{folder} is not finished and stays where it is"] if steps(folder) else []
                continue
            found = _read(run, number)
            if chosen.setdefault(number, found).weights != found.weights:
                raise IncompatibleError(
                    f"branch {number} has other weights in {chosen[number].run.path} "
                    f"({str(chosen[number].weights)[:16]}...) than in {run.path} ({str(found.weights)[:16]}...); leave "
                    "out the folder whose branch is not wanted"
                )
    return chosen, notes


def _read(run: Run, number: int) -> _Finished:
    folder, answers = run.branch_folder(number), answers_of(run, number)
    summary = read_summary(folder)
    if summary.branch != number:
        raise CorruptionError(f"{folder / SUMMARY_NAME} is that of branch {summary.branch}")
    said = {file: open_arrays(file)[1] for file in answers}
    if steps(folder):
        state = last_checkpoint(folder).state
        require_same_branch(state, describe_branch(run.config, number), str(folder))
        weights, store = weights_digest(folder), {key: state["store"][key] for key in _OF_STORE}
    elif said:
        first = said[answers[0]]
        weights, store = first.get("weights"), {"digest": first.get("store")}
    else:
        raise UsageError(f"{folder} has neither weights nor logits, so there is nothing to fuse of it; copy them too")
    for file, meta in said.items():
        if (meta.get("weights"), meta.get("branch")) != (weights, str(number)):
            raise IncompatibleError(f"{file} was predicted by other weights than those of {folder}; delete it")
    return _Finished(run, number, weights, store, summary)


def copy_documents(branch: Path, to: Path) -> None:
    """Copy what a branch folder says of itself, without its weights."""
    for file in branch.glob("*.json*"):
        shutil.copyfile(file, to / file.name)


def answers_of(run: Run, number: int) -> list[Path]:
    """Return the files of the logits and features of a branch, of whatever split and crops."""
    return sorted(
        file for kind in ("logits", "features") for file in run.path.glob(f"{kind}/*/branch-{number:02d}.safetensors")
    )


def _require_one_store(found: Sequence[_Finished]) -> None:
    for other in found[1:]:
        first = found[0]
        common = first.store.keys() & other.store.keys()
        there, here = ({key: own.store[key] for key in common} for own in (first, other))
        if changed := differences(there, here):
            raise IncompatibleError(
                f"{first.folder} and {other.folder} were trained on different stores:\n  "
                + "\n  ".join(changed)
                + "\nsplit the same pictures with the same settings on every machine, or copy one store"
            )


def _require_own_starts(chosen: Mapping[int, _Finished]) -> None:
    """Refuse a branch that started from other weights than those of the branch that it names."""
    for number, found in chosen.items():
        source = chosen.get(number if (named := found.run.config.source_of(number)) is None else named, found)
        initial = found.summary.initial_checkpoint
        if source is not found and (initial is None or initial.sha256 != source.weights):
            raise IncompatibleError(
                f"{found.folder} did not start from the weights in {source.folder}; take both from one run, or train "
                "the first again"
            )


def _other_versions(found: Sequence[_Finished]) -> list[str]:
    first = found[0].summary.versions if found else {}
    return [
        f"branch {own.number} was trained with other versions than branch {found[0].number}: {', '.join(changed)}; the "
        "last bits of its weights depend on them"
        for own in found[1:]
        if (changed := differences(first, own.summary.versions))
    ]


def _copy(found: _Finished, run: Run) -> None:
    """Copy one branch: its answers first, then its folder, by which it is finished."""
    for file in answers_of(found.run, found.number):
        target = run.path / file.relative_to(found.run.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            shutil.copyfile(file, temporary)
            if sha256_file(temporary) != sha256_file(file):
                raise CorruptionError(f"{file} could not be copied to {target}: what was read back differs")
    target = run.branch_folder(found.number)

    def write(temporary: Path) -> None:
        for step in steps(found.folder)[:1]:
            shutil.copytree(step, temporary / step.name)
            last_checkpoint(temporary)
        copy_documents(found.folder, temporary)

    if target.is_dir():
        # Without a checkpoint and a summary it is what a training has left that was stopped before its first step.
        shutil.rmtree(target)
    commit_folder(target, write)
