"""Runs commands in a scratch folder, and collects what they print and write as named pieces with a digest each."""

import contextlib
import importlib
import io
import json
import os
import shutil
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tests.golden import normal
from tests.golden.cases import CASES
from tests.golden.inputs import write_config

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "HF_HUB_OFFLINE": "1",
    "PYTHONWARNINGS": "ignore",
    "COLUMNS": "100",
    "LC_ALL": "C.UTF-8",
    "NO_COLOR": "1",
    "TERM": "dumb",
}
_USERS_OWN = ("BANDWISE_TRACEBACK", "FORCE_COLOR", "LINES", "LANGUAGE", "RANK", "WORLD_SIZE", "LOCAL_RANK")

HERE = "--workers 1 --decode-timeout 0"
"""A split in this process; `HERE` in a command line stands for it."""
MODES = ("sequential", "concurrent", "stacked")
"""How the branches of a served run may be run."""


def arguments_of(command: str) -> list[str]:
    """Return the arguments of a command line; none of them holds a blank."""
    return command.replace("HERE", HERE).split() if command != "$" else []


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work in a folder, with one thread and nothing of the user's own settings."""
    folder.mkdir(parents=True, exist_ok=True)
    here, before = Path.cwd(), dict(os.environ)
    os.environ.update(ENVIRONMENT, BANDWISE_HOME=str(folder.parent / "home"))
    for name in (*_USERS_OWN, *(name for name in before if name.startswith(("SLURM_", "TTY_")))):
        os.environ.pop(name, None)
    os.chdir(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(before)


@dataclass
class Work:
    """The pieces of the case that is running, and the means to add some; relative paths lie in the scratch folder."""

    scratch: Path
    source: Path
    old: Path
    """The folder `work` of another record, or of this one: where the cases `kept/...` find stores and runs."""
    pieces: dict[str, bytes] = field(default_factory=dict)

    def run(self, name: str) -> dict[str, bytes]:
        """Run one case and return its pieces; an error becomes a piece, so that the record goes on."""
        self.pieces = {}
        try:
            CASES[name].run(self)
        except Exception as error:
            traceback.print_exc()
            self.add("error", f"{type(error).__name__}: {error}")
        return self.pieces

    def text(self, text: str) -> str:
        """Return text without times, commits and the folders that this record happens to use."""
        places = {str(self.scratch / "work"): "WORK", str(self.scratch): "SCRATCH", str(self.source): "SOURCE"}
        places |= {str(self.old): "WORK", sys.executable: "PYTHON"}
        return normal.plain_text(text, places)

    def add(self, name: str, content: bytes | str) -> None:
        """Add one piece; text is normalised. A name that is taken gets a number."""
        first, number = name, 1
        while name in self.pieces:
            number += 1
            name = f"{first} ({number})"
        self.pieces[name] = self.text(content).encode() if isinstance(content, str) else content

    def data(self, name: str, content: Any) -> None:
        """Add plain data as JSON."""
        self.add(name, json.dumps(content, indent=1, default=str) + "\n")

    def arrays(self, name: str, arrays: Mapping[str, Any]) -> None:
        """Add arrays or tensors: type, shape and digest of the bytes of each, and the first values for a reader."""
        rows = {}
        for key, value in arrays.items():
            array = np.ascontiguousarray(np.asarray(value))
            head = [repr(item) for item in array.ravel()[:4].tolist()]
            rows[key] = [str(array.dtype), list(array.shape), normal.sha256(array.tobytes()), *head]
        self.data(name, rows)

    @contextlib.contextmanager
    def unrecorded(self) -> Iterator[None]:
        """Keep what a block does out of the pieces."""
        before = dict(self.pieces)
        yield
        self.pieces = before

    def script(self, *lines: str) -> None:
        """Run commands, one a line, each for a piece of its own.

        `raw COMMAND` masks nothing in its output, `COMMAND ## NAME` names the piece, `$` is no argument at all, and
        `: METHOD ARGUMENTS` calls a method of this class.
        """
        for line in filter(None, (line.strip() for part in lines for line in part.splitlines())):
            command, _, name = line.partition(" ## ")
            if command.startswith(": "):
                method, _, rest = command[2:].partition(" ")
                getattr(self, method)(*rest.split(maxsplit=1 if method == "write" else -1))
            else:
                self.cli(command.removeprefix("raw "), name, mask=not command.startswith("raw "))

    def cli(self, command: str, name: str = "", *, mask: bool = True) -> int:
        """Run a command in this process and add exit code and output as one piece; return the exit code.

        The piece is called `$` and the command line when no name is given; volatile keys of JSON are masked, or not.
        """
        argv = arguments_of(command)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = importlib.import_module("bandwise.cli").main(argv)
            except Exception as error:
                code = f"{type(error).__name__}: {error}"
        self._output(name or f"$ {' '.join(argv)}", code, out.getvalue(), err.getvalue(), mask)
        return code

    def process(self, command: str, name: str = "", *, stdin: bytes = b"", path: str = "") -> int:
        """Run a command in a process of its own, and add what it gives as `cli` does; `path` is searched first."""
        argv = arguments_of(command)
        surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (path, str(self.source))))}
        program = [sys.executable, "-m", "bandwise", *argv]
        done = subprocess.run(program, input=stdin, capture_output=True, check=False, env=surroundings)
        self._output(name or f"$ {' '.join(argv)}", done.returncode, done.stdout.decode(), done.stderr.decode(), True)
        return done.returncode

    def _output(self, name: str, code: object, out: str, err: str, mask: bool) -> None:
        self.add(name, f"exit: {code}\n--- stdout\n{normal.command_json(out, mask=mask)}--- stderr\n{err}")

    def file(self, path: Path | str, name: str = "") -> None:
        """Add a file: JSON of runs normalised, everything else byte for byte."""
        path = Path(path)
        name = name or path.as_posix()
        raw = path.read_bytes()
        if path.name == "COMMIT.json":
            self.add(name, normal.commit_of_checkpoint(path, self.text))
        elif path.name == "timing.jsonl":
            self.add(name, normal.lines(raw))
        elif path.suffix == ".json":
            self.add(name, normal.document(raw, self.text))
        elif path.suffix == ".md":
            self.add(name, raw.decode())
        else:
            self.add(name, raw)

    def folder(self, root: str, *, exactly: bool = False, leave_out: Sequence[str] = (), prefix: str = "") -> None:
        """Add every file below a folder but those to leave out, as `file` does, or exactly, as those of a store."""
        for path in sorted(Path(root).rglob("*")):
            where = path.relative_to(root)
            if path.is_dir() or any(where.is_relative_to(other) for other in leave_out):
                continue
            if exactly:
                self.add(f"{prefix}{where}", path.read_bytes())
            else:
                self.file(path, f"{prefix}{where}")

    def store(self, root: str, prefix: str = "") -> None:
        """Add every file of a store; no file there holds a time, a host or a path."""
        self.folder(root, exactly=True, prefix=prefix)

    def compared(self, root: str, reference: str) -> None:
        """Add which files of a folder are those of another one, which are not, and which are only in one of them."""
        sides = [
            {str(path.relative_to(side)): path.read_bytes() for path in sorted(Path(side).rglob("*")) if path.is_file()}
            for side in (root, reference)
        ]
        rows = {}
        for name in sorted(sides[0].keys() | sides[1].keys()):
            here, there = sides[0].get(name), sides[1].get(name)
            rows[name] = "equal" if here == there else "absent" if here is None else normal.sha256(here)
        self.data(f"{root} beside {reference}", rows)

    def run_folder(self, root: str, prefix: str = "", brief: str = "") -> None:
        """Add the names of all files of a run, and what is in them.

        Left out are the store, the report, which holds times, and all checkpoints of a branch but the last; where it is
        `brief`, also the folders of branches and logits. Pictures are joined in one piece.
        """
        files = [path for path in sorted(Path(root).rglob("*")) if path.is_file()]
        inside = [path for path in files if path.relative_to(root).parts[0] != "store"]
        self.data(f"{prefix}names of files", [str(path.relative_to(root)) for path in inside])
        last = {step.parent: step for step in sorted(Path(root).glob("branch-*/step-*"))}
        pictures = [path for path in inside if path.suffix == ".png"]
        self.arrays(f"{prefix}pictures", {path.name: np.frombuffer(path.read_bytes(), np.uint8) for path in pictures})
        for path in inside:
            where = path.relative_to(root)
            old = path.parent.name.startswith("step-") and last[path.parent.parent] != path.parent
            left_out = bool(brief) and where.parts[0].startswith(("branch-", "logits", "features"))
            if not (old or left_out or path in pictures or path.stem == "report"):
                self.file(path, f"{prefix}{where}")

    def text_file(self, path: str) -> None:
        """Add a file as normalised text."""
        self.add(path, Path(path).read_text())

    def write(self, path: str, text: str) -> None:
        """Write a file: the configuration of a training where it is JSON, else text, with `;` for the end of a line."""
        if text.startswith("{"):
            write_config(path, json.loads(text))
        else:
            Path(path).write_text(text.replace("; ", "\n") + "\n")

    def mkdir(self, path: str) -> None:
        Path(path).mkdir(exist_ok=True)

    def fresh(self, source: str, out: str) -> None:
        """Copy a folder over whatever is at `out`."""
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(source, out)

    def freeze(self, run: str, out: str) -> None:
        """Copy a run and replace times, machine and versions in it by constants, so that its report can be compared."""
        self.fresh(run, out)
        for path in sorted(Path(out).rglob("*.json")):
            if path.name in ("run.json", "results.json", "results-10crop.json", "summary.json"):
                content = json.loads(path.read_bytes())
                content.pop(normal.SEAL)
                if path.name == "run.json" and content["store"] is None:
                    content["store"] = str(Path(run).resolve() / "store")
                path.write_bytes(normal.canonical(normal.sealed(normal.frozen(content))))
