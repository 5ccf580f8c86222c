"""One self-contained page: no script, no font, no picture and no style comes from anywhere else.

Its only script, which sorts tables, is named to the browser by its hash; no other one runs.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from bandwise.errors import CorruptionError, UsageError
from bandwise.files import atomic
from bandwise.report.compose import compose
from bandwise.report.page import Page, page_to_markdown
from bandwise.report.view import read_view


def render_report(runs: Sequence[Path], out: Path) -> Path:
    """Write a report that compares runs to the HTML file `out`, and the same as Markdown beside it; return `out`.

    The first run is the one reported; the others are its controls. What a run lacks is named on the page; where files
    are damaged a `CorruptionError` names all of them, since a page without them would look like that of a run that has
    not come so far.
    """
    if not runs:
        raise UsageError("a report needs at least one run folder")
    if out.suffix != ".html":
        raise UsageError(f"the report is {str(out)!r}; its name must end in .html")
    if out.exists() and not (out.is_file() or out.is_dir()):
        raise UsageError(f"{out} is no regular file, and the report would take its place; name another path")
    views = [read_view(path) for path in runs]
    if damage := [line for view in views for line in view.damage]:
        raise CorruptionError(
            "no report was written, since it would rest on damaged files:\n  "
            + "\n  ".join(damage)
            + "\n`bandwise verify RUN --repair` mends or removes them, and says what to run then"
        )
    atomic.require_writable(out.parent)
    page = compose(views)
    atomic.write_text(out.with_suffix(".md"), page_to_markdown(page))
    atomic.write_text(out, page_to_html(page))
    return out


def page_to_html(page: Page) -> str:
    """Fill the template; every text is escaped."""
    environment = Environment(
        loader=PackageLoader("bandwise.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    script = environment.get_template("sort.js").render().encode()
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    return environment.get_template("report.html").render(page=page, script_sha256=digest)
