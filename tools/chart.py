"""The recorded accuracies as one picture: systems of about equal cost of training together, best first."""

import statistics
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes

from bandwise.errors import UsageError
from bandwise.report.svg import ACCENT, INK, NEUTRAL, canvas, settings, svg_text
from bandwise.report.units import amount
from bandwise.runs.documents import Results
from tools.cost import grouped
from tools.pairs import MAIN_ROWS
from tools.recorded import Recorded, scores_of

CHARTED = "cifar10"
"""The data set with every control; accuracies on others would stretch the axis."""

_WIDTH = 7.6
_ROW = 0.24
_FRAME = 0.9


def evidence_svg(results: Recorded) -> str:
    """Draw the systems of the README on `CHARTED` as points with the spread over their seeds, cheapest first.

    Returns:
        The text of an SVG file, the same for the same results and version of matplotlib.

    Raises:
        UsageError: none of them is recorded.
    """
    chosen = {name: runs for name, runs in results.items() if name in MAIN_ROWS}
    groups = [
        (f"training: up to {amount(max(macs))} multiply-adds for each image (all epochs, forward)", group)
        for data, group, macs in grouped(chosen, "macs_total")
        if data == CHARTED
    ][::-1]
    if not groups:
        raise UsageError(f"there is no result of {CHARTED} to draw; record one of {', '.join(MAIN_ROWS)}")
    count = sum(1 + len(group) for _, group in groups)
    with mpl.rc_context(settings()):
        figure, axes = canvas(_WIDTH, _FRAME + _ROW * count)
        names: list[str] = []
        for title, group in groups:
            axes.axhline(len(names), color=INK, linewidth=0.6)
            place = (0.004, len(names) + 0.12)
            axes.annotate(title, place, xycoords=("axes fraction", "data"), va="top", fontsize=8, style="italic")
            names.append("")
            for name, runs in group.items():
                _system(axes, len(names), runs)
                names.append(name.removeprefix(f"{CHARTED}-"))
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.2)
        axes.grid(visible=False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("top-1 (%); a line is the standard deviation over seeds, a point without one is one seed")
        _legend(axes)
        return svg_text(figure)


def _system(axes: Axes, place: int, runs: Sequence[Results]) -> None:
    """Draw one row: the rule of the configuration filled, and a head hollow where it is not that rule."""
    colour = ACCENT if _sees_bands(runs[0]) else NEUTRAL
    by_head = runs[0].fusion.rule == "head"
    for system, face in (("fused", colour),) if by_head else (("head", "none"), ("fused", colour)):
        values = [100 * scores.top1 for run in runs if (scores := scores_of(run, system)) is not None]
        if len(values) < len(runs):
            continue
        axes.errorbar(
            statistics.mean(values),
            place,
            xerr=statistics.stdev(values) if len(values) > 1 else None,
            fmt="D" if by_head else "o",
            color=colour,
            markerfacecolor=face,
            elinewidth=1.2,
            capsize=2.0,
        )


def _sees_bands(run: Results) -> bool:
    """Whether the branches see different bands: a system of the method, not a control."""
    return len({entry.bands for entry in run.branches}) > 1


def _legend(axes: Axes) -> None:
    entries = (
        ("o", ACCENT, ACCENT, "bands"),
        ("o", NEUTRAL, NEUTRAL, "control"),
        ("o", "none", INK, "with a head"),
        ("D", ACCENT, ACCENT, "fused by a head"),
    )
    for mark, face, edge, text in entries:
        axes.plot([], [], mark, markersize=6, markerfacecolor=face, markeredgecolor=edge, label=text)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, fontsize=8, handletextpad=0.2, columnspacing=1.2)
