"""The verdict, computed from the numbers: what the fusion is ahead of, behind, or not to be told from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bandwise.report.kinds import LOW_RESOLUTION, describe, is_low_resolution
from bandwise.report.page import Statement, Tone
from bandwise.report.paired import Paired, compare
from bandwise.report.units import binomial_error, percent, points
from bandwise.report.view import RunView


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


def system_name(view: RunView) -> str:
    """Name what a run answers with: its fusion, or its only network."""
    assert view.config is not None
    assert view.results is not None
    fused = "the fusion of " if len(view.results["branches"]) > 1 else ""
    return f"{fused}{view.name} ({describe(view.config)})"


def why_not_comparable(first: RunView, other: RunView) -> str:
    """Say why two runs did not answer the same images; an empty text where they did."""
    assert first.results is not None
    assert other.results is not None
    ours, theirs = first.results["data"], other.results["data"]
    if ours["name"] != theirs["name"] or list(ours["classes"]) != list(theirs["classes"]):
        return f"{other.name} was made with other data ({theirs['name']}, {len(theirs['classes'])} classes)"
    if first.answers is None or other.answers is None:
        return f"the logits of {(first if first.answers is None else other).name} are not at hand"
    common, ours_at, theirs_at = np.intersect1d(first.answers.ids, other.answers.ids, return_indices=True)
    if not common.size:
        return f"{other.name} was scored on other images"
    if not np.array_equal(first.answers.labels[ours_at], other.answers.labels[theirs_at]):
        return f"{other.name} numbers its images in another way"
    return ""


def comparisons(first: RunView, controls: Sequence[RunView]) -> list[Comparison]:
    """Compare the result of the first run with every control run, with its best branch and with its low band."""
    assert first.results is not None
    found = [_with_run(first, other) for other in controls if other.results is not None]
    branches = first.results["branches"]
    if len(branches) > 1:
        best = first.results["reference"]["best_branch"]["branch"]
        low = _low_resolution_branch(first)
        found.append(_with_branch(first, best, "its best branch on the holdout" + (_LOW_TOO if best == low else "")))
        if low is not None and low != best:
            found.append(_with_branch(first, low, f"its branch {low}, which is the {LOW_RESOLUTION}"))
    return found


_LOW_TOO = f", which is also the {LOW_RESOLUTION}"


def _low_resolution_branch(view: RunView) -> int | None:
    assert view.config is not None
    assert view.results is not None
    branches = [entry["branch"] for entry in view.results["branches"]]
    return next((branch for branch in branches if is_low_resolution(view.config, branch)), None)


def _with_run(first: RunView, other: RunView) -> Comparison:
    assert first.results is not None
    assert other.results is not None
    top1 = other.results["fused"]["top1"]
    plain = first.results["fused"]["top1"] - top1
    reason = why_not_comparable(first, other)
    if reason:
        return Comparison(system_name(other), top1, plain, None, reason)
    assert first.answers is not None
    assert other.answers is not None
    _, ours_at, theirs_at = np.intersect1d(first.answers.ids, other.answers.ids, return_indices=True)
    paired = compare(first.answers.right[ours_at], other.answers.right[theirs_at])
    return Comparison(system_name(other), top1, paired.difference, paired)


def _with_branch(first: RunView, branch: int, name: str) -> Comparison:
    assert first.results is not None
    place = [entry["branch"] for entry in first.results["branches"]].index(branch)
    top1 = first.results["branches"][place]["top1"]
    plain = first.results["fused"]["top1"] - top1
    if first.answers is None:
        return Comparison(name, top1, plain, None, f"the logits of {first.name} are not at hand", branch)
    order = list(first.results["fusion"]["branches"])
    if branch not in order:
        return Comparison(name, top1, plain, None, "it is not part of the fusion", branch)
    paired = compare(first.answers.right, first.answers.branch_right[order.index(branch)])
    return Comparison(name, top1, paired.difference, paired, branch=branch)


def verdict(first: RunView, found: Sequence[Comparison]) -> list[Statement]:
    """Write the sentences: the overall one, losses before gains, then one for each comparison."""
    assert first.results is not None
    results = first.results
    name = f"the fusion of {first.name}" if len(results["branches"]) > 1 else first.name
    statements = [_overall(name, found)] if found else []
    top1, count = results["fused"]["top1"], results["n_eval"]
    if top1 - results["chance"] < 2 * binomial_error(top1, count):
        statements.insert(
            0,
            Statement(
                f"{_capital(name)} is right on {percent(top1)} of {count} images, which is not clearly more than "
                f"always naming the largest class ({percent(results['chance'])}).",
                "bad",
            ),
        )
    return statements + [_sentence(top1, comparison) for comparison in sorted(found, key=_losses_first)]


def _losses_first(comparison: Comparison) -> tuple[bool, bool, float]:
    return comparison.branch is not None, comparison.difference >= 0, comparison.difference


def _overall(name: str, found: Sequence[Comparison]) -> Statement:
    lost = [c.name for c in found if c.is_clear and c.difference < 0]
    behind = [c.name for c in found if not c.is_clear and c.difference < 0]
    ahead = [c.name for c in found if c.is_clear and c.difference > 0]
    level = [c.name for c in found if not c.is_clear and c.difference >= 0]
    parts = []
    if lost:
        parts.append(f"loses to {_listed(lost)}")
    if behind:
        parts.append(f"is behind {_listed(behind)} by a margin that these images cannot tell from zero")
    if ahead:
        parts.append(f"is ahead of {_listed(ahead)}")
    if level:
        parts.append(f"is not clearly ahead of {_listed(level)}")
    tone = "bad" if lost or behind else ("good" if not level else "plain")
    return Statement(f"{_capital(name)} {'; it '.join(parts)}.", tone)


def _sentence(top1: float, comparison: Comparison) -> Statement:
    paired = comparison.paired
    text = f"Against {comparison.name}: "
    if paired is None:
        return Statement(
            f"{text}{percent(top1)} and {percent(comparison.top1)}, {points(comparison.difference)} points; "
            f"not compared image by image, because {comparison.reason}."
        )
    meaning = "no clear difference"
    if paired.is_clear:
        meaning = "clearly better" if paired.difference > 0 else "clearly worse"
    text += (
        f"{percent(top1)} and {percent(comparison.top1)}, {points(paired.difference)} ± "
        f"{100 * paired.standard_error:.2f} points on {paired.n} images; right alone on {paired.only_first}, wrong "
        f"alone on {paired.only_second}, exact McNemar p {_p_text(paired.p_value)}: {meaning}."
    )
    return Statement(text, comparison.tone)


def _capital(text: str) -> str:
    return "The" + text[3:] if text.startswith("the ") else text


def _p_text(p_value: float) -> str:
    return f"= {p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
