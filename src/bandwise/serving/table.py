"""The rows of a prediction on disk: kept one by one while they are made, and at the end a table."""

import csv
import fcntl
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from bandwise.checkpoints.folder import weights_digest
from bandwise.errors import CorruptionError, LockedError, UsageError
from bandwise.files.atomic import explain_full_disk, write_bytes, write_text
from bandwise.files.documents import json_bytes, parse_json
from bandwise.files.regular import sha256_bytes, sha256_file
from bandwise.files.schema import parse
from bandwise.progress import say
from bandwise.runs.run import open_run
from bandwise.serving.inputs import Input
from bandwise.serving.predict import Prediction, printable
from bandwise.serving.release import RELEASE_NAME, is_release

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
_HEAD = b'{"prediction": "'


def identity_of(model: Path, inputs: Sequence[Input], **options: Any) -> str:
    """Return a digest of what decides the rows: the fusion, the weights of its branches, the inputs, the options.

    `model` is the folder of a run or of a released model.

    What lies in the pictures is not part of it: a row that is there is not made again.
    """
    paths = b"\0".join(item.path + b"\0" + item.status.encode() for item in inputs)
    if is_release(model):
        classifier: dict[str, Any] = {"release": sha256_file(model / RELEASE_NAME)}
    else:
        run = open_run(model)
        weights = [weights_digest(run.branch_folder(branch)) for branch in range(len(run.groups))]
        classifier = {"fusion": sha256_file(run.fusion_path()), "weights": weights}
    return sha256_bytes(json_bytes({**classifier, "inputs": sha256_bytes(paths), **options}))


class KeptRows:
    """Keeps the rows for a table in `TABLE.part` until all are there; an interrupted prediction goes on from them.

    A line of it is a JSON object: the identity of the prediction first, then the rows.
    """

    def __init__(self, table: Path, identity: str) -> None:
        """Open the file, read what an earlier call has kept there of this prediction, and drop rows of another one."""
        self.table, self.path = table, table.with_name(f"{table.name}.part")
        require_place(table)
        if self.path.exists() and not self.path.is_file():
            raise UsageError(f"--csv {table}: {self.path} is no regular file; name another table")
        self._stream = self.path.open("ab+")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._stream.close()
            raise LockedError(f"{self.path} is being written by another process; wait for it, or stop it") from error
        self._stream.seek(0)
        if not _HEAD.startswith(begin := self._stream.read(len(_HEAD))):
            self._stream.close()
            raise UsageError(f"{self.path} is no rows of a prediction ({begin!r}...); move it, or name another table")
        first = json.dumps({"prediction": identity}).encode() + b"\n"
        self.rows, whole = self._read(first)
        self._stream.truncate(whole)
        if not whole:
            self._write(first)
        elif self.rows:
            say(f"going on after {len(self.rows)} inputs, whose rows are in {self.path}")

    def _read(self, first: bytes) -> tuple[list[Prediction], int]:
        """Return the rows, and the bytes up to the end of the last one that is whole."""
        self._stream.seek(0)
        rows, whole = [], 0
        for line in self._stream:
            if whole and line.endswith(b"\n"):
                try:
                    rows.append(parse(Prediction, parse_json(line, self.path), self.path))
                except CorruptionError:
                    break
            elif line != first:
                break
            whole += len(line)
        return rows, whole

    def add(self, rows: Sequence[Prediction]) -> None:
        """Keep some more rows."""
        self.rows += rows
        self._write(b"".join(json.dumps(row.to_dict()).encode() + b"\n" for row in rows))

    def _write(self, content: bytes) -> None:
        with explain_full_disk(self.path):
            self._stream.write(content)
            self._stream.flush()

    def finish(self, top: int) -> None:
        """Write the table, in the place of these rows."""
        write_table(self.table, self.rows, top=top)
        self.path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stream.close()


def require_place(table: Path) -> None:
    """Refuse a path that no table could be written to, before hours of work for it."""
    if table.is_dir() or not table.name:
        raise UsageError(f"--csv {table} is a folder; name a file")
    if table.exists() and not table.is_file():
        raise UsageError(f"--csv {table} is no regular file; name one, or use the rows that are printed")
    if not table.parent.is_dir():
        raise UsageError(f"--csv {table}: there is no folder {table.parent}; make it, or name another file")
    if not os.access(table.parent, os.W_OK | os.X_OK):
        raise UsageError(f"--csv {table}: this user may not write in {table.parent}; name a file elsewhere")


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
