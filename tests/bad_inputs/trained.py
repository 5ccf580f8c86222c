"""The finished run of a bench, trainings like it, and how to change sealed files as a stranger would."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bad_inputs.bench import Bench
from tests.pictures import make_folder

from bandwise.checkpoints.folder import steps
from bandwise.files.documents import json_bytes, read_sealed, without_seal, write_document

MODEL = "model.safetensors"
FLAGS = ["--canvas", "16", "--holdout", "0.2", "--crop", "16", "--model", "resnet8", "--stem", "dense"]
FLAGS += ["--epochs", "2", "--batch-size", "6", "--checkpoint-steps", "1", "--device", "cpu"]


def make_finished(bench: Bench) -> None:
    """Train, fuse and evaluate bands 0 and 3 of 30 training images, 6 in the holdout and 8 of 9 reported ones."""
    root = make_folder(bench.pictures, classes=3, train=12, val=3, side=16)
    (root / "val" / "class-1" / "001.png").write_bytes(b"no picture")
    (bench.path / "tiny.yaml").write_text(f"data: {{data: {root}}}\nbranches: 0;3\n", encoding="utf-8")
    run = bench.path / "run"
    for argv in (
        bench.split("--holdout", "0.2"),
        train(bench),
        ["fuse", run],
        ["evaluate", run, "--max-bad", "1"],
    ):
        assert bench.call(*argv).code == 0, bench.err


def train(bench: Bench, *flags: str | Path, store: Path | None = None) -> list[str | Path]:
    """Return the command that trains as the finished run was, in a folder of this bench."""
    argv = ["train", bench.finished / "tiny.yaml", "--out", bench.run, "--store", store or bench.finished / "store"]
    return [*argv, *FLAGS, *flags]


def copied_store(bench: Bench) -> Path:
    """Copy the store of the finished run, to damage it."""
    return Path(shutil.copytree(bench.finished / "store", bench.store))


def copied_run(bench: Bench) -> Path:
    """Copy the finished run, to damage it."""
    return Path(shutil.copytree(bench.finished / "run", bench.run))


def newest(run: Path, branch: int = 0) -> Path:
    """Return the newest checkpoint of a branch."""
    return steps(run / f"branch-{branch:02d}")[0]


def outcome(run: Path) -> tuple[bytes, bytes]:
    """Return the last weights and the metrics of branch 0."""
    return (newest(run) / MODEL).read_bytes(), (run / "branch-00" / "metrics.jsonl").read_bytes()


def rewrite(checkpoint: Path, name: str, content: bytes) -> None:
    """Replace a file of a checkpoint and make its record of sizes and hashes fit, as a stranger's would."""
    (checkpoint / name).write_bytes(content)
    record = json.loads((checkpoint / "COMMIT.json").read_text())
    record["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (checkpoint / "COMMIT.json").write_bytes(json_bytes(record))


def change_state(checkpoint: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change `state.json` of a checkpoint."""
    state = json.loads((checkpoint / "state.json").read_text())
    change(state)
    rewrite(checkpoint, "state.json", json_bytes(state))


def change_json(path: Path, **changes: Any) -> None:
    """Change a sealed document, and seal it again."""
    write_document(path, {**without_seal(read_sealed(path)), **changes})
