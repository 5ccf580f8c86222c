"""What is wrong with the files of a run, file by file: the work behind `bandwise verify RUN`."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bandwise.checkpoints.folder import read_checkpoint, steps, weights_digest
from bandwise.errors import BandwiseError, CorruptionError, IncompatibleError, UsageError
from bandwise.files.arrays import open_arrays
from bandwise.files.documents import read_document, read_rows
from bandwise.files.regular import sha256_file
from bandwise.fusion.saved import read_fusion
from bandwise.launch.fuse import foreign_starts
from bandwise.runs.documents import RESULTS_FORMAT, SUMMARY_NAME, Summary, read_summary
from bandwise.runs.logits import read_logits
from bandwise.runs.run import RUN_NAME, Run, open_run
from bandwise.store.reading.store import Store, open_store
from bandwise.store.verify import VerifiedFiles, find_problems
from bandwise.training.identity import describe_branch, require_same_branch

METRICS_NAME, PREVIEW_NAME = "metrics.jsonl", "preview.json"

Part = Literal[
    "run",
    "checkpoint",
    "summary",
    "metrics",
    "start",
    "logits",
    "features",
    "fusion",
    "results",
    "preview",
    "picture",
    "other",
]
_DOCUMENTS = ("run", "summary", "metrics", "fusion", "results", "preview")
_COUNTED_AS = {"checkpoint": "checkpoints", "logits": "logits", **dict.fromkeys(_DOCUMENTS, "documents")}
_BRANCH = re.compile(r"branch-(\d{2,})")
_LOGITS = re.compile(r"logits/(train|holdout|val)(?:-(\d+)crop)?/branch-(\d{2,})\.safetensors")


@dataclass(frozen=True, slots=True)
class Problem:
    """A file of a run, or a checkpoint folder, that is not as it was written."""

    name: str
    """Relative to the run."""
    part: Part
    """What it is; the repair goes by it."""
    what: str
    """What is wrong."""
    branch: int | None = None
    """Whose it is, for the files in the folder of a branch."""


@dataclass
class Findings:
    """What a check of a run found."""

    problems: dict[str, Problem] = field(default_factory=dict)
    """By name."""
    store_problems: dict[str, str] = field(default_factory=dict)
    """What is wrong, by file name relative to the store."""
    notes: list[str] = field(default_factory=list)
    """What is no damage, but good to know."""
    checked: dict[str, int] = field(
        default_factory=lambda: {"checkpoints": 0, "logits": 0, "documents": 0, "others": 0}
    )
    """How many files of each kind were read."""
    checkpoints: dict[Path, dict[str, Any]] = field(default_factory=dict)
    """The state of the valid ones; their weights need not stay in memory."""

    @contextlib.contextmanager
    def noting(self, name: str, part: Part, branch: int | None = None) -> Iterator[None]:
        """Count a file, and note a `CorruptionError` or `IncompatibleError` of the block as its problem."""
        self.checked[_COUNTED_AS.get(part, "others")] += 1
        try:
            yield
        except (CorruptionError, IncompatibleError) as error:
            self.problems[name] = Problem(name, part, str(error), branch)

    def of(self, *parts: Part) -> list[Problem]:
        """Return the problems of some kinds of files, by name."""
        return sorted((problem for problem in self.problems.values() if problem.part in parts), key=lambda p: p.name)

    def newest(self, folder: Path) -> dict[str, Any] | None:
        """Return the state of the newest checkpoint of a branch folder if it is valid."""
        present = steps(folder)
        return self.checkpoints.get(present[0]) if present else None


def check_run(path: Path, sound: VerifiedFiles | None = None, store_path: Path | None = None) -> Findings:
    """Read every byte of a run and of the store behind it, which may be given at another place; nothing is changed.

    A store that is not there is a note: a run may have come from another machine without it. `report.html` and
    `timing.jsonl` are left out: nobody relies on them. `sound` are files of the store that were read a moment ago.
    """
    found = Findings()
    run: Run | None = None
    with found.noting(RUN_NAME, "run"):
        run = open_run(path)
    store = _check_store(store_path or store_of(path), found, sound)
    for folder in sorted(path.glob("branch-*")):
        if match := _BRANCH.fullmatch(folder.name):
            _check_branch(run, int(match[1]), folder, found)
    if run is not None:
        _check_starts(run, found)
    for file in sorted(path.glob("logits/*/*.safetensors")):
        name = file.relative_to(path).as_posix()
        with found.noting(name, "logits"):
            _check_logits(path, name, store, found)
    for file in sorted([*path.glob("features/*/*.safetensors"), *path.glob("*.safetensors")]):
        features = file.parent != path or file.name.startswith("head.")
        with found.noting(file.relative_to(path).as_posix(), "features" if features else "other"):
            open_arrays(file)
    _check_fusions(run, path, found)
    _check_results(path, found)
    _check_preview(path, found)
    return found


def store_of(path: Path) -> Path:
    """Return the store of a run; where `run.json` is damaged, the one inside the run."""
    try:
        return open_run(path).store_path
    except (CorruptionError, IncompatibleError):
        return path / "store"


def is_finished(state: dict[str, Any]) -> bool:
    """Say whether the state of a checkpoint is that of the last step."""
    return state["position"]["step"] == state["total_steps"]


def parse_logits_name(name: str) -> tuple[str, int, int] | None:
    """Return split, crops and branch of a logits file by its path in the run; None where that is none a run gives."""
    found = _LOGITS.fullmatch(name)
    return None if found is None else (found[1], int(found[2] or 1), int(found[3]))


def _check_store(path: Path, found: Findings, sound: VerifiedFiles | None) -> Store | None:
    try:
        found.store_problems = find_problems(path, sound)
        return None if found.store_problems else open_store(path)
    except UsageError:
        found.notes.append(f"the store {path} is not here, so logits were not compared with it")
    except BandwiseError as error:
        found.store_problems = {".": str(error)}
    return None


def _check_branch(run: Run | None, number: int, folder: Path, found: Findings) -> None:
    present = steps(folder)
    for step in present:
        name = f"{folder.name}/{step.name}"
        with found.noting(name, "checkpoint", number):
            checkpoint = read_checkpoint(step)
            if run is not None:
                require_same_branch(checkpoint.state, describe_branch(run.config, number), str(step))
            found.checkpoints[step] = checkpoint.state
        if step not in steps(folder):
            # A training goes on in the folder, and has deleted its older checkpoints meanwhile.
            found.problems.pop(name, None)
    found.notes += [f"{folder.name}/{old.name} was set aside before" for old in sorted(folder.glob("damaged-step-*"))]
    content: Summary | None = None
    summary, metrics = folder / SUMMARY_NAME, folder / METRICS_NAME
    if summary.exists():
        with found.noting(f"{folder.name}/{SUMMARY_NAME}", "summary", number):
            read = read_summary(folder)
            if read.branch != number:
                raise CorruptionError(f"{summary} is that of branch {read.branch}")
            content = read
        if not present:
            found.notes.append(f"{folder.name} has a {SUMMARY_NAME} and no checkpoint: its weights are elsewhere")
    newest = found.newest(folder)
    if metrics.exists() or newest is not None:
        with found.noting(f"{folder.name}/{METRICS_NAME}", "metrics", number):
            _check_metrics(metrics, newest, content)


def _check_metrics(path: Path, newest: dict[str, Any] | None, summary: Summary | None) -> None:
    rows = read_rows(path)
    history = [] if newest is None else newest["position"]["history"]
    same = rows[: len(history)] == history
    if summary is not None:
        # The last checkpoint stands before the evaluation of the last epoch, so only the summary knows of its row.
        last = [row.get("train_loss") for row in rows[-1:]]
        same = same and len(rows) == summary.epochs and last == [summary.train_loss]
    if not same:
        raise CorruptionError(f"{path} has {len(rows)} rows, which are not those of the training")


def _check_starts(run: Run, found: Findings) -> None:
    here = [number for number in range(len(run.groups)) if found.newest(run.branch_folder(number)) is not None]
    # A damaged document is a problem of its own already.
    with contextlib.suppress(CorruptionError):
        for number, what in foreign_starts(run, here).items():
            name = run.branch_folder(number).name
            found.problems[name] = Problem(name, "start", what, number)


def _check_logits(run: Path, name: str, store: Store | None, found: Findings) -> None:
    path = run / name
    content, place = read_logits(path), parse_logits_name(name)
    if place is None:
        raise CorruptionError(f"{path} has no name of a logits file")
    split, crops, branch = place
    wanted = {"branch": str(branch), "split": split, "crops": str(crops)}
    wrong = [f"{key} {content.meta.get(key)}" for key, value in wanted.items() if content.meta.get(key) != value]
    if wrong:
        raise CorruptionError(f"{path} says that it is of {', '.join(wrong)}")
    if store is not None:
        ids, labels = store.ids(split), store.labels(split)
        same = np.array_equal(content.ids, ids) and np.array_equal(content.labels, labels)
        if not (store.has_digest(content.meta.get("store", "")) and same):
            raise CorruptionError(f"{path} is not of the samples of {store.path}")
    folder = run / f"branch-{branch:02d}"
    newest = found.newest(folder)
    if newest is not None and is_finished(newest) and content.meta.get("weights") != weights_digest(folder):
        raise CorruptionError(f"{path} was predicted by other weights than those in {steps(folder)[0]}")


def _check_fusions(run: Run | None, path: Path, found: Findings) -> None:
    for file in sorted(path.glob("fusion*.json")):
        with found.noting(file.name, "fusion"):
            fusion = read_fusion(file)
            if run is not None and max(fusion.branches) >= len(run.groups):
                raise CorruptionError(f"{file} fuses the branches {list(fusion.branches)}; there are {len(run.groups)}")


def _check_results(path: Path, found: Findings) -> None:
    for file in sorted(path.glob("results*.json")):
        with found.noting(file.name, "results"):
            content = read_document(file)
            if content.get("format") != RESULTS_FORMAT:
                raise CorruptionError(f"{file} is no result of a run")
            fusion = file.with_name(file.name.replace("results", "fusion", 1))
            if not fusion.exists() or fusion.name in found.problems:
                continue
            scored = content.get("fusion")
            if not (isinstance(scored, dict) and scored.items() <= read_document(fusion).items()):
                found.notes.append(f"{file.name} is older than {fusion.name}: run `bandwise evaluate` again")


def _check_preview(path: Path, found: Findings) -> None:
    index = path / "preview" / PREVIEW_NAME
    if not index.exists():
        return
    with found.noting(f"preview/{PREVIEW_NAME}", "preview"):
        listed = read_document(index).get("pictures")
        entries: list[dict[str, Any]] = listed if isinstance(listed, list) else [{}]
        names = [entry.get("file") for entry in entries]
        if any(not isinstance(name, str) or Path(name).name != name for name in names):
            raise CorruptionError(f"{index} is not a list of pictures beside it")
        for entry in entries:
            with found.noting(f"preview/{entry['file']}", "picture"):
                picture = index.with_name(entry["file"])
                if sha256_file(picture) != entry.get("sha256"):
                    raise CorruptionError(f"{picture} is altered: its SHA-256 is not that of the index")
