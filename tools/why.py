"""Why a fusion gains what it gains: what its branches have in common, how many there are, and what each adds."""

import statistics
from collections.abc import Sequence

import matplotlib as mpl

from bandwise.report.page import Table, to_markdown
from bandwise.report.svg import canvas, colours, settings, svg_text
from bandwise.runs.documents import LeftOut, Results, ScoredHead
from tools.diversity import Diversity
from tools.recorded import Recorded, spread

Studied = dict[str, list[Diversity]]
"""Compared branches by recipe, in the order of the seeds."""


def why_markdown(results: Recorded, studied: Studied) -> str:
    """Return the tables of the page."""
    tables = (common_table(results, studied), count_table(studied), share_table(results, studied))
    return "\n".join(to_markdown(table) for table in tables)


def common_table(results: Recorded, studied: Studied) -> Table:
    """What every two branches of a system have in common, beside what their fusion gains."""
    return Table(
        caption="What branches have in common",
        head=(
            "recipe",
            "seeds",
            "mean branch",
            "best branch",
            "disagree",
            "both wrong",
            "mean of logits",
            "gain over the mean branch",
            "learned",
            "head",
        ),
        rows=tuple(
            (
                name,
                ", ".join(str(run.seed) for run in runs),
                _percent([statistics.mean(run.top1) for run in runs]),
                _percent([max(run.top1) for run in runs]),
                _percent([_disagreement(run) for run in runs]),
                _percent([statistics.mean(pair.double_fault for pair in run.pairs) for run in runs]),
                _percent([run.counts[-1].mean for run in runs]),
                spread([100 * (run.counts[-1].mean - statistics.mean(run.top1)) for run in runs]),
                _percent([run.counts[-1].learned for run in runs]),
                _of_head(results.get(name, []), runs),
            )
            for name, runs in studied.items()
        ),
        note="Reported images, in percent; mean ± standard deviation over the seeds. Two branches disagree where they "
        "name different classes; both wrong is the double fault. Mean of the pairs of a system.",
    )


def count_table(studied: Studied) -> Table:
    """The accuracy against the number of branches."""
    most = max(len(run.counts) for runs in studied.values() for run in runs)
    shown = [count for count in (1, 2, 3, 4, 8, 16) if count <= most]
    rows = []
    for name, runs in studied.items():
        for what, key in (("any, mean", "average"), ("best on the holdout, learned", "learned")):
            cells = [_at(runs, count, key) for count in shown]
            if any(cells):
                rows.append((name, what, *cells))
    return Table(
        caption="Accuracy against the number of branches",
        head=("recipe", "which, and how they are fused", *map(str, shown)),
        rows=tuple(rows),
        text_columns=frozenset({0, 1}),
        note="Reported images, in percent. Any: the mean over all choices of so many branches. Best: those that have "
        "the most right on the holdout, with weights fitted there.",
    )


def share_table(results: Recorded, studied: Studied) -> Table:
    """What each band adds to its system."""
    rows = []
    for name in studied:
        runs = results.get(name, [])
        if not runs or len({entry.bands for entry in runs[0].branches}) < 2:
            continue
        energy = [sum(entry.energy for entry in run.branches) for run in runs]
        for place, branch in enumerate(runs[0].branches):
            shares = [run.branches[place].energy / total for run, total in zip(runs, energy, strict=True)]
            rows.append(
                (
                    name,
                    ",".join(map(str, branch.bands)),
                    _percent(shares),
                    _percent([run.branches[place].top1 for run in runs]),
                    _left_out([run.leave_one_out for run in runs], place),
                    _left_out([_head(run) for run in runs], place),
                )
            )
    return Table(
        caption="What each band adds",
        head=("recipe", "bands", "share of the energy", "top-1 alone", "it adds to learned", "it adds to a head"),
        rows=tuple(rows),
        note="Accuracy with all branches minus that without this one, in points of the reported images; mean ± "
        "standard deviation over the seeds. Energy: variance of the stored values over the training images.",
    )


def counts_svg(studied: Studied) -> str:
    """Draw the accuracy against the number of branches, a line a system: the mean over all choices of so many."""
    with mpl.rc_context(settings()):
        figure, axes = canvas(6.4, 3.6)
        chosen = {name: runs for name, runs in studied.items() if runs[0].counts[0].average is not None}
        for (name, runs), colour in zip(chosen.items(), colours(len(chosen)), strict=True):
            values = [_averages(runs, place) for place in range(len(runs[0].counts))]
            axes.errorbar(
                range(1, len(values) + 1),
                [statistics.mean(own) for own in values],
                yerr=[statistics.stdev(own) if len(own) > 1 else 0 for own in values],
                fmt="o-",
                color=colour,
                capsize=2.0,
                label=_short(name),
            )
        axes.set_xlabel("branches")
        axes.set_ylabel("top-1 of the mean of logits (%)")
        axes.set_xticks(range(1, max(len(runs[0].counts) for runs in chosen.values()) + 1))
        axes.legend(fontsize=8)
        return svg_text(figure)


def disagreement_svg(studied: Studied) -> str:
    """Draw what the fusion gains over the mean branch against how often two branches disagree, a point a run."""
    with mpl.rc_context(settings()):
        figure, axes = canvas(6.4, 3.6)
        for (name, runs), colour in zip(studied.items(), colours(len(studied)), strict=True):
            gains = [100 * (run.counts[-1].mean - statistics.mean(run.top1)) for run in runs]
            axes.plot([100 * _disagreement(run) for run in runs], gains, "o", color=colour, label=_short(name))
        axes.set_xlabel("two branches name different classes (%)")
        axes.set_ylabel("mean of logits over the mean branch (points)")
        axes.legend(fontsize=8)
        return svg_text(figure)


def _short(name: str) -> str:
    return name.removeprefix("imagewoof-")


def _averages(runs: Sequence[Diversity], place: int) -> list[float]:
    return [100 * average for run in runs if (average := run.counts[place].average) is not None]


def _disagreement(run: Diversity) -> float:
    return statistics.mean(pair.disagreement for pair in run.pairs)


def _percent(shares: Sequence[float]) -> str:
    return spread([100 * share for share in shares])


def _at(runs: Sequence[Diversity], count: int, key: str) -> str:
    found = [getattr(run.counts[count - 1], key) for run in runs if count <= len(run.counts)]
    return _percent(found) if found and None not in found else ""


def _of_head(recorded: Sequence[Results], runs: Sequence[Diversity]) -> str:
    found = [run.rules["head"].top1 for run in recorded if "head" in run.rules]
    return _percent(found) if len(found) == len(runs) else ""


def _head(run: Results) -> Sequence[LeftOut] | None:
    head = run.rules.get("head")
    return head.leave_one_out if isinstance(head, ScoredHead) else None


def _left_out(parts: Sequence[Sequence[LeftOut] | None], place: int) -> str:
    gains = [part[place].top1_gain for part in parts if part is not None]
    known = [100 * gain for gain in gains if gain is not None]
    return spread(known) if len(known) == len(parts) else ""
