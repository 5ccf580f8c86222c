"""A finished run to start from, and how to change its sealed files as a stranger would."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bad_inputs.bench import Bench

from bandwise.checkpoints.folder import steps
from bandwise.files.documents import json_bytes, read_sealed, without_seal, write_document

FLAGS = ["--canvas", "16", "--holdout", "0.2", "--crop", "16", "--model", "resnet8", "--stem", "dense"]
FLAGS += ["--epochs", "2", "--batch-size", "6", "--checkpoint-steps", "1", "--device", "cpu"]


@dataclass(frozen=True)
class Trained:
    """Two branches, bands 0 and 3, of 30 training images, 6 in the holdout and 8 of 9 reported ones."""

    root: Path

    def fresh(self, bench: Bench, *flags: str, store: Path | None = None) -> list[str | Path]:
        """Return the command that trains branch 0 in a new folder."""
        where = self.root / "store" if store is None else store
        return ["train", self.root / "tiny.yaml", "--out", bench.path / "run", "--store", where, *FLAGS, *flags]

    def copied_store(self, bench: Bench) -> Path:
        """Copy the store, to damage it."""
        return Path(shutil.copytree(self.root / "store", bench.store))

    def copied_run(self, bench: Bench) -> Path:
        """Copy the run, to damage it."""
        return Path(shutil.copytree(self.root / "run", bench.path / "run"))

    def metrics(self) -> bytes:
        """Return the metrics of the undisturbed branch 0."""
        return (self.root / "run" / "branch-00" / "metrics.jsonl").read_bytes()

    def weights(self) -> bytes:
        """Return the last weights of the undisturbed branch 0."""
        return weights_of(self.root / "run")


def newest(run: Path, branch: int = 0) -> Path:
    """Return the newest checkpoint of a branch."""
    return steps(run / f"branch-{branch:02d}")[0]


def weights_of(run: Path) -> bytes:
    """Return the last weights of branch 0."""
    return (newest(run) / "model.safetensors").read_bytes()


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
