"""Cases: stores of every kind, the sources they are made from, damage and repair."""

import dataclasses
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tests.golden import inputs
from tests.golden.work import Work, case

HERE = ("--workers", "1", "--decode-timeout", "0")
"""A split in this process."""
PICTURES = ("--data", "pictures", "--canvas", "32")

SPLITS: dict[str, tuple[str, ...]] = {
    "dct2d-s2": PICTURES,
    "dct1d-s2": (*PICTURES, "--transform", "dct1d"),
    "identity-s2": (*PICTURES, "--transform", "identity"),
    "refft-s2": (*PICTURES, "--transform", "refft"),
    "hadamard-s4": (*PICTURES, "--transform", "hadamard", "--stride", "4"),
    "hadamard-s8": (*PICTURES, "--transform", "hadamard", "--stride", "8", "--bands", "0,9,63"),
    "random-s3": (
        "--data",
        "pictures",
        "--canvas",
        "36",
        "--stride",
        "3",
        "--transform",
        "random",
        "--transform-seed=5",
    ),
    "dct2d-s6": ("--data", "pictures", "--canvas", "36", "--stride", "6", "--bands", "0,7-8,35"),
    "dct2d-s1": (*PICTURES, "--stride", "1"),
    "webp": (*PICTURES, "--codec", "webp"),
    "float16": (*PICTURES, "--storage", "float16"),
    "dct1d-s4-float16": (*PICTURES, "--storage=float16", "--transform=dct1d", "--stride=4", "--bands=0-2"),
    "no-holdout": (*PICTURES, "--holdout", "0", "--bands", "1"),
    "large-holdout": (*PICTURES, "--holdout", "0.4", "--split-seed", "7", "--bands", "0"),
    "least-holdout": (*PICTURES, "--holdout", "0.05", "--holdout-min", "6", "--bands", "0"),
    "groups": ("--data", "many", "--canvas", "8", "--group-size", "256"),
    "flat": ("--data", "flat", "--canvas", "24"),
    "tested": ("--data", "tested", "--canvas", "16", "--reported", "test", "--bands", "0,2-3"),
    "odd": ("--data", "odd", "--canvas", "24", "--max-pixels", "5000", "--background", "7", "--exif", "transpose"),
    "webdataset": ("--data", "webdataset", "--canvas", "16", "--bands", "0"),
    "parquet": ("--data", "parquet", "--canvas", "16", "--bands", "0"),
    "parquet-packed": ("--data", "parquet-packed", "--canvas", "16", "--bands", "0"),
    "imagenet1k": ("--data", "imagenet1k", "--canvas", "16", "--bands", "0", "--holdout-min", "1"),
    "imagenet21k": ("--data", "imagenet21k", "--canvas", "8", "--bands", "0", "--val-seed", "3"),
}
QUICK = ("dct2d-s2", "webp", "random-s3", "odd", "webdataset")


@case("inputs", quick=True)
def make_inputs(work: Work) -> None:
    """Write every source; what they are is part of the record, so that a difference there is not searched elsewhere."""
    inputs.make_pictures(Path("pictures"))
    inputs.make_pictures(Path("many"), train=110, val=3, side=9)
    inputs.make_pictures(Path("tested"), train=8, val=2, test=3)
    inputs.make_flat(Path("flat"))
    inputs.make_odd(Path("odd"))
    inputs.make_webdataset(Path("webdataset"))
    inputs.make_parquet(Path("parquet"), plain=True)
    inputs.make_parquet(Path("parquet-packed"), plain=False)
    inputs.make_imagenet1k(Path("imagenet1k"))
    inputs.make_imagenet21k(Path("imagenet21k"))
    names = ("pictures", "many", "tested", "flat", "odd", "webdataset", "parquet", "parquet-packed", "imagenet21k")
    for name in names:
        files = (path for path in sorted(Path(name).rglob("*")) if path.is_file())
        work.arrays(name, {str(path): np.frombuffer(path.read_bytes(), np.uint8) for path in files})


def _split_case(name: str, flags: tuple[str, ...]) -> None:
    @case(f"stores/{name}", "inputs", quick=name in QUICK)
    def split(work: Work) -> None:
        work.cli("split", *flags, "--out", f"stores/{name}", *HERE, "--json", name="$ split")
        work.store(f"stores/{name}")


for _name, _flags in SPLITS.items():
    _split_case(_name, _flags)


@dataclass(frozen=True)
class Item:
    """One picture of a source that is no folder."""

    path: bytes
    label: int
    size: int
    split: str


@dataclass(frozen=True)
class GreySource:
    """Grey noise, as the source of one's own that `split_dataset` takes."""

    name: str = "grey"
    classes: tuple[str, ...] = ("a", "b", "c")
    channels: Literal[1, 3] = 1
    root: Path | None = None

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What it is."""
        return {"kind": "grey", "name": self.name}

    def entries(self) -> list[Item]:
        """List the pictures."""
        parts = (("train", 60), ("val", 12))
        return [
            Item(b"%s/%03d" % (part.encode(), n), n % 3, 10 if (part, n) == ("train", 7) else 24 * 24, part)
            for part, count in parts
            for n in range(count)
        ]

    def read(self, path: bytes) -> np.ndarray:
        """Return the pixels; one picture is none."""
        if path == b"train/007":
            return b"no picture"  # type: ignore[return-value]
        number = int(path[-3:])
        random = np.random.default_rng([number, len(path)])
        slope = np.arange(24)[:, None, None] * (number % 3) * 4 + np.zeros((24, 24, 1))
        return np.clip(slope + random.integers(0, 120, (24, 24, 1)), 0, 255).astype(np.uint8)


@case("stores/grey")
def split_grey(work: Work) -> None:
    """Grey pictures from a source of the user's own, in both codecs."""
    from bandwise import RunConfig, split_dataset

    for codec in ("zstd", "webp"):
        config = dataclasses.replace(RunConfig().split, canvas=24, codec=codec)
        result = split_dataset(GreySource(), config, Path(f"stores/grey-{codec}"))
        work.data(f"{codec} result", {**result, "wall_s": 0})
        work.store(f"stores/grey-{codec}", f"{codec}/")


@case("stores/bands-later", "stores/dct2d-s2")
def split_in_parts(work: Work) -> None:
    """One band first, others later, the last one at the end: the band files of a split of all."""
    for number, bands in enumerate(("0", "2-3", "1")):
        flags = ("--bands", bands, "--out", "stores/parts", *HERE, "--json")
        work.cli("split", *PICTURES, *flags, name=f"$ {number} split --bands {bands}")
    work.cli("split", *PICTURES, "--out", "stores/parts", *HERE, name="$ again")
    work.store("stores/parts")
    work.compared("stores/parts", "stores/dct2d-s2")


@case("stores/two-workers", "stores/groups")
def split_by_two(work: Work) -> None:
    """Two processes, each guarded by a time limit."""
    work.process("split", *SPLITS["groups"], "--out", "stores/two", "--workers", "2", "--json", name="$ split")
    work.compared("stores/two", "stores/groups")


@case("stores/killed", "stores/groups")
def split_killed(work: Work) -> None:
    """Killed after the first commit record, wherever that is, and started again: the bytes of a split at one go."""
    argv = ("split", *SPLITS["groups"], "--out", "stores/killed", *HERE)
    child = subprocess.Popen(
        [sys.executable, "-m", "bandwise", *argv], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while child.poll() is None and not list(Path("stores/killed/commits").glob("*.json")):
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    time.sleep(0.5)
    assert work_of(argv) == 0
    work.compared("stores/killed", "stores/groups")


def work_of(argv: tuple[str, ...]) -> int:
    """Run a command of which only what it writes is recorded."""
    import contextlib
    import io

    from bandwise.cli import main

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return main(list(argv))


@case("commands/split", "stores/dct2d-s2", "stores/odd", quick=True)
def split_commands(work: Work) -> None:
    """What `split` says to a person, and where it refuses."""
    work.cli("split", *PICTURES, "--out", "stores/dry", "--dry-run", *HERE)
    work.cli("split", *PICTURES, "--out", "stores/dry", "--dry-run", *HERE, "--json")
    work.cli("split", *PICTURES, "--out", "stores/dct2d-s2", *HERE)
    work.cli("split", *PICTURES, "--out", "stores/dct2d-s2", *HERE, "--json", "--stride", "4")
    work.cli("split", *SPLITS["odd"], "--out", "stores/odd-again", *HERE)
    work.cli("split", *SPLITS["odd"], "--out", "stores/odd-strict", *HERE, "--max-bad", "2")
    work.cli("split", *SPLITS["odd"], "--out", "stores/odd-strict", *HERE, "--max-bad", "2", "--json")
    assert not Path("stores/dry").exists()


@case("commands/verify-store", "stores/dct2d-s2", "stores/float16", "stores/odd", "stores/grey")
def verify_stores(work: Work) -> None:
    """Stores that are whole."""
    work.cli("verify", "stores/dct2d-s2")
    for name in ("dct2d-s2", "float16", "odd", "grey-webp"):
        work.cli("verify", f"stores/{name}", "--json")


@case("commands/reconstruct", "stores/dct2d-s2", "stores/random-s3", "stores/float16", "stores/webp", "stores/flat")
def reconstruct(work: Work) -> None:
    """Stored bands inverted and compared with the images."""
    for name in ("dct2d-s2", "random-s3", "float16", "webp"):
        work.cli("reconstruct", f"stores/{name}", "--data", "pictures", "--json")
    work.cli("reconstruct", "stores/flat", "--data", "flat")
    work.cli("reconstruct", "stores/dct2d-s2")
    work.cli("reconstruct", "stores/dct2d-s2", "--data", "flat")


def flip(path: str, at: float | bytes) -> None:
    """Change one bit of a file: at a share of its length, or, where that is not always the same, in certain words."""
    raw = bytearray(Path(path).read_bytes())
    raw[raw.index(at) + 2 if isinstance(at, bytes) else int(at * (len(raw) - 1))] ^= 1
    Path(path).write_bytes(raw)


DAMAGE = {
    "band": lambda root: flip(f"{root}/band-02/train-00000-of-00001.parquet", 0.5),
    "footer": lambda root: flip(f"{root}/band-00/val-00000-of-00001.parquet", 1.0),
    "manifest": lambda root: flip(f"{root}/MANIFEST.json", 0.3),
    "store-json": lambda root: flip(f"{root}/STORE.json", 0.3),
    "samples": lambda root: flip(f"{root}/samples.parquet", 0.4),
    "commit": lambda root: flip(f"{root}/commits/val-00000.json", 0.6),
    "lost": lambda root: Path(f"{root}/band-01/holdout-00000-of-00001.parquet").unlink(),
    "foreign": lambda root: Path(f"{root}/band-01/notes.txt").write_text("mine"),
    "card": lambda root: Path(f"{root}/README.md").write_text("mine"),
}


@case("commands/verify-damaged", "stores/dct2d-s2")
def verify_damaged(work: Work) -> None:
    """Each kind of damage alone: how it is named, what a training says, what is mended, what the store then is."""
    for name, damage in DAMAGE.items():
        root = f"stores/damaged-{name}"
        work.fresh("stores/dct2d-s2", root)
        damage(root)
        work.cli("verify", root, "--json")
        work.cli("train", "--canvas=32", "--crop=28", "--model=fc4", "--store", root, "--out", f"runs/damaged-{name}")
        work.cli("verify", root, "--repair", "--json")
        if name in ("band", "lost"):
            work.cli("verify", root, "--repair", "--data", "pictures", "--json")
        work.cli("verify", root, name=f"$ after the repair of {name}")
        work.compared(root, "stores/dct2d-s2")
        shutil.rmtree(root)
        shutil.rmtree(f"runs/damaged-{name}", ignore_errors=True)
