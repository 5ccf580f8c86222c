"""Everything a report needs of one run, read from its files.

What is not there yet becomes a sentence on the page; what is damaged is kept apart, since it stops the report.
"""

import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bandwise.config import FusionRule, RunConfig
from bandwise.config.run import UNNAMED
from bandwise.errors import BandwiseError, CorruptionError
from bandwise.files.documents import read_document, read_rows
from bandwise.files.schema import plain
from bandwise.report.answers import Answers, answered, of_same_images
from bandwise.runs.documents import (
    HeadRecord,
    Results,
    ScoredHead,
    ScoredWeights,
    Scores,
    Summary,
    read_results,
    read_summary,
)
from bandwise.runs.logits import LogitsFile, read_logits
from bandwise.runs.run import Run, open_run

LOW_RESOLUTION = "low-resolution control"
_RULE_ORDER = typing.get_args(FusionRule)


@dataclass(frozen=True, slots=True)
class Epoch:
    """A row of `metrics.jsonl`."""

    epoch: float
    train_loss: float
    holdout_top1: float | None


@dataclass(frozen=True, kw_only=True)
class RunView:
    """One run, as far as it exists."""

    path: Path
    config: RunConfig | None
    curves: dict[int, list[Epoch]] = field(default_factory=dict)
    """Branch to its epochs."""
    summaries: dict[int, Summary] = field(default_factory=dict)
    """Branch to its summary.json."""
    problems: tuple[str, ...] = ()
    """What is missing, or does not fit the rest, as sentences."""
    damage: tuple[str, ...] = ()
    """Which files are damaged, and how."""

    @property
    def name(self) -> str:
        """The name of the experiment, or of the folder where it has none."""
        return self.path.name if self.config is None or self.config.name == UNNAMED else self.config.name

    @property
    def trained(self) -> str:
        """How long its branches were trained, such as `8 epochs`, or `5 to 8 of 60 epochs` where some ended early."""
        assert self.config is not None
        epochs = self.config.training.epochs
        found = sorted({summary.epochs for summary in self.summaries.values()} or {epochs})
        if found == [epochs]:
            return f"{epochs} epochs"
        return f"{' to '.join(map(str, dict.fromkeys((found[0], found[-1]))))} of {epochs} epochs"


@dataclass(frozen=True, kw_only=True)
class EvaluatedRun(RunView):
    """A run with its results."""

    config: RunConfig
    results: Results
    ten_crop: Results | None
    """The results of ten crops, where they were asked for."""
    answers: Answers | None
    """None where the logits are not there, or do not belong to the results."""

    @property
    def is_fused(self) -> bool:
        """Whether the run has several branches."""
        return len(self.results.branches) > 1

    @property
    def headline(self) -> Scores:
        """The scores of what the run answers with: its fusion, or its only network as it is."""
        return self.results.fused if self.is_fused else self.results.branches[0]

    @property
    def rules(self) -> dict[str, ScoredWeights | ScoredHead]:
        """The fusion rules, in the order in which they are documented."""
        entries = self.results.rules
        return {rule: entries[rule] for rule in _RULE_ORDER if rule in entries}

    @property
    def weighing_rules(self) -> dict[str, ScoredWeights]:
        """The rules that are weights of the branches; a head is none."""
        return {rule: entry for rule, entry in self.rules.items() if isinstance(entry, ScoredWeights)}


def read_view(path: Path) -> RunView:
    """Read a run folder as far as it goes."""
    try:
        run = open_run(path)
    except CorruptionError as error:
        return RunView(path=path, config=None, damage=(str(error),))
    except BandwiseError as error:
        return RunView(path=path, config=None, problems=(f"This run could not be read: {error}.",))
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
    view = RunView(
        path=path,
        config=run.config,
        curves=curves,
        summaries=summaries,
        problems=tuple(problems),
        damage=tuple(damage),
    )
    if results is None:
        return view
    return EvaluatedRun(**vars(view), results=results, ten_crop=ten_crop, answers=answers)


def is_baseline(config: RunConfig) -> bool:
    """Whether the run is one network on the whole image."""
    return config.split.stride == 1 and len(config.groups()) == 1


def is_low_resolution(config: RunConfig, branch: int) -> bool:
    """Whether a branch sees only the mean of each block of pixels, which is the image made smaller."""
    has_mean = config.split.transform not in ("identity", "refft")
    return config.split.stride > 1 and has_mean and config.groups()[branch] == (0,)


def describe(config: RunConfig) -> str:
    """Say in a few words what a run is: the method, the baseline, or one of the controls."""
    groups, stride, transform = config.groups(), config.split.stride, config.split.transform
    count = len(groups)
    if stride == 1:
        return "one network on the whole image" if count == 1 else f"{count} networks on the whole image"
    if is_low_resolution(config, 0) and len(set(groups)) == 1:
        return f"{'one network' if count == 1 else f'{count} networks'} on the low-resolution band of stride {stride}"
    if count == 1:
        return f"{len(groups[0])} {transform} band{'s' if len(groups[0]) > 1 else ''} of stride {stride} in one network"
    if transform == "identity":
        return f"{count} phases of stride {stride} without a transform, a network each"
    if any(len(group) > 1 for group in groups):
        return f"{count} networks on groups of {transform} bands of stride {stride}"
    return f"{count} {transform} bands of stride {stride}, a network each"


def branch_name(config: RunConfig, branch: int) -> str:
    """Name a branch by its number and its bands; the low-resolution one is named as the control that it is."""
    bands = config.groups()[branch]
    if is_low_resolution(config, branch):
        return f"branch {branch}, which is the {LOW_RESOLUTION}"
    if config.split.stride == 1:
        return f"branch {branch} (whole image)"
    return f"branch {branch} (band{'s' if len(bands) > 1 else ''} {', '.join(map(str, bands))})"


@contextmanager
def _noting(damage: list[str]) -> Iterator[None]:
    """Add what is damaged to the list, and continue."""
    try:
        yield
    except CorruptionError as error:
        damage.append(str(error))


def _results(run: Run, crops: int, problems: list[str], damage: list[str]) -> Results | None:
    path, fitted = run.results_path(crops), run.fusion_path(crops)
    results = fusion = None
    if path.exists():
        with _noting(damage):
            results = read_results(path)
    else:
        problems.append(f"There are no results yet: run `bandwise evaluate {run.path}`.")
    if fitted.exists():
        with _noting(damage):
            fusion = read_document(fitted)
    if results is not None and fusion is not None and fusion != plain(results.fusion):
        problems.append(
            f"{path} is older than {fitted.name}, which holds another fusion by now: "
            f"run `bandwise evaluate {run.path}` again."
        )
    return results


def _curve(path: Path, summary: Summary | None) -> list[Epoch]:
    """Read the rows of the finished epochs; a damaged row, or a missing one of a finished branch, is an error."""
    try:
        rows = [
            Epoch(row["epoch"], float(row["train_loss"]), row["holdout"]["top1"] if row.get("holdout") else None)
            for row in read_rows(path)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptionError(f"{path} does not hold the rows of epochs: {error!r}") from error
    if summary is not None and len(rows) < summary.epochs:
        raise CorruptionError(f"{path} has {len(rows)} rows; the branch was trained for {summary.epochs} epochs")
    return rows


def _answers(run: Run, results: Results, problems: list[str], damage: list[str]) -> Answers | None:
    fusion = results.fusion
    paths = [run.logits_path("val", branch, 1) for branch in fusion.branches]
    if isinstance(fusion, HeadRecord):
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
    if not of_same_images(files):
        problems.append(
            "Images could not be compared one by one: the logits of the branches are not of the same images."
        )
        return None
    answers = answered(files, fusion)
    # Equal logits may be ordered differently by two libraries; more than that means other files.
    if abs(answers.right.mean() - results.fused.top1) * answers.ids.size > 1.5:
        problems.append(
            "The logits on disk do not give the accuracy in results.json; they were written at another time. "
            "Run `bandwise evaluate` again; image-by-image figures are left out."
        )
        return None
    return answers
