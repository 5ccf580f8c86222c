"""The charts of a report. Each takes plain numbers and returns one figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from bandwise.evaluation.metrics import ECE_BINS
from bandwise.report.page import Figure
from bandwise.report.svg import ACCENT, INK, NEUTRAL, SOFT, canvas, colours, finish, settings
from bandwise.report.units import binomial_error, percent

_WIDTH = 5.0
_MANY = 24
_LEGEND = 10
_NUMBERED_CELLS = 10


@dataclass(frozen=True, slots=True)
class Bar:
    """One accuracy over `n` images."""

    label: str
    top1: float
    n: int
    kind: Literal["result", "control", "branch"]


@dataclass(frozen=True, slots=True)
class Priced:
    """One accuracy and the multiply-adds of one image that it took."""

    label: str
    macs: float
    top1: float
    kind: Literal["result", "control", "branch"]


@dataclass(frozen=True, slots=True)
class Line:
    """One training curve."""

    label: str
    epochs: Sequence[float]
    values: Sequence[float]
    is_control: bool = False


_BAR_COLOURS = {"result": ACCENT, "control": NEUTRAL, "branch": SOFT}


def accuracy_chart(bars: Sequence[Bar], chance: float) -> Figure:
    """Draw accuracies with one binomial standard error to each side; many branches become points over their number."""
    caption = "Top-1 accuracy on the reported images; whiskers are one binomial standard error, the line is chance."
    text = ", ".join(f"{bar.label} {percent(bar.top1)}" for bar in bars[:12]) + (" and more" if len(bars) > 12 else "")
    with mpl.rc_context(settings()):
        branches = [bar for bar in bars if bar.kind == "branch"]
        if len(branches) > _MANY:
            figure, axes = canvas(_WIDTH, 3.4)
            _points(axes, branches, [bar for bar in bars if bar.kind != "branch"])
            axes.axhline(100 * chance, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        else:
            figure, axes = canvas(_WIDTH, max(2.9, 0.55 + 0.29 * len(bars)))
            _bars(axes, bars)
            axes.axvline(100 * chance, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        return finish(figure, alt=f"Accuracies: {text}; chance {percent(chance)}.", caption=caption)


def price_chart(points: Sequence[Priced]) -> Figure:
    """Draw accuracy against the multiply-adds of one image; up and to the left is better."""
    with mpl.rc_context(settings()):
        figure, axes = canvas(_WIDTH, 2.9)
        names = {"branch": "single branches", "control": "controls", "result": "the result"}
        for kind, name in names.items():
            chosen = [point for point in points if point.kind == kind]
            if chosen:
                places = [point.macs / 1e6 for point in chosen], [100 * point.top1 for point in chosen]
                axes.plot(*places, "o", color=_BAR_COLOURS[kind], markersize=7, label=name)
        for point in points:
            if point.kind != "branch":
                place = (point.macs / 1e6, 100 * point.top1)
                axes.annotate(point.label, place, xytext=(0, 7), textcoords="offset points", ha="center", fontsize=8)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.25, y=0.15)
        axes.set_xlabel("million multiply-adds of one image, log scale")
        axes.set_ylabel("top-1 (%)")
        axes.legend(fontsize=8, loc="lower right")
        text = ", ".join(f"{p.label} {percent(p.top1)} for {p.macs / 1e6:.3g} million" for p in points[:12])
        return finish(
            figure,
            alt=f"Accuracy against multiply-adds: {text}.",
            caption="What the accuracy costs at inference: up and to the left is better.",
        )


def _bars(axes: Axes, bars: Sequence[Bar]) -> None:
    places = np.arange(len(bars))[::-1]
    values = [100 * bar.top1 for bar in bars]
    errors = [100 * binomial_error(bar.top1, bar.n) for bar in bars]
    whiskers = {"ecolor": INK, "elinewidth": 0.9, "capsize": 2.5}
    axes.barh(
        places, values, xerr=errors, color=[_BAR_COLOURS[bar.kind] for bar in bars], height=0.68, error_kw=whiskers
    )
    for place, value, error in zip(places, values, errors, strict=True):
        axes.text(value + error + 1.2, place, f"{value:.1f}", va="center")
    axes.set_yticks(places, [bar.label for bar in bars])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlim(0, max(value + error for value, error in zip(values, errors, strict=True)) * 1.12 + 1)
    axes.set_xlabel("top-1 (%)")


def _points(axes: Axes, branches: Sequence[Bar], others: Sequence[Bar]) -> None:
    errors = [100 * binomial_error(bar.top1, bar.n) for bar in branches]
    axes.errorbar(
        range(len(branches)),
        [100 * bar.top1 for bar in branches],
        yerr=errors,
        fmt="o",
        color=ACCENT,
        markersize=4,
        elinewidth=0.9,
        label="branches",
    )
    styles = ["-", "--", ":", "-."]
    for number, bar in enumerate(others):
        colour = _BAR_COLOURS[bar.kind]
        axes.axhline(100 * bar.top1, color=colour, linestyle=styles[number % 4], label=bar.label)
    axes.set_xlabel("branch")
    axes.set_ylabel("top-1 (%)")
    axes.set_ylim(bottom=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, fontsize=8)


def curve_chart(lines: Sequence[Line], *, what: str, unit: str, caption: str) -> Figure:
    """Draw one curve a network against the epoch; controls are dashed."""
    with mpl.rc_context(settings()):
        figure, axes = canvas(_WIDTH, 3.1)
        drawn = [line for line in lines if len(line.epochs)]
        shades = iter(colours(sum(not line.is_control for line in drawn)))
        for line in drawn:
            colour, dashes = (NEUTRAL, "--") if line.is_control else (next(shades), "-")
            # A single epoch is a point, not a line.
            marker = "o" if len(line.epochs) == 1 else None
            axes.plot(line.epochs, line.values, color=colour, linestyle=dashes, marker=marker, label=line.label)
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{what} ({unit})")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(drawn) <= _LEGEND:
            axes.legend(fontsize=8, ncols=2 if len(drawn) > 5 else 1)
        ends = ", ".join(f"{line.label} {line.values[-1]:.3g}" for line in drawn[:12])
        return finish(figure, alt=f"{what} by epoch, at the end: {ends}.", caption=caption)


def weights_chart(rules: Sequence[str], weights: NDArray[np.float64], branches: Sequence[str]) -> Figure:
    """Draw the weights (rules, branches) of each rule as one stacked bar."""
    with mpl.rc_context(settings()):
        rows = -(-min(len(branches), 16) // 4)
        figure, axes = canvas(_WIDTH, 0.75 + 0.36 * len(rules) + 0.2 * rows)
        places = np.arange(len(rules))[::-1]
        left = np.zeros(len(rules))
        for column, (name, colour) in enumerate(zip(branches, colours(len(branches)), strict=True)):
            share = 100 * weights[:, column]
            axes.barh(places, share, left=left, color=colour, height=0.66, label=name)
            for place, start, width in zip(places, left, share, strict=True):
                if width >= 7:
                    axes.text(start + width / 2, place, f"{width:.0f}", va="center", ha="center", color="white")
            left = left + share
        axes.set_yticks(places, list(rules))
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of the weight (%)")
        axes.grid(visible=False, axis="y")
        if len(branches) <= 16:
            figure.legend(loc="outside upper left", ncols=4, fontsize=8, handlelength=1.0)
        text = "; ".join(
            f"{rule}: " + ", ".join(f"{name} {percent(w, 0)}" for name, w in zip(branches[:16], row, strict=False))
            for rule, row in zip(rules, weights, strict=True)
        )
        return finish(figure, alt=f"Fusion weights. {text}.", caption="How each rule weighs the branches.")


def disagreement_chart(shares: NDArray[np.float64], branches: Sequence[str]) -> Figure:
    """Draw for every two branches the share of images that they answer differently."""
    count = len(branches)
    with mpl.rc_context(settings()):
        side = min(_WIDTH, 1.7 + 0.42 * count)
        figure, axes = canvas(side + 0.6, side)
        values = np.where(np.eye(count, dtype=bool), np.nan, 100 * shares)
        image = axes.imshow(values, cmap="viridis", vmin=0, vmax=100)
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        step = max(1, count // 16)
        axes.set_xticks(range(0, count, step), list(branches[::step]))
        axes.set_yticks(range(0, count, step), list(branches[::step]))
        axes.set_xlabel("branch")
        axes.set_ylabel("branch")
        if count <= _NUMBERED_CELLS:
            for row, column in np.argwhere(~np.isnan(values)):
                shade = "white" if values[row, column] < 60 else "black"
                axes.text(column, row, f"{values[row, column]:.0f}", ha="center", va="center", color=shade)
        bar = figure.colorbar(image, ax=axes, shrink=0.85, label="answered differently (%)")
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        mean = float(np.nanmean(values)) / 100
        return finish(
            figure,
            alt=f"Disagreement of every two branches; on average they differ on {percent(mean, 0)} of the images.",
            caption="Share of the images that two branches answer differently.",
        )


def reliability_chart(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Figure:
    """Draw how often answers of each confidence are right; the bins are those of the expected calibration error."""
    edges = np.linspace(0, 1, ECE_BINS + 1)
    bins = np.minimum(np.digitize(confidence, edges) - 1, ECE_BINS - 1)
    counts = np.bincount(bins, minlength=ECE_BINS)
    held = counts > 0
    shares, means = (np.bincount(bins, values, ECE_BINS)[held] / counts[held] for values in (right, confidence))
    with mpl.rc_context(settings()):
        figure, axes = canvas(_WIDTH, 3.4)
        centres = (edges[:-1] + edges[1:])[held] / 2
        axes.bar(100 * centres, 100 * shares, width=86 / ECE_BINS, color=SOFT)
        axes.plot([0, 100], [0, 100], color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        for centre, share, count in zip(centres, shares, counts[held], strict=True):
            axes.annotate(
                f"{count}", (100 * centre, 100 * share), (0, 2), textcoords="offset points", ha="center", fontsize=7
            )
        axes.set_xlabel("confidence (%)")
        axes.set_ylabel("right (%)")
        axes.set_ylim(0, 108)
        parts = zip(means, shares, counts[held], strict=True)
        text = "; ".join(f"{percent(sure, 0)} sure, {percent(share, 0)} right, {n} images" for sure, share, n in parts)
        return finish(
            figure,
            alt=f"Reliability. {text}.",
            caption="How often the result is right by how sure it is; numbers are images. On the line it is as often "
            "right as it says.",
        )
