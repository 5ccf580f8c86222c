"""The verdict, computed from the numbers: what the fusion is ahead of, behind, or not clearly different from.

Two classifiers are compared image by image: those on which exactly one of them is right decide.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bandwise.report.page import Statement, Tone
from bandwise.report.units import binomial_error, percent, points
from bandwise.report.view import LOW_RESOLUTION, EvaluatedRun, RunView, describe, is_low_resolution

_SIGNIFICANT = 0.05
_LOW_TOO = f", which is also the {LOW_RESOLUTION}"
# Whether a difference is clear and whether it is a loss, to what the first sentence says of it.
_STANDINGS = {
    (True, True): "loses to {}",
    (False, True): "is behind {} by a margin that these images cannot tell from zero",
    (True, False): "is ahead of {}",
    (False, False): "is not clearly ahead of {}",
}


@dataclass(frozen=True, slots=True)
class Paired:
    """How two classifiers compare, image by image."""

    n: int
    """Images that both classified."""
    only_first: int
    """Images on which only the first is right."""
    only_second: int

    @property
    def difference(self) -> float:
        """Accuracy of the first minus accuracy of the second, a fraction."""
        return (self.only_first - self.only_second) / self.n

    @property
    def standard_error(self) -> float:
        """Standard error of the difference of two paired proportions, a fraction."""
        discordant = self.only_first + self.only_second
        return math.sqrt(max(0.0, discordant - (self.only_first - self.only_second) ** 2 / self.n)) / self.n

    @property
    def p_value(self) -> float:
        """Exact two-sided McNemar test: how likely a split at least as uneven is when both are equally good.

        Source: McNemar, Note on the sampling error of the difference between correlated proportions or percentages,
        Psychometrika 12, 1947; exact form: a binomial test with probability one half.
        """
        discordant = self.only_first + self.only_second
        fewer = min(self.only_first, self.only_second)
        log_half = discordant * math.log(2)
        tail = math.fsum(math.exp(_log_choose(discordant, k) - log_half) for k in range(fewer + 1))
        return min(1.0, 2 * tail)

    @property
    def is_clear(self) -> bool:
        """Whether the p-value is below 0.05."""
        return self.p_value < _SIGNIFICANT


def compare(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Paired:
    """Compare two classifiers by whether each is right, (N,) and (N,), on the same images in the same order."""
    assert first.shape == second.shape
    assert first.size
    return Paired(first.size, int((first & ~second).sum()), int((second & ~first).sum()))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of the first run beside one other system."""

    name: str
    top1: float
    """Accuracy of the other system, a fraction."""
    difference: float
    """Accuracy of the result minus that of the other."""
    paired: Paired | None
    """Image by image, where both answered the same images."""
    reason: str = ""
    """Why there is no image-by-image comparison."""
    branch: int | None = None
    """The branch of the first run that it is; None where it is a run of its own."""

    @property
    def tone(self) -> Tone:
        """Good or bad only where the images can tell."""
        if not self.is_clear:
            return "plain"
        return "good" if self.difference > 0 else "bad"

    @property
    def is_clear(self) -> bool:
        """Whether the difference is larger than the choice of images explains."""
        return self.paired is not None and self.paired.is_clear


def system_name(run: EvaluatedRun) -> str:
    """Name what a run answers with: its fusion, or its only network."""
    return f"{'the fusion of ' if run.is_fused else ''}{run.name} ({describe(run.config)})"


def why_not_comparable(first: EvaluatedRun, other: EvaluatedRun) -> str:
    """Say why two runs did not answer the same images; an empty text where they did."""
    ours, theirs = first.results.data, other.results.data
    if (ours.name, ours.classes) != (theirs.name, theirs.classes):
        return f"{other.name} was made with other data ({theirs.name}, {len(theirs.classes)} classes)"
    if first.answers is None or other.answers is None:
        return f"the logits of {(first if first.answers is None else other).name} are not at hand"
    common, ours_at, theirs_at = np.intersect1d(first.answers.ids, other.answers.ids, return_indices=True)
    if not common.size:
        return f"{other.name} was scored on other images"
    if not np.array_equal(first.answers.labels[ours_at], other.answers.labels[theirs_at]):
        return f"{other.name} numbers its images in another way"
    return ""


def comparisons(first: EvaluatedRun, controls: Sequence[RunView]) -> list[Comparison]:
    """Compare the result of the first run with every control run, with its best branch and with its low band."""
    found = [_with_run(first, other) for other in controls if isinstance(other, EvaluatedRun)]
    if first.is_fused:
        reference = first.results.reference.best_branch
        best = reference.branch
        branches = [entry.branch for entry in first.results.branches]
        low = next((branch for branch in branches if is_low_resolution(first.config, branch)), None)
        what = "its best branch on the holdout" if reference.chosen_on else f"its branch {best}"
        found.append(_with_branch(first, best, what + (_LOW_TOO if best == low else "")))
        if low is not None and low != best:
            found.append(_with_branch(first, low, f"its branch {low}, which is the {LOW_RESOLUTION}"))
    return found


def _with_run(first: EvaluatedRun, other: EvaluatedRun) -> Comparison:
    top1 = other.results.fused.top1
    if reason := why_not_comparable(first, other):
        return Comparison(system_name(other), top1, first.results.fused.top1 - top1, None, reason)
    assert first.answers is not None
    assert other.answers is not None
    _, ours_at, theirs_at = np.intersect1d(first.answers.ids, other.answers.ids, return_indices=True)
    paired = compare(first.answers.right[ours_at], other.answers.right[theirs_at])
    return Comparison(system_name(other), top1, paired.difference, paired)


def _with_branch(first: EvaluatedRun, branch: int, name: str) -> Comparison:
    top1 = next(entry.top1 for entry in first.results.branches if entry.branch == branch)
    difference = first.results.fused.top1 - top1
    if first.answers is None:
        return Comparison(name, top1, difference, None, f"the logits of {first.name} are not at hand", branch)
    if branch not in first.results.fusion.branches:
        return Comparison(name, top1, difference, None, "it is not part of the fusion", branch)
    right = first.answers.branch_right[first.results.fusion.branches.index(branch)]
    paired = compare(first.answers.right, right)
    return Comparison(name, top1, paired.difference, paired, branch=branch)


def verdict(first: EvaluatedRun, found: Sequence[Comparison]) -> list[Statement]:
    """Write the sentences: the overall one, losses before gains, then one for each comparison."""
    results = first.results
    name = f"the fusion of {first.name}" if first.is_fused else first.name
    statements = [_overall(name, found)] if found else []
    top1, count = results.fused.top1, results.n_eval
    if top1 - results.chance < 2 * binomial_error(top1, count):
        statements.insert(
            0,
            Statement(
                f"{_capital(name)} is right on {percent(top1)} of {count} images, which is not clearly more than "
                f"always naming the largest class ({percent(results.chance)}).",
                "bad",
            ),
        )
    return statements + [_sentence(top1, comparison) for comparison in sorted(found, key=_losses_first)]


def _losses_first(comparison: Comparison) -> tuple[bool, bool, float]:
    return comparison.branch is not None, comparison.difference >= 0, comparison.difference


def _overall(name: str, found: Sequence[Comparison]) -> Statement:
    names = {key: [c.name for c in found if (c.is_clear, c.difference < 0) == key] for key in _STANDINGS}
    parts = [text.format(_listed(names[key])) for key, text in _STANDINGS.items() if names[key]]
    tone = "bad" if any(c.difference < 0 for c in found) else "plain" if names[False, False] else "good"
    return Statement(f"{_capital(name)} {'; it '.join(parts)}.", tone)


def _sentence(top1: float, comparison: Comparison) -> Statement:
    paired = comparison.paired
    text = f"Against {comparison.name}: {percent(top1)} and {percent(comparison.top1)}, {points(comparison.difference)}"
    if paired is None:
        return Statement(f"{text} points; not compared image by image, because {comparison.reason}.")
    meaning = {"good": "clearly better", "bad": "clearly worse", "plain": "no clear difference"}[comparison.tone]
    p_text = f"= {paired.p_value:.3f}" if paired.p_value >= 0.001 else "< 0.001"
    text += (
        f" ± {100 * paired.standard_error:.2f} points on {paired.n} images; right alone on {paired.only_first}, wrong "
        f"alone on {paired.only_second}, exact McNemar p {p_text}: {meaning}."
    )
    return Statement(text, comparison.tone)


def _capital(text: str) -> str:
    return "The" + text[3:] if text.startswith("the ") else text


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
