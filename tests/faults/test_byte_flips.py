"""F6: one flipped bit anywhere in our files is found, and the file is named; so is every coarser damage."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults import breaks
from tests.faults.scale import share

from bandwise.checkpoints.folder import read_checkpoint
from bandwise.errors import CorruptionError
from bandwise.files.documents import read_document, read_rows
from bandwise.launch.verify import verify_run
from bandwise.runs.logits import read_logits
from bandwise.store.verify import verify_store

pytestmark = pytest.mark.timeout(1800)
POSITIONS = share(1000, 12)


def store(file: Path) -> object:
    return verify_store(next(folder for folder in file.parents if folder.name == "store"))


def checkpoint(file: Path) -> object:
    return read_checkpoint(file.parent)


CLASSES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "band files": ("store/band-*/*.parquet", store),
    "sample list": ("store/samples.parquet", store),
    "manifest": ("store/MANIFEST.json", store),
    "store marker": ("store/STORE.json", store),
    "commit records": ("store/commits/*.json", store),
    "data-set card": ("store/README.md", store),
    "weights": ("branch-*/step-*/model.safetensors", checkpoint),
    "optimiser": ("branch-*/step-*/optim.safetensors", checkpoint),
    "training state": ("branch-*/step-*/state.json", checkpoint),
    "checkpoint records": ("branch-*/step-*/COMMIT.json", checkpoint),
    "logits": ("logits/*/*.safetensors", read_logits),
    "run description": ("run.json", read_document),
    "summaries": ("branch-*/summary.json", read_document),
    "metrics": ("branch-*/metrics.jsonl", read_rows),
    "fusion": ("fusion.json", read_document),
    "results": ("results.json", read_document),
}
"""Files that are alike: where they lie below the run, and what reads them."""


def intact_copy(run: Path, small: Path, to: Path, name: str) -> list[Path]:
    """Copy what holds one class of file, to break it, and see that it is read; return the files.

    For files of a store that is `small` alone, which is smaller than that of the run.
    """
    pattern, check = CLASSES[name]
    if pattern.startswith("store/"):
        shutil.copytree(small, to / "store")
    else:
        shutil.copytree(run, to)
    files = sorted(to.glob(pattern))
    assert files
    for file in files:
        check(file)
    return files


def unnoticed(check: Callable[[Path], object], file: Path) -> str:
    try:
        check(file)
    except CorruptionError as error:
        return "" if file.name in str(error) else f"not named in: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "not noticed"


def flip_bits(files: list[Path], check: Callable[[Path], object], count: int, seed: int) -> list[str]:
    """Flip one bit at a time at random places; return where nobody noticed, or nobody said where."""
    rng, missed = random.Random(seed), []
    for _ in range(count):
        file = rng.choice(files)
        content = file.read_bytes()
        place, bit = rng.randrange(len(content)), rng.randrange(8)
        file.write_bytes(content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])
        if problem := unnoticed(check, file):
            missed.append(f"{file}: byte {place}, bit {bit}: {problem}")
        file.write_bytes(content)
    return missed


@pytest.mark.parametrize("name", CLASSES)
def test_every_flipped_bit_is_found_and_named(run_folder, small, tmp_path, name):
    files = intact_copy(run_folder, small, tmp_path / "run", name)
    missed = flip_bits(files, CLASSES[name][1], POSITIONS, seed=5)
    assert not missed, f"{len(missed)} of {POSITIONS}: {missed[:10]}"


@pytest.mark.parametrize("name", CLASSES)
def test_cut_lengthened_blanked_and_exchanged_files_are_found(run_folder, small, tmp_path, name):
    file, *others = intact_copy(run_folder, small, tmp_path / "run", name)
    content = file.read_bytes()
    middle = len(content) // 2
    damaged = {
        "cut off": content[:-1],
        "cut in half": content[:middle],
        "empty": b"",
        "longer": content + b"\0",
        "a blank more": content + b"\n",
        "a page of zeros": content[:middle] + bytes(min(4096, len(content) - middle)) + content[middle + 4096 :],
        "another file of its kind": others[-1].read_bytes() if others else b"",
    }
    run = tmp_path / "run"
    for what, bad in damaged.items():
        if bad != content:
            file.write_bytes(bad)
            # A whole file in a wrong place is right by itself; only a look at the run as a whole can tell.
            check = (lambda _: verify_run(run)) if (run / "run.json").exists() else store
            assert not unnoticed(check, file), what


@pytest.mark.parametrize("name", ["band files", "weights", "logits", "metrics"])
def test_without_checksums_bits_flip_silently(run_folder, small, tmp_path, monkeypatch, name):
    files = intact_copy(run_folder, small, tmp_path / "run", name)
    breaks.apply("no_checksum", monkeypatch.setattr)
    assert any("not noticed" in problem for problem in flip_bits(files, CLASSES[name][1], 60, seed=6))
