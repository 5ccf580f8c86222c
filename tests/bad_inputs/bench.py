"""What every row of the catalogue of bad inputs needs: a folder, pictures, and the command line in this process."""

import contextlib
import io
import json
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.pictures import make_picture

from bandwise.cli import main
from bandwise.store.reading.store import open_store

SIDE = 16


@dataclass
class Bench:
    """A folder of its own, undone at the end, and what the last command said."""

    path: Path
    patch: pytest.MonkeyPatch
    finished: Path = Path()
    """The folder of a finished run, for the rows that start from one."""
    code: int = -1
    out: str = ""
    err: str = ""

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def result(self) -> dict[str, Any]:
        """What `--json` printed."""
        return json.loads(self.out)

    def call(self, *argv: str | Path) -> "Bench":
        """Run one command."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            self.code = main([str(part) for part in argv])
        self.out, self.err = out.getvalue(), err.getvalue()
        return self

    def folder(self, *, classes: Sequence[str] = ("a", "b"), train: int = 3, val: int = 2) -> Path:
        """Write class folders of small pictures, no two alike."""
        for split, count in (("train", train), ("val", val)):
            for label, name in enumerate(classes):
                for index in range(count):
                    self.put(f"{split}/{name}/{index}.png", png(label, index + 100 * (split == "val")))
        return self.pictures

    def put(self, name: str | bytes, content: bytes = b"") -> Path:
        """Write one file below the pictures."""
        path = self.pictures / (name if isinstance(name, str) else name.decode("utf-8", "surrogateescape"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def split(self, *flags: str | Path, guard: bool = False, data: str | Path = "") -> list[str | Path]:
        """Return the command that splits the pictures, or other data; unguarded it needs no process of its own."""
        argv = ["split", "--data", data or self.pictures, "--out", self.store, "--canvas", SIDE, "--holdout", "0"]
        argv += ["--workers", "1", *([] if guard else ["--decode-timeout", "0"]), *flags]
        return [str(part) for part in argv]


Prepare = Callable[[Bench], Sequence[str | Path]]


@dataclass(frozen=True)
class Case:
    """One input: how it is made, the exit code, and words of the message or the output."""

    prepare: Prepare
    code: int
    words: Sequence[str] = ()
    after: Callable[[Bench], None] = field(default=lambda bench: None)


Row = Case | Sequence[Case]
"""What is tried of one bad input."""


def check(row: Row, path: Path, finished: Path = Path()) -> None:
    """Run the cases of one row."""
    for number, case in enumerate([row] if isinstance(row, Case) else row):
        folder = path / str(number)
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("BANDWISE_HOME", str(folder / "home"))
            # Where a message is wrapped depends on the length of the temporary folder.
            patch.setenv("COLUMNS", "500")
            bench = Bench(folder, patch, finished)
            bench.call(*case.prepare(bench))
            said = bench.out + bench.err
            assert bench.code == case.code, said
            for words in case.words:
                assert words in said, f"{words!r} is not in:\n{said}"
            assert "Traceback" not in said
            case.after(bench)


def png(label: int, index: int) -> bytes:
    """Return a small picture."""
    return encoded(make_picture(label, index, SIDE), "PNG")


def picture(mode: str = "RGB", width: int = SIDE, height: int = SIDE) -> Image.Image:
    """Return a picture of noise, which does not compress."""
    noise = np.random.default_rng([width, height]).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(noise).convert(mode)


def encoded(image: Image.Image | np.ndarray, form: str, **options: Any) -> bytes:
    """Return the file that holds a picture, or pixels."""
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, form, **options)
    return stream.getvalue()


def raw_png(facts: Sequence[int], rows: bytes) -> bytes:
    """Return a PNG with these facts of its header, and these rows of pixels."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", *facts)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def stored_ids(store: Path) -> dict[int, list[int]]:
    """Return the ids of all rows of every band, from the files themselves."""
    opened = open_store(store)
    return {
        band: [
            number
            for split in ("train", "holdout", "val")
            for name in opened.files(band, split)
            for number in pq.read_table(store / name, columns=["id"])["id"].to_pylist()
        ]
        for band in opened.bands
    }
