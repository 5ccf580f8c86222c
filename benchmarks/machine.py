"""`python -m benchmarks accelerator`: all that an accelerator has to show, in parts, on a bare machine.

Every part has its own process and limit of time; what it found is in the JSON as soon as it is over, or cut off. What
could not be had is a figure without a number.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import tyro

from bandwise.commands.verb import Outcome, parse
from bandwise.files.atomic import write_bytes
from bandwise.files.documents import json_bytes
from benchmarks.accelerator import TRAIN_NAMES
from benchmarks.documents import document, line_of
from benchmarks.figures import Figure

COMMAND = (sys.executable, "-m", "benchmarks.machineparts")
_STOPS_AFTER_S = 5


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Run every check and measure every rate on an accelerator, in nine minutes at most."""

    json: Path = Path("accelerator.json")
    """Where the figures go; finished rows of evidence go beside it."""
    log: Path = Path("accelerator.log")
    """Where all that is printed goes."""
    data: Annotated[str, tyro.conf.arg(metavar="FOLDER")] = ""
    """Class folders `train` and `val` of natural pictures, for the rates and the evidence; made-up pictures without."""
    device: Literal["cuda", "cpu"] = "cuda"
    """cpu: with pretended limits and tiny sizes, to see that everything runs."""
    minutes: float = 9.0
    """For all parts together; the evidence has what the others leave."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process."""

    name: str
    until: float
    """Share of all the time after which it is stopped; what those before it leave is its own too."""
    figures: tuple[str, ...]
    """What it measures if it has the time."""


PARTS = (
    Part("tests", 0.2, ("tests/passed",)),
    Part("networks", 0.4, tuple(f"train/{name}" for name in TRAIN_NAMES)),
    Part("memory", 0.55, tuple(f"memory/{name}/{what}" for name in TRAIN_NAMES for what in ("peak", "largest batch"))),
    Part("feeds", 0.8, ("loop/device", "loop/ram", "loop/none", "feed/none", *(f"per device/{n}" for n in (1, 2, 4)))),
    Part("evidence", 1, ()),
)


def main(argv: Sequence[str]) -> Outcome:
    """Run the parts and write the document after each."""
    arguments = parse(Arguments, argv, "bench accelerator")
    began, pretended = time.monotonic(), arguments.device == "cpu"
    figures: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    missing: list[str] = []
    null: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bandwise-accelerator-") as work, open(arguments.log, "wb") as log:
        for part in PARTS:
            started = time.monotonic()
            left = began + 60 * arguments.minutes * part.until - started
            code = _run(part, arguments, Path(work), left, log) if left > 1 else "no time left"
            found = _found(Path(work) / f"{part.name}.jsonl")
            absent = sorted(set(part.figures) - {each["name"].removesuffix("/accelerator") for each in found})
            figures += [*found, *(Figure(name, "", note=f"not measured: {code}").to_dict() for name in absent)]
            missing = [each["name"] for each in figures if each["ours"] is None]
            # Numbers of a CPU are none of an accelerator.
            null = [each["name"] for each in figures] if pretended else missing
            seconds = round(time.monotonic() - started, 1)
            parts.append({"part": part.name, "ended": code, "seconds": seconds, "figures": len(found)})
            made = document("accelerator", arguments.data or "made up", pretended, [])
            write_bytes(arguments.json, json_bytes({**made, "figures": figures, "parts": parts, "null": null}))
    said = [f"{each['part']}: {each['ended']} after {each['seconds']} s, {each['figures']} figures" for each in parts]
    said += [*map(line_of, figures), f"not measured: {', '.join(missing) or 'none'}"]
    of_accelerator = f"null{', of an accelerator nothing was measured' if pretended else ''}"
    text = "\n".join([*said, f"{of_accelerator}: {', '.join(null) or 'none'}"])
    return Outcome({"figures": figures, "parts": parts, "null": null}, text)


def _run(part: Part, arguments: Arguments, work: Path, limit_s: float, log: BinaryIO) -> str:
    """Run one part up to its limit, with all processes that it starts; return how it ended."""
    log.write(f"--- {part.name}\n".encode())
    log.flush()
    rows = arguments.json.parent.resolve() / "rows"
    command = [*COMMAND, part.name, arguments.device, arguments.data, work, rows]
    process = subprocess.Popen(list(map(os.fspath, command)), stdout=log, stderr=log, start_new_session=True)
    try:
        return f"exit {process.wait(limit_s)}"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        return "time limit"
    finally:
        try:
            process.wait(_STOPS_AFTER_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _found(path: Path) -> list[dict[str, Any]]:
    """Read the figures of a part; the last line may be cut off."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]
