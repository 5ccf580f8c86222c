"""Files from a stranger, each as a case for the command line: what to lay out, what to run, and how it may end."""

import copy
import json
import os
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.hostile_contents import HEADERS, NOT_JSON

from bandwise.files.documents import json_bytes
from bandwise.files.regular import sha256_bytes

REFUSED = frozenset((2, 4, 7))


@dataclass(frozen=True)
class Case:
    """One hostile file."""

    name: str
    build: Callable[[Path], list[str]]
    """Lays it out in an empty folder and returns the command line."""
    codes: frozenset[int] = REFUSED


def special_files(path: Path) -> dict[str, Callable[[], object]]:
    """Return what may stand in the place of a file without being one; none may make us wait or read without end."""
    return {
        "a pipe": lambda: os.mkfifo(path),
        "a folder": lambda: path.mkdir(),
        "a link to nothing": lambda: path.symlink_to("nothing"),
        "a link to itself": lambda: path.symlink_to(path.name),
        "a link to endless zeros": lambda: path.symlink_to("/dev/zero"),
        "a link to the passwords": lambda: path.symlink_to("/etc/passwd"),
        "300 MB of nothing": lambda: _sparse(path, 300 << 20),
    }


def replace(path: Path, name: str) -> None:
    """Put a special file in the place of a file."""
    path.unlink()
    special_files(path)[name]()


def _sparse(path: Path, size: int) -> None:
    with open(path, "wb") as stream:
        stream.truncate(size)


def _replaced(document: Any, place: tuple[Any, ...], value: object) -> Any:
    changed = copy.deepcopy(document)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


def stores(small: Path) -> list[Case]:
    """Stores with damaged and strange files, to verify; a manifest of wrong content is in `tests/store`."""
    cases = []

    def case(name: str, change: Callable[[Path], object]) -> None:
        def build(folder: Path) -> list[str]:
            shutil.copytree(small, folder / "store")
            change(folder / "store")
            return ["verify", str(folder / "store"), "--json"]

        cases.append(Case(f"store: {name}", build))

    for target in ("MANIFEST.json", "STORE.json"):
        for name, content in NOT_JSON.items():
            case(f"{target} is {name}", lambda store, t=target, c=content: (store / t).write_bytes(c))
    parquet = "band-00/train-00000-of-00001.parquet"
    content = (small / parquet).read_bytes()
    for cut in (0, 1, 4, 11, 12, len(content) // 2, len(content) - 9, len(content) - 1):
        case(f"a band cut at {cut}", lambda store, c=cut: (store / parquet).write_bytes(content[:c]))
    for length in (0, 2**31 - 1, 2**32 - 1):
        tail = content[:-8] + struct.pack("<I", length) + b"PAR1"
        case(f"a footer of {length} bytes", lambda store, t=tail: (store / parquet).write_bytes(t))
    for target in ("MANIFEST.json", "STORE.json", "samples.parquet", parquet, "commits/val-00000.bands-0_3.json"):
        for name in special_files(small / "x"):
            case(f"{target} is {name}", lambda store, t=target, n=name: replace(store / t, n))
    return cases


def commit_again(step: Path) -> None:
    """Write the record of a checkpoint for the files that are there now, as a stranger would."""
    names = ("model.safetensors", "optim.safetensors", "state.json")
    facts = {
        name: {"bytes": (step / name).stat().st_size, "sha256": sha256_bytes((step / name).read_bytes())}
        for name in names
    }
    commit = json.loads((step / "COMMIT.json").read_text())
    (step / "COMMIT.json").write_bytes(json_bytes({**commit, "files": facts}))


def checkpoints(run: Path, picture: Path) -> list[Case]:
    """Runs of a stranger that a picture is classified with; their records have right hashes."""
    cases = []

    def case(name: str, change: Callable[[Path], object], *, commit: bool = True) -> None:
        def build(folder: Path) -> list[str]:
            shutil.copytree(run, folder / "run", ignore=shutil.ignore_patterns("store", "preview", "logits"))
            step = max((folder / "run" / "branch-00").glob("step-*"))
            change(step)
            if commit:
                commit_again(step)
            return ["predict", str(folder / "run"), str(picture)]

        cases.append(Case(f"checkpoint: {name}", build))

    for name, content in HEADERS.items():
        case(f"weights are {name}", lambda step, c=content: (step / "model.safetensors").write_bytes(c))
    for name, content in NOT_JSON.items():
        case(f"state is {name}", lambda step, c=content: (step / "state.json").write_bytes(c))
        case(f"record is {name}", lambda step, c=content: (step / "COMMIT.json").write_bytes(c), commit=False)
    state = json.loads((max((run / "branch-00").glob("step-*")) / "state.json").read_text())
    for place, value in (
        (("version",), 99),
        (("version",), "1"),
        (("bands",), [0] * 1000),
        (("bands",), [-1]),
        (("bands",), "../.."),
        (("store", "channels"), 10**9),
        (("store", "classes"), ["a"] * 10**6),
        (("store", "classes"), None),
        (("store", "mean"), [[1e308] * 3]),
        (("store", "mean"), [["x"]]),
        (("store", "std"), [[-1.0] * 3]),
        (("config", "network", "model"), "os.system"),
        (("config", "network", "model"), "../../etc/passwd"),
        (("config", "network", "model"), "timm:hf-hub:stranger/model"),
        (("config", "network", "model"), "resnet152"),
        (("config", "split", "stride"), 10**9),
        (("config", "split", "canvas"), 10**9),
        (("config", "training", "crop"), 10**9),
        (("config",), {}),
        (("position",), {}),
        (("total_steps",), None),
    ):
        changed = json_bytes(_replaced(state, place, value))
        case(f"state says {place} {str(value)[:20]}", lambda step, c=changed: (step / "state.json").write_bytes(c))
    for target in ("model.safetensors", "state.json", "COMMIT.json"):
        for name in special_files(run / "x"):
            case(f"{target} is {name}", lambda step, t=target, n=name: replace(step / t, n), commit=False)
    return cases
