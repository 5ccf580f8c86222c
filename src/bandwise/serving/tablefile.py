"""The table of a prediction as a file: CSV for a spreadsheet, JSON lines or Parquet for programs, by its name."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bandwise.files.atomic import write_bytes, write_text
from bandwise.serving.predict import Prediction, printable

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_SCORE = [pa.field("name", pa.string()), pa.field("probability", pa.float64())]
_SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.string()) for name in ("path", "status", "reason", "detail")),
        pa.field("classes", pa.list_(pa.struct(_SCORE))),
        pa.field("notes", pa.list_(pa.string())),
        pa.field("votes", pa.list_(pa.struct([*_SCORE, pa.field("branch", pa.int32())]))),
    ]
)


def write_table(path: Path, rows: Sequence[Prediction], *, top: int = 5) -> None:
    """Write predictions atomically: as `Prediction.to_dict` to .jsonl and .parquet, as CSV to any other name."""
    if path.suffix == ".jsonl":
        write_text(path, "".join(json.dumps(row.to_dict(), ensure_ascii=False) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist([row.to_dict() for row in rows], schema=_SCHEMA), sink)
        write_bytes(path, sink.getvalue().to_pybytes())
    else:
        write_csv(path, rows, top=top)


def write_csv(path: Path, rows: Sequence[Prediction], *, top: int = 5) -> None:
    """Write predictions atomically as UTF-8 CSV: path, status, reason, detail, then `top` pairs of class, probability.

    Where branches voted, a pair for each of them follows. A text that a spreadsheet would take for a formula gets an
    apostrophe in front; a line break in a path becomes `\\n` in letters. For paths to the last byte use JSON.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    pairs = [f"{name}_{place}" for place in range(1, top + 1) for name in ("class", "probability")]
    branches = max((tuple(vote.branch for vote in row.votes or ()) for row in rows), default=())
    pairs += [f"{name}{number}" for number in branches for name in ("vote_", "vote_probability_")]
    writer.writerow(["path", "status", "reason", "detail", *pairs])
    for row in rows:
        cells = [safe_cell(text) for text in (row.path, row.status, row.reason, row.detail)]
        # Fewer classes than asked for leave cells empty where votes follow.
        missing = top - len(row.classes) if row.votes else 0
        for score in (*row.classes[:top], *[None] * missing, *(row.votes or ())):
            cells += ["", ""] if score is None else [safe_cell(score.name), f"{score.probability:.6f}"]
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
