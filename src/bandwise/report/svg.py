"""Figures as SVG: the same bytes for the same numbers, readable on a light and on a dark page."""

import base64
import io
import re
import warnings

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Canvas

from bandwise.report.page import Figure

INK = "#24292f"
FAINT = "#d8dee4"
ACCENT = "#2f6fd0"
NEUTRAL = "#8b949e"
SOFT = "#86aee6"
CATEGORIES = ("#2f6fd0", "#d9822b", "#2f9e6e", "#c8503c", "#8a63d2", "#1fa3b5", "#c2559d", "#8b949e")

_CSS_PIXELS_AN_INCH = 96
_SETTINGS = {
    "svg.hashsalt": "bandwise",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}
# The page decides on dark or light; a picture inherits that decision, so its ink is a variable with two values.
_STYLE = (
    f"<style>:root{{--ink:{INK};--faint:{FAINT}}}"
    "@media(prefers-color-scheme:dark){:root{--ink:#d7dde4;--faint:#3a424c}}</style>"
)


def settings() -> mpl.RcParams:
    """Return the settings that every figure is drawn and saved with, over matplotlib's own defaults."""
    return mpl.RcParams({**mpl.rcParamsDefault, **_SETTINGS, "backend": "agg"})


def canvas(width: float, height: float) -> tuple[Canvas, Axes]:
    """Return an empty figure, sized in inches of 96 pixels, with one pair of axes; no global state is touched."""
    figure = Canvas(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def svg_text(figure: Canvas) -> str:
    """Return a drawn figure as the text of an SVG file."""
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # The page is drawn with fonts of the browser, so it does not matter what matplotlib's own fonts lack.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = stream.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace(INK, "var(--ink)").replace(FAINT, "var(--faint)")
    text = re.sub(r"(<svg[^>]*>)", rf"\1{_STYLE}", text, count=1)
    return text.replace("'DejaVu Sans'", "system-ui, 'DejaVu Sans', sans-serif")


def finish(figure: Canvas, *, alt: str, caption: str) -> Figure:
    """Turn a drawn figure into a data URI."""
    text = svg_text(figure)
    width, height = (round(inches * _CSS_PIXELS_AN_INCH) for inches in figure.get_size_inches())
    uri = "data:image/svg+xml;base64," + base64.b64encode(text.encode("utf-8")).decode("ascii")
    return Figure(uri=uri, alt=alt, caption=caption, width=width, height=height)


def colours(count: int) -> list[str]:
    """Return a colour for each of `count` branches: distinct ones for a few, a scale for many."""
    if count <= len(CATEGORIES):
        return list(CATEGORIES[:count])
    scale = mpl.colormaps["turbo"]
    return [to_hex(scale(0.08 + 0.84 * place / (count - 1))) for place in range(count)]
