"""The parts of `python -m benchmarks accelerator`: each writes a figure as soon as it has it."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from PIL import Image

from bandwise.config import AugmentConfig, NetworkConfig, RunConfig, SplitConfig, TrainingConfig, to_dict
from bandwise.config.configfile import config_text
from bandwise.recipes.catalog import all_recipes, find_recipe
from bandwise.sources.folder import open_folder
from bandwise.store.reading.store import Store, open_store
from bandwise.store.writing.split import split_dataset
from bandwise.training.determinism import choose_device, reproducible
from bandwise.training.feed import open_feed
from bandwise.training.identity import Branch
from bandwise.training.learner import Learner
from bandwise.training.trainer import train_branch
from benchmarks.accelerator import TRAIN_NAMES, Steps, memory_figures, train_figures
from benchmarks.figures import Figure, Reach
from benchmarks.memory import BATCH, BUDGET_BYTES, CLASSES, formula

_ROOT = Path(__file__).parents[1]
_TESTS = ("tests/gpu", "tests/training/test_accelerator.py")
_STREAMING = 15_000
"""Images a second of 112 px that streaming from a disk with four threads is meant to reach."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a part works with."""

    device: Literal["cpu", "cuda"]
    data: Path
    """Class folders."""
    work: Path
    rows: Path
    """Where finished rows of evidence are kept."""

    @property
    def tiny(self) -> bool:
        """Whether this only shows that everything runs."""
        return self.device == "cpu"


def tests(job: Job) -> Iterator[Figure]:
    """The tests that are marked `gpu`; in the place of a device, the same tests of the CPU with itself."""
    chosen = ["-k", "cpu"] if job.tiny else ["-m", "gpu"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen, *_TESTS]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    counts = {what: int(number) for number, what in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}
    bad = counts.get("failed", 0) + counts.get("error", 0) + (done.returncode != 0 and not counts)
    yield Figure("tests/passed", "tests", counts.get("passed"), ratio=bad, ratio_of="failed", reach=Reach("<=", 0))


def feeds(job: Job) -> Iterator[Figure]:
    """The loop with each feed over the same loop on one batch, streaming alone, and several branches on the device."""
    config, store = _prepared(job)
    one_batch = _one_batch(config, store)
    for cache in ("device", "ram", "none"):
        own = replace(config, training=replace(config.training, cache=cache))
        folder = job.work / f"loop-{cache}"
        train_branch(own, store.path, folder, 0)
        rate = json.loads((folder / "timing.jsonl").read_text(encoding="ascii").splitlines()[-1])["images_per_s"]
        yield Figure(
            f"loop/{cache}",
            "images/s",
            rate,
            {"one batch": one_batch},
            rate / one_batch,
            "loop / loop on one batch",
            Reach(">=", 0.97) if cache == "device" else None,
        )
    alone = _feed_alone(replace(config, training=replace(config.training, cache="none")), store)
    ratio_of, reach = f"of {_STREAMING:,} images/s", Reach(">=", 1)
    note = f"{config.training.crop // config.split.stride} px, meant for 112 px"
    yield Figure("feed/none", "images/s", alone, {}, alone / _STREAMING, ratio_of, reach, note=note)
    first = None
    for count in (1, 2, 4):
        rate = _together(job, config, store, count)
        first = first or rate
        name, note = f"per device/{count}", "all branches together, with the start of their processes"
        yield Figure(name, "images/s", rate, {"1 at a time": first}, rate / first, f"{count} / 1 at a time", note=note)


def networks(job: Job) -> Iterator[Figure]:
    """Rates of the recipes of ImageNet."""
    amount = Steps(batch=2, warm_up=1, steps=1, rounds=1) if job.tiny else Steps()
    return train_figures(_recipes(job), job.device, amount)


def memory(job: Job) -> Iterator[Figure]:
    """Peak and largest batch of the recipes of ImageNet, against the plan."""
    if job.tiny:
        return memory_figures(_recipes(job), lambda config: formula(config, 10), 4, 1.52e9, 10, "cpu")
    return memory_figures(_recipes(job), formula, BATCH, BUDGET_BYTES, CLASSES, "cuda")


def evidence(job: Job) -> Iterator[Figure]:
    """Recipes of natural size, seed by seed, as many as there is time for; each finished row is kept."""
    names = [name for name in all_recipes() if name.startswith("imagewoof-resnet18-")]
    for seed, name in itertools.product(range(1 if job.tiny else 3), names[:1] if job.tiny else names):
        out = job.work / f"{name}-{seed}"
        tiny = (
            "--epochs 1 --warmup-epochs 0 --canvas 32 --crop 32 --batch-size 4 --model resnet8-slim --precision 32-true"
        )
        flags = [*(tiny.split() if job.tiny else ()), "--seed", str(seed), "--device", job.device]
        command = [sys.executable, "-m", "bandwise", "run", name, "--data", job.data, "--out", out, *flags]
        code = subprocess.run(list(map(os.fspath, command)), check=False).returncode
        top1 = None
        if code == 0:
            job.rows.mkdir(parents=True, exist_ok=True)
            kept = shutil.copy(out / "results.json", job.rows / f"{name}-seed{seed}.json")
            top1 = json.loads(Path(kept).read_text(encoding="utf-8"))["fused"]["top1"]
        yield Figure(f"evidence/{name}-seed{seed}", "top-1", top1, note="" if code == 0 else f"exit {code}")


def _recipes(job: Job) -> dict[str, RunConfig]:
    found = {name: find_recipe(name).config for name in TRAIN_NAMES}
    if not job.tiny:
        return found
    tiny = NetworkConfig(model="resnet8-slim", stem="dense")
    small = {name: replace(config.training, crop=32, train_crop=0) for name, config in found.items()}
    return {name: replace(config, training=small[name], network=tiny) for name, config in found.items()}


def _prepared(job: Job) -> tuple[RunConfig, Store]:
    """Split the pictures, and say how one branch of them is trained."""
    canvas, crop = (32, 32) if job.tiny else (256, 224)
    split = SplitConfig(stride=2, canvas=canvas, holdout=0.0, holdout_min=0)
    batch, epochs = (4, 2) if job.tiny else (128, 3)
    network = NetworkConfig(model="resnet8-slim" if job.tiny else "resnet18", stem="dense" if job.tiny else "stock")
    precision = "32-true" if job.tiny else "bf16-mixed"
    training = TrainingConfig(
        crop=crop,
        precision=precision,
        device=job.device,
        checkpoint_steps=10**6,
        batch_size=batch,
        epochs=epochs,
    )
    config = RunConfig(
        name="accelerator", split=split, network=network, training=training, augment=AugmentConfig(hflip=0.5)
    )
    split_dataset(open_folder(job.data), split, job.work / "store", workers=min(16, os.cpu_count() or 1))
    return config, open_store(job.work / "store")


def _one_batch(config: RunConfig, store: Store) -> float:
    """Return images a second of the loop on one batch that is there already."""
    device, batch = choose_device(config.training.device), config.training.batch_size
    branch = Branch(config, 0, store, store.path, device)
    with reproducible(config.training, device):
        feed = open_feed(branch)
        learner = Learner(
            config,
            0,
            num_classes=len(store.classes),
            bands=1,
            channels=store.channels,
            steps_per_epoch=feed.steps_per_epoch,
            device=device,
        )
        learner.train_mode()
        images, targets = feed.inputs(next(iter(feed.batches(0, start=0))), 0)
        images = images.clone()
        for step in range(1, 4):
            learner.learn(images, targets, step)
        started = _now(device)
        for step in range(feed.steps_per_epoch):
            learner.learn(images, targets, 4 + step)
        seconds = _now(device) - started
        feed.close()
    return batch * feed.steps_per_epoch / seconds


def _feed_alone(config: RunConfig, store: Store) -> float:
    """Return images a second of reading, moving and augmenting, with nothing learned."""
    device = choose_device(config.training.device)
    with reproducible(config.training, device):
        feed = open_feed(Branch(config, 0, store, store.path, device))
        started = _now(device)
        for batch in feed.batches(0, start=0):
            feed.inputs(batch, 0)
        seconds = _now(device) - started
        feed.close()
    return config.training.batch_size * feed.steps_per_epoch / seconds


def _together(job: Job, config: RunConfig, store: Store, count: int) -> float:
    """Return images a second of four branches, `count` at a time on one device."""
    path, out = job.work / "four.yaml", job.work / f"together-{count}"
    path.write_text(config_text(to_dict(config)), encoding="utf-8")
    # Without an accelerator `--jobs` is what says how many there are at a time.
    several = ["--jobs", str(count)] if job.tiny else ["--devices", "0", "--per-device", str(count)]
    command = [sys.executable, "-m", "bandwise", "train", path, "--store", store.path, "--out", out, *several]
    started = time.perf_counter()
    subprocess.run(list(map(os.fspath, command)), check=True)
    steps = store.rows("train") // config.training.batch_size * config.training.batch_size
    return 4 * config.training.epochs * steps / (time.perf_counter() - started)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _made_up(root: Path) -> Path:
    """Write soft pictures of two classes, once."""
    random = np.random.default_rng(0)
    for number in range(0 if root.exists() else 40):
        folder = root / ("val" if number % 4 == 3 else "train") / f"class{number % 8 // 4}"
        folder.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        small.resize((64, 64)).save(folder / f"{number:03d}.jpg")
    return root


def main(name: str, device: Literal["cpu", "cuda"], data: str, work: str, rows: str) -> None:
    """Run one part."""
    parts = {each.__name__: each for each in (tests, feeds, networks, memory, evidence)}
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA device here; --device cpu shows that everything runs")
    folder = Path(data) if data else _made_up(Path(work) / "pictures")
    job = Job(device, folder, Path(work), Path(rows))
    with open(Path(work) / f"{name}.jsonl", "a", encoding="utf-8") as stream:
        for figure in parts[name](job):
            # A rate of some tiny steps reaches and misses nothing.
            figure = replace(figure, reach=None) if job.tiny and figure.unit == "images/s" else figure
            stream.write(json.dumps(figure.to_dict()) + "\n")
            stream.flush()


if __name__ == "__main__":
    main(*cast(Any, sys.argv[1:]))
