"""Predictions as CSV that a spreadsheet can open without running anything."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from bandwise.files.atomic import write_text
from bandwise.serving.predict import Prediction, printable

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def write_csv(path: Path, rows: Iterable[Prediction], *, top: int = 5) -> None:
    """Write predictions atomically as UTF-8 CSV: path, status, reason, detail, then class and probability pairs.

    A text that a spreadsheet would take for a formula gets an apostrophe in front; a line break in a path becomes
    `\\n` in letters. For paths to the last byte use JSON.

    Args:
        path: the file.
        rows: the predictions.
        top: pairs of columns for classes.

    Raises:
        NoSpaceError: the disk is full.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    pairs = [f"{name}_{place}" for place in range(1, top + 1) for name in ("class", "probability")]
    writer.writerow(["path", "status", "reason", "detail", *pairs])
    for row in rows:
        cells = [safe_cell(text) for text in (row.path, row.status, row.reason, row.detail)]
        for score in row.classes[:top]:
            cells += [safe_cell(score.name), f"{score.probability:.6f}"]
        writer.writerow(cells)
    write_text(path, stream.getvalue())


def safe_cell(text: str) -> str:
    """Return a text as one line that is no formula in any spreadsheet.

    Source: OWASP, CSV Injection.
    """
    text = printable(text)
    if text.lstrip(" ").startswith(_FORMULA_STARTS):
        text = "'" + text
    return text.replace("\r", "\\r").replace("\n", "\\n")
