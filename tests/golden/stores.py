"""Cases: the sources, and stores that no command alone makes: of a source of one's own, interrupted, damaged."""

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
from tests.golden.cases import DATA, case
from tests.golden.inputs import flip
from tests.golden.work import HERE, Work


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


@case("stores/two-workers", "stores/groups")
def split_by_two(work: Work) -> None:
    """Two processes, each guarded by a time limit."""
    work.process(f"split {DATA['splits']['groups']} --out stores/two --workers 2 --json", "$ split")
    work.compared("stores/two", "stores/groups")


@case("stores/killed", "stores/groups")
def split_killed(work: Work) -> None:
    """Killed after the first commit record, wherever that is, and started again: the bytes of a split at one go."""
    command = f"split {DATA['splits']['groups']} --out stores/killed {HERE}"
    child = subprocess.Popen(
        [sys.executable, "-m", "bandwise", *command.split()], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    while child.poll() is None and not list(Path("stores/killed/commits").glob("*.json")):
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    time.sleep(0.5)
    with work.unrecorded():
        assert work.cli(command) == 0
    work.compared("stores/killed", "stores/groups")


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
        work.script(
            f"""
            verify {root} --json
            train --canvas=32 --crop=28 --model=fc4 --store {root} --out runs/damaged-{name}
            verify {root} --repair --json
            """,
            f"verify {root} --repair --data pictures --json" if name in ("band", "lost") else "",
            f"verify {root} ## $ after the repair of {name}",
        )
        work.compared(root, "stores/dct2d-s2")
        shutil.rmtree(root)
        shutil.rmtree(f"runs/damaged-{name}", ignore_errors=True)
