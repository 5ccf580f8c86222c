"""Everything a report needs of one run, read from its files; what is missing becomes a sentence, not an exception."""

import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandwise.config import FusionRule, RunConfig
from bandwise.errors import BandwiseError, CorruptionError
from bandwise.runs import LogitsFile, Run, open_run, read_logits, read_summary
from bandwise.sealing import read_document, read_rows

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
    summaries: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Branch to its summary.json."""
    answers: Answers | None = None
    problems: tuple[str, ...] = ()
    """What is missing or damaged, as sentences."""

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
    except BandwiseError as error:
        return RunView(path, problems=(f"This run could not be read: {error}.",))
    problems: list[str] = []
    results = _results(run, 1, problems)
    ten_crop = _results(run, 10, problems) if run.results_path(10).exists() else None
    curves, summaries = {}, {}
    for branch in range(len(run.groups)):
        curves[branch] = _curve(run.branch_folder(branch) / "metrics.jsonl", problems)
        summary = run.branch_folder(branch) / "summary.json"
        if summary.exists():
            try:
                summaries[branch] = read_summary(summary.parent)
            except CorruptionError as error:
                problems.append(f"{error}.")
        else:
            problems.append(f"Branch {branch} is not trained: {summary.parent.name} has no summary.json.")
    answers = None if results is None else _answers(run, results, problems)
    return RunView(path, run.config, results, ten_crop, curves, summaries, answers, tuple(problems))


def _results(run: Run, crops: int, problems: list[str]) -> dict[str, Any] | None:
    path = run.results_path(crops)
    if not path.exists():
        problems.append(f"There are no results yet: run `bandwise evaluate {run.path}`.")
        return None
    try:
        content = read_document(path)
    except CorruptionError as error:
        problems.append(f"{error}.")
        return None
    missing = (
        [key for key in (*_NEEDED, *_NEEDED_TOO) if key not in content]
        if content.get("format") == "bandwise-results" and content.get("version") == 1
        else ["a format that this program reads"]
    )
    if missing:
        problems.append(f"{path} lacks {', '.join(missing)}; write it again with `bandwise evaluate`.")
        return None
    if _fused_again(run.fusion_path(crops), content["fusion"]):
        problems.append(
            f"{path} is older than {run.fusion_path(crops).name}, which holds another fusion by now: "
            f"run `bandwise evaluate {run.path}` again."
        )
    return content


def _fused_again(path: Path, scored: Any) -> bool:
    """Say whether `fusion.json` holds another fusion than the one that was scored; without the file nobody can know."""
    try:
        return path.exists() and read_document(path) != scored
    except CorruptionError:
        return True


def _curve(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """Read the rows of the finished epochs; a file of which a line is damaged has no curve."""
    if not path.exists():
        return []
    try:
        return [
            {"epoch": row["epoch"], "train_loss": float(row["train_loss"]), "holdout": row.get("holdout")}
            for row in read_rows(path)
        ]
    except (CorruptionError, KeyError, TypeError, ValueError) as error:
        problems.append(f"There is no curve of {path.parent.name}: {error}.")
        return []


def _answers(run: Run, results: dict[str, Any], problems: list[str]) -> Answers | None:
    fusion = results["fusion"]
    with_head = "weights" not in fusion
    try:
        files = [read_logits(run.logits_path("val", branch, 1)) for branch in fusion["branches"]]
        if with_head:
            files.append(read_logits(run.head_logits_path))
        _require_alike(files)
    except BandwiseError as error:
        problems.append(f"Images could not be compared one by one: {error}.")
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


def _require_alike(files: list[LogitsFile]) -> None:
    first = files[0]
    for other in files[1:]:
        same = np.array_equal(first.ids, other.ids) and np.array_equal(first.labels, other.labels)
        if not same or first.logits.shape != other.logits.shape:
            raise CorruptionError("the logits of the branches are not of the same images")
