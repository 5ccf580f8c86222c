"""Everything a report needs of one run, read from its files.

What is not there yet becomes a sentence on the page; what is damaged is kept apart, since it stops the report.
"""

import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandwise.config import FusionRule, RunConfig
from bandwise.errors import BandwiseError, CorruptionError
from bandwise.files.documents import read_document, read_rows
from bandwise.runs.documents import Summary, read_summary
from bandwise.runs.run import LogitsFile, Run, open_run, read_logits

_RULE_ORDER = typing.get_args(FusionRule)
_NEEDED = ("name", "data", "crops", "n_eval", "n_total", "chance", "branches", "fused", "fusion", "rules", "reference")
_NEEDED_TOO = ("cost", "environment", "config")


@dataclass(frozen=True, slots=True)
class Answers:
    """What the branches of a run and their fusion said about every reported image."""

    ids: NDArray[np.int64]
    """(N,), increasing."""
    labels: NDArray[np.int64]
    """(N,)."""
    logits: NDArray[np.float64]
    """(n, N, K)."""
    fused: NDArray[np.float64]
    """(N, K), weighted logits, or those of a fusion head, at temperature 1."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,), whether the fusion is right."""
        return self.fused.argmax(axis=1) == self.labels

    @property
    def branch_right(self) -> NDArray[np.bool_]:
        """(n, N), whether each branch is right."""
        return self.logits.argmax(axis=2) == self.labels


@dataclass(frozen=True, slots=True)
class RunView:
    """One run, as far as it exists."""

    path: Path
    config: RunConfig | None = None
    results: dict[str, Any] | None = None
    ten_crop: dict[str, Any] | None = None
    """The results of ten crops, where they were asked for."""
    curves: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    """Branch to the rows of its metrics.jsonl, one for each epoch."""
    summaries: dict[int, Summary] = field(default_factory=dict)
    """Branch to its summary.json."""
    answers: Answers | None = None
    problems: tuple[str, ...] = ()
    """What is missing, or does not fit the rest, as sentences."""
    damage: tuple[str, ...] = ()
    """Which files are damaged, and how."""

    @property
    def headline(self) -> dict[str, Any]:
        """The scores of what the run answers with: its fusion, or its only network as it is."""
        assert self.results is not None
        branches = self.results["branches"]
        return self.results["fused"] if len(branches) > 1 else branches[0]

    @property
    def rules(self) -> dict[str, dict[str, Any]]:
        """The entries of the fusion rules, in the order in which the rules are documented."""
        assert self.results is not None
        entries = self.results["rules"]
        return {rule: entries[rule] for rule in _RULE_ORDER if rule in entries}

    @property
    def weighing_rules(self) -> dict[str, dict[str, Any]]:
        """The entries of the rules that are weights of the branches; a head is none."""
        return {rule: entry for rule, entry in self.rules.items() if "weights" in entry}

    @property
    def name(self) -> str:
        """The name of the experiment, or of the folder where nothing else is known."""
        return self.path.name if self.config is None else self.config.name


def read_view(path: Path) -> RunView:
    """Read a run folder as far as it goes."""
    try:
        run = open_run(path)
    except CorruptionError as error:
        return RunView(path, damage=(str(error),))
    except BandwiseError as error:
        return RunView(path, problems=(f"This run could not be read: {error}.",))
    problems: list[str] = []
    damage: list[str] = []
    results = _results(run, 1, problems, damage)
    ten_crop = _results(run, 10, problems, damage) if run.results_path(10).exists() else None
    curves, summaries = {}, {}
    for branch in range(len(run.groups)):
        folder = run.branch_folder(branch)
        if (folder / "summary.json").exists():
            with _noting(damage):
                summaries[branch] = read_summary(folder)
        else:
            problems.append(f"Branch {branch} is not trained: {folder.name} has no summary.json.")
        curves[branch] = []
        if (folder / "metrics.jsonl").exists():
            with _noting(damage):
                curves[branch] = _curve(folder / "metrics.jsonl", summaries.get(branch))
    answers = None if results is None else _answers(run, results, problems, damage)
    return RunView(path, run.config, results, ten_crop, curves, summaries, answers, tuple(problems), tuple(damage))


@contextmanager
def _noting(damage: list[str]) -> Iterator[None]:
    """Note what is damaged, and go on."""
    try:
        yield
    except CorruptionError as error:
        damage.append(str(error))


def _results(run: Run, crops: int, problems: list[str], damage: list[str]) -> dict[str, Any] | None:
    path, fitted = run.results_path(crops), run.fusion_path(crops)
    content = fusion = None
    if path.exists():
        with _noting(damage):
            content = _scored(path)
    else:
        problems.append(f"There are no results yet: run `bandwise evaluate {run.path}`.")
    if fitted.exists():
        with _noting(damage):
            fusion = read_document(fitted)
    # Without the file nobody can know.
    if content is not None and fusion is not None and fusion != content["fusion"]:
        problems.append(
            f"{path} is older than {fitted.name}, which holds another fusion by now: "
            f"run `bandwise evaluate {run.path}` again."
        )
    return content


def _scored(path: Path) -> dict[str, Any]:
    content = read_document(path)
    missing = (
        [key for key in (*_NEEDED, *_NEEDED_TOO) if key not in content]
        if content.get("format") == "bandwise-results" and content.get("version") == 1
        else ["a format that this program reads"]
    )
    if missing:
        raise CorruptionError(f"{path} lacks {', '.join(missing)}; write it again with `bandwise evaluate`")
    return content


def _curve(path: Path, summary: Summary | None) -> list[dict[str, Any]]:
    """Read the rows of the finished epochs.

    Raises:
        CorruptionError: a row is damaged, or one of a finished branch is missing.
    """
    try:
        rows = [
            {"epoch": row["epoch"], "train_loss": float(row["train_loss"]), "holdout": row.get("holdout")}
            for row in read_rows(path)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptionError(f"{path} does not hold the rows of epochs: {error!r}") from error
    if summary is not None and len(rows) < summary.epochs:
        raise CorruptionError(f"{path} has {len(rows)} rows; the branch was trained for {summary.epochs} epochs")
    return rows


def _answers(run: Run, results: dict[str, Any], problems: list[str], damage: list[str]) -> Answers | None:
    fusion = results["fusion"]
    with_head = "weights" not in fusion
    paths = [run.logits_path("val", branch, 1) for branch in fusion["branches"]]
    if with_head:
        paths.append(run.head_logits_path)
    files: list[LogitsFile] = []
    for path in paths:
        if not path.exists():
            problems.append(f"Images could not be compared one by one: {path} is not there; run `bandwise evaluate`.")
            return None
        with _noting(damage):
            files.append(read_logits(path))
    if len(files) < len(paths):
        return None
    if not _alike(files):
        problems.append(
            "Images could not be compared one by one: the logits of the branches are not of the same images."
        )
        return None
    logits = np.stack([content.logits.astype(np.float64) for content in files])
    if with_head:
        logits, fused = logits[:-1], logits[-1]
    else:
        fused = np.tensordot(np.asarray(fusion["weights"], dtype=np.float64), logits, axes=1)
    answers = Answers(files[0].ids, files[0].labels, logits, fused)
    # Equal logits may be ordered differently by two libraries; more than that means other files.
    if abs(answers.right.mean() - results["fused"]["top1"]) * answers.ids.size > 1.5:
        problems.append(
            "The logits on disk do not give the accuracy in results.json; they were written at another time. "
            "Run `bandwise evaluate` again; image-by-image figures are left out."
        )
        return None
    return answers


def _alike(files: list[LogitsFile]) -> bool:
    first = files[0]
    return all(
        np.array_equal(first.ids, other.ids)
        and np.array_equal(first.labels, other.labels)
        and first.logits.shape == other.logits.shape
        for other in files[1:]
    )
