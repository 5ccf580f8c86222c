"""Flipped bits in every class of file that we write, and who has to notice them."""

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bandwise.checkpoints.folder import read_checkpoint
from bandwise.errors import CorruptionError
from bandwise.files.documents import read_document, read_rows
from bandwise.launch.verify import verify_run
from bandwise.runs.run import read_logits
from bandwise.store.verify import verify_store


@dataclass(frozen=True)
class FileClass:
    """Files that are alike: where they lie below the run, and what reads them."""

    pattern: str
    check: Callable[[Path, Path], object]
    """What reads it, called with the run and the file; must raise `CorruptionError` that names the file."""


def _store(run: Path, file: Path) -> object:
    return verify_store(run / "store")


def _document(run: Path, file: Path) -> object:
    return read_document(file)


def _rows(run: Path, file: Path) -> object:
    return read_rows(file)


def _checkpoint(run: Path, file: Path) -> object:
    return read_checkpoint(file.parent)


def _logits(run: Path, file: Path) -> object:
    return read_logits(file)


CLASSES = {
    "band files": FileClass("store/band-*/*.parquet", _store),
    "sample list": FileClass("store/samples.parquet", _store),
    "manifest": FileClass("store/MANIFEST.json", _store),
    "store marker": FileClass("store/STORE.json", _store),
    "commit records": FileClass("store/commits/*.json", _store),
    "data-set card": FileClass("store/README.md", _store),
    "weights": FileClass("branch-*/step-*/model.safetensors", _checkpoint),
    "optimiser": FileClass("branch-*/step-*/optim.safetensors", _checkpoint),
    "training state": FileClass("branch-*/step-*/state.json", _checkpoint),
    "checkpoint records": FileClass("branch-*/step-*/COMMIT.json", _checkpoint),
    "logits": FileClass("logits/*/*.safetensors", _logits),
    "run description": FileClass("run.json", _document),
    "summaries": FileClass("branch-*/summary.json", _document),
    "metrics": FileClass("branch-*/metrics.jsonl", _rows),
    "fusion": FileClass("fusion.json", _document),
    "results": FileClass("results.json", _document),
}


def flip_bits(run: Path, name: str, count: int, seed: int) -> list[str]:
    """Flip one bit at a time at random places of one class of file; return where nobody noticed, or nobody said where.

    The run is put back after each. Every twentieth time `bandwise verify` has to find it too.
    """
    kind, rng = CLASSES[name], random.Random(seed)
    files = sorted(run.glob(kind.pattern))
    assert files, f"{run} has no {kind.pattern}"
    missed = []
    for number in range(count):
        file = rng.choice(files)
        content = file.read_bytes()
        place, bit = rng.randrange(len(content)), rng.randrange(8)
        changed = bytearray(content)
        changed[place] ^= 1 << bit
        file.write_bytes(changed)
        problem = _unnoticed(kind.check, run, file)
        if number % 20 == 0 and (run / "run.json").exists():
            problem = problem or _unnoticed(_verify, run, file)
        if problem:
            missed.append(f"{file.relative_to(run)}: byte {place}, bit {bit}: {problem}")
        file.write_bytes(content)
    return missed


def damage(run: Path, name: str) -> list[str]:
    """Cut off, lengthen, blank, empty, remove and exchange files of one class; return what nobody noticed."""
    kind = CLASSES[name]
    files = sorted(run.glob(kind.pattern))
    file, other = files[0], files[-1]
    content = file.read_bytes()
    middle = len(content) // 2
    damaged = {
        "cut off": content[:-1],
        "cut in half": content[:middle],
        "empty": b"",
        "longer": content + b"\0",
        "a blank more": content + b"\n",
        "a page of zeros": content[:middle] + bytes(min(4096, len(content) - middle)) + content[middle + 4096 :],
        "another file of its kind": other.read_bytes(),
    }
    missed = []
    for what, bad in damaged.items():
        if bad == content:
            continue
        file.write_bytes(bad)
        # A whole file in a wrong place is right by itself; only a look at the run as a whole can tell.
        if problem := _unnoticed(_verify if (run / "run.json").exists() else kind.check, run, file):
            missed.append(f"{file.relative_to(run)}: {what}: {problem}")
    file.write_bytes(content)
    return missed


def _verify(run: Path, file: Path) -> object:
    return verify_run(run)


def _unnoticed(check: Callable[[Path, Path], object], run: Path, file: Path) -> str:
    try:
        check(run, file)
    except CorruptionError as error:
        return "" if file.name in str(error) else f"not named in: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "not noticed"


def intact_copy(run: Path, store: Path, to: Path, name: str) -> Path:
    """Copy what holds one class of file, to break it, and see that its check passes first.

    For files of a store that is `store` alone, which is smaller than that of the run.
    """
    kind = CLASSES[name]
    if kind.pattern.startswith("store/"):
        shutil.copytree(store, to / "store")
    else:
        shutil.copytree(run, to)
        verify_run(to)
    for file in sorted(to.glob(kind.pattern)):
        kind.check(to, file)
    return to
