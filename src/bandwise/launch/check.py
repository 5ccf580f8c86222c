"""What is wrong with the files of a run, file by file: the work behind `bandwise verify RUN`."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bandwise.checkpoints.folder import Checkpoint, read_checkpoint, steps
from bandwise.errors import BandwiseError, CorruptionError, IncompatibleError, UsageError
from bandwise.files.arrays import read_arrays
from bandwise.files.documents import read_document, read_rows
from bandwise.files.regular import sha256_file
from bandwise.fusion.saved import read_fusion
from bandwise.launch.starts import foreign_starts
from bandwise.runs.documents import SUMMARY_NAME, Summary, read_summary
from bandwise.runs.run import RUN_NAME, Run, open_run, read_logits
from bandwise.store.checks import find_problems
from bandwise.store.reading.store import Store, open_store
from bandwise.training.identity import describe_branch, require_same_branch

METRICS_NAME, PREVIEW_NAME = "metrics.jsonl", "preview.json"
_KINDS = ("checkpoints", "logits", "documents", "others")
_BRANCH = re.compile(r"branch-(\d{2,})")
_LOGITS_FOLDER = re.compile(r"(train|holdout|val)(?:-(\d+)crop)?")


@dataclass
class Findings:
    """What a check of a run found."""

    problems: dict[str, str] = field(default_factory=dict)
    """What is wrong, by file name relative to the run."""
    store_problems: dict[str, str] = field(default_factory=dict)
    """What is wrong, by file name relative to the store."""
    notes: list[str] = field(default_factory=list)
    """What is no damage, but good to know."""
    checked: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_KINDS, 0))
    """How many files of each kind were read."""

    @contextlib.contextmanager
    def noting(self, name: str, kind: str) -> Iterator[None]:
        """Note a `CorruptionError` or `IncompatibleError` of the block as a problem of one file."""
        self.checked[kind] += 1
        try:
            yield
        except (CorruptionError, IncompatibleError) as error:
            self.problems[name] = str(error)


def check_run(path: Path) -> Findings:
    """Read every byte of a run and of the store behind it; nothing is changed.

    A store that is not there is a note: a run may have come from another machine without it. `report.html` and
    `timing.jsonl` are left out: nobody relies on them.

    Raises:
        UsageError: no run.
    """
    if not (path / RUN_NAME).exists():
        raise UsageError(f"{path} is no run (it has no {RUN_NAME})")
    found = Findings()
    run: Run | None = None
    with found.noting(RUN_NAME, "documents"):
        run = open_run(path)
    store = _check_store(path / "store" if run is None else run.store_path, found)
    newest: dict[int, Checkpoint] = {}
    for folder in sorted(path.glob("branch-*")):
        if match := _BRANCH.fullmatch(folder.name):
            number = int(match[1])
            if (checkpoint := _check_branch(run, number, folder, found)) is not None:
                newest[number] = checkpoint
    if run is not None:
        with contextlib.suppress(CorruptionError):
            # A damaged document is told of under its own name.
            found.problems |= {run.branch_folder(k).name: why for k, why in foreign_starts(run, list(newest)).items()}
    for file in sorted(path.glob("logits/*/*.safetensors")):
        name = file.relative_to(path).as_posix()
        with found.noting(name, "logits"):
            _check_logits(file, store, newest)
    for file in sorted([*path.glob("features/*/*.safetensors"), *path.glob("*.safetensors")]):
        with found.noting(file.relative_to(path).as_posix(), "others"):
            read_arrays(file)
    _check_fusions(run, path, found)
    _check_preview(path, found)
    return found


def _check_store(path: Path, found: Findings) -> Store | None:
    try:
        found.store_problems = find_problems(path)
        return None if found.store_problems else open_store(path)
    except UsageError:
        found.notes.append(f"the store {path} is not here, so logits were not compared with it")
    except BandwiseError as error:
        found.store_problems = {".": str(error)}
    return None


def _check_branch(run: Run | None, number: int, folder: Path, found: Findings) -> Checkpoint | None:
    """Check one branch folder; return its newest checkpoint if that is valid."""
    newest: Checkpoint | None = None
    present = steps(folder)
    for step in present:
        with found.noting(f"{folder.name}/{step.name}", "checkpoints"):
            checkpoint = read_checkpoint(step)
            if run is not None:
                require_same_branch(checkpoint.state, describe_branch(run.config, number), str(step))
            newest = checkpoint if step == present[0] else newest
        if step not in steps(folder):
            # A training goes on in the folder, and has deleted its older checkpoints meanwhile.
            found.problems.pop(f"{folder.name}/{step.name}", None)
    found.notes += [f"{folder.name}/{old.name} was set aside before" for old in sorted(folder.glob("damaged-step-*"))]
    content: Summary | None = None
    summary, metrics = folder / SUMMARY_NAME, folder / METRICS_NAME
    if summary.exists():
        with found.noting(f"{folder.name}/{SUMMARY_NAME}", "documents"):
            said = read_summary(folder)
            if said.branch != number:
                raise CorruptionError(f"{summary} is that of branch {said.branch}")
            content = said
        if not present:
            found.notes.append(f"{folder.name} has a {SUMMARY_NAME} and no checkpoint: its weights are elsewhere")
    if metrics.exists() or newest is not None:
        with found.noting(f"{folder.name}/{METRICS_NAME}", "documents"):
            _check_metrics(metrics, newest, content)
    return newest


def _check_metrics(path: Path, newest: Checkpoint | None, summary: Summary | None) -> None:
    rows = read_rows(path)
    history = [] if newest is None else newest.state["position"]["history"]
    same = rows[: len(history)] == history
    if summary is not None:
        # The last checkpoint stands before the evaluation of the last epoch, so only the summary knows of its row.
        last = [row.get("train_loss") for row in rows[-1:]]
        same = same and len(rows) == summary.epochs and last == [summary.train_loss]
    if not same:
        raise CorruptionError(f"{path} has {len(rows)} rows, which are not those of the training")


def _check_logits(path: Path, store: Store | None, newest: dict[int, Checkpoint]) -> None:
    content = read_logits(path)
    branch, folder = _BRANCH.fullmatch(path.stem), _LOGITS_FOLDER.fullmatch(path.parent.name)
    if branch is None or folder is None:
        raise CorruptionError(f"{path} has no name of a logits file")
    number, split = int(branch[1]), folder[1]
    wanted = {"branch": str(number), "split": split, "crops": folder[2] or "1"}
    wrong = [f"{key} {content.meta.get(key)}" for key, value in wanted.items() if content.meta.get(key) != value]
    if wrong:
        raise CorruptionError(f"{path} says that it is of {', '.join(wrong)}")
    if store is not None:
        same = np.array_equal(content.ids, store.ids(split)) and np.array_equal(content.labels, store.labels(split))
        if content.meta.get("store") != store.digest or not same:
            raise CorruptionError(f"{path} is not of the samples of {store.path}")
    checkpoint = newest.get(number)
    if checkpoint is not None and finished(checkpoint) and content.meta.get("weights") != model_digest(checkpoint):
        raise CorruptionError(f"{path} was predicted by other weights than those in {checkpoint.path}")


def finished(checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint is that of the last step."""
    return checkpoint.state["position"]["step"] == checkpoint.state["total_steps"]


def model_digest(checkpoint: Checkpoint) -> str:
    """Return the SHA-256 of the file of the weights, as logits name it."""
    return sha256_file(checkpoint.path / "model.safetensors")


def _check_fusions(run: Run | None, path: Path, found: Findings) -> None:
    for file in sorted(path.glob("fusion*.json")):
        with found.noting(file.name, "documents"):
            fusion = read_fusion(file)
            if run is not None and max(fusion.branches) >= len(run.groups):
                raise CorruptionError(f"{file} fuses the branches {list(fusion.branches)}; there are {len(run.groups)}")
    for file in sorted(path.glob("results*.json")):
        with found.noting(file.name, "documents"):
            content = read_document(file)
            if content.get("format") != "bandwise-results":
                raise CorruptionError(f"{file} is no result of a run")
            fitted = file.with_name(file.name.replace("results", "fusion", 1))
            if fitted.exists() and fitted.name not in found.problems and not _of(content, read_document(fitted)):
                found.notes.append(f"{file.name} is older than {fitted.name}: run `bandwise evaluate` again")


def _of(results: dict[str, Any], fusion: dict[str, Any]) -> bool:
    scored = results.get("fusion")
    return isinstance(scored, dict) and scored.items() <= fusion.items()


def _check_preview(path: Path, found: Findings) -> None:
    folder = path / "preview"
    if not (folder / PREVIEW_NAME).exists():
        return
    listed: Any = None
    with found.noting(f"preview/{PREVIEW_NAME}", "documents"):
        listed = read_document(folder / PREVIEW_NAME).get("pictures")
        names = [entry.get("file") for entry in listed] if isinstance(listed, list) else [None]
        if any(not isinstance(name, str) or Path(name).name != name for name in names):
            raise CorruptionError(f"{folder / PREVIEW_NAME} is not a list of pictures beside it")
        for entry in listed:
            with found.noting(f"preview/{entry['file']}", "others"):
                if sha256_file(folder / entry["file"]) != entry.get("sha256"):
                    raise CorruptionError(f"{folder / entry['file']} is altered: its SHA-256 is not that of the index")
