"""Cases: tiny trainings of every kind, what they leave, and the commands that score and join them."""

import copy
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.golden.stores import HERE
from tests.golden.work import Work, case

BASE: dict[str, Any] = {
    "data": {"data": "pictures"},
    "split": {"stride": 2, "canvas": 32},
    "network": {"model": "resnet8-slim", "stem": "dense"},
    "training": {"crop": 28, "epochs": 2, "batch_size": 16, "checkpoint_steps": 3, "device": "cpu"},
}
WHOLE = {"split": {"stride": 1}, "training": {"crop": 32, "epochs": 1}}
IMAGE = {"at": "image", "scale": 0.3, "aa": "rand-m7-mstd0.5-inc1", "color_jitter": 0.3, "interpolation": "random"}
MIXED = {"hflip": 0.5, "vflip": 0.2, "mixup": 0.2, "cutmix": 1.0, "reprob": 0.3}
AVERAGE = {"model_ema": True, "model_ema_decay": 0.8, "warmup_epochs": 1, "smoothing": 0.1, "seed": 3}
ADAM = {"grad_accum_steps": 4, "opt": "adamw", "lr": 0.003, "bce_loss": True, "bce_target_thresh": 0.2}

TRAININGS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "plain": ("", {}, ()),
    "average": ("dct2d-s2", {"augment": MIXED, "training": AVERAGE}, ()),
    "adam": ("dct2d-s2", {"training": {**ADAM, "clip_grad": 1.0}, "augment": {"mixup": 0.5}, "branches": "0;1,2"}, ()),
    "image": ("dct2d-s2", {"augment": {**IMAGE, "aug_repeats": 2, **MIXED}, "branches": "0;3"}, ()),
    "image-workers": (
        "dct2d-s2",
        {"augment": IMAGE, "training": {"loader_workers": 2, "epochs": 1}, "branches": "1"},
        (),
    ),
    "warm": ("dct2d-s2", {"branches": "0;0,1;2,3", "initial_branch": 0}, ()),
    "head": ("dct2d-s2", {"fusion": {"rule": "head"}, "augment": {"hflip": 0.0}}, ()),
    "joint": (
        "dct1d-s2",
        {
            "split": {"transform": "dct1d"},
            "branches": "0,1,2,3",
            "training": {"opt": "adam", "lr": 0.002},
            "augment": {"inexact_flip": True},
        },
        (),
    ),
    "float16": ("float16", {"split": {"storage": "float16"}, "training": {"cache": "none"}, "augment": MIXED}, ()),
    "webp": ("webp", {"split": {"codec": "webp"}, "training": {"cache": "none"}}, ()),
    "whole": ("dct2d-s1", WHOLE, ()),
    "hadamard": (
        "hadamard-s4",
        {"split": {"stride": 4, "transform": "hadamard"}, "branches": "0,5,10,15;0-3", "augment": MIXED},
        (),
    ),
    "identity": (
        "identity-s2",
        {"split": {"transform": "identity"}, "branches": "0-1;2-3", "fusion": {"rule": "geometric", "p": 0.4}},
        (),
    ),
    "random": (
        "random-s3",
        {
            "split": {"stride": 3, "canvas": 36, "transform": "random", "transform_seed": 5},
            "training": {"crop": 30, "train_crop": 24, "epochs": 1},
            "augment": {"hflip": 0.0},
            "branches": "0;4;8",
        },
        (),
    ),
    "steps": (
        "dct2d-s2",
        {
            "training": {"sched": "step", "decay_epochs": 1, "epochs": 3, "precision": "bf16-mixed", "momentum": 0.5},
            "network": {"drop_path": 0.2},
            "branches": "0",
        },
        (),
    ),
    "connected": ("dct2d-s2", {"network": {"model": "fc4", "stem": "stock"}, "fusion": {"rule": "greedy"}}, ()),
    "timm": ("dct2d-s2", {"network": {"model": "timm:resnet10t", "stem": "stock"}, "branches": "0;1"}, ()),
    "set": (
        "dct2d-s2",
        {"branches": "0;3"},
        ("--recipe-set", "rsb-a3", "--epochs=1", "--warmup-epochs=0", "--batch-size=16"),
    ),
}
QUICK = ("average",)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return nested plain data with some values replaced."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        result[key] = merged(result.get(key, {}), value) if isinstance(value, dict) else value
    return result


def write_config(name: str, changes: dict[str, Any]) -> str:
    """Write the configuration of a training as a file and return its name."""
    Path("configs").mkdir(exist_ok=True)
    Path(f"configs/{name}.json").write_text(json.dumps(merged(BASE, changes)))
    return f"configs/{name}.json"


def _training_case(name: str, store: str, changes: dict[str, Any], flags: tuple[str, ...]) -> None:
    needs = f"stores/{store}" if store else "inputs"

    @case(f"runs/{name}", needs, quick=name in QUICK, floats=True)
    def train(work: Work) -> None:
        where = ("--store", f"stores/{store}") if store else ()
        config = write_config(name, changes)
        work.cli("run", config, "--out", f"runs/{name}", *where, "--jobs", "1", *HERE, *flags, "--json", name="$ run")
        work.run_folder(f"runs/{name}")
        if not store:
            work.store(f"runs/{name}/store", "store/")


for _name, _row in TRAININGS.items():
    _training_case(_name, *_row)


@case("runs/grey", "stores/grey")
def train_grey(work: Work) -> None:
    """Grey pictures, whose source only their store names."""
    config = write_config("grey", {"split": {"canvas": 24}, "training": {"crop": 20}, "branches": "0;1,2"})
    for verb in ("train", "fuse", "evaluate"):
        flags = (config, "--store", "stores/grey-webp") if verb == "train" else ()
        place = ("--out", "runs/grey") if verb == "train" else ("runs/grey",)
        codec = ("--codec", "webp") if verb == "train" else ()
        work.cli(verb, *flags, *place, *codec, "--json", name=f"$ {verb}")
    work.run_folder("runs/grey")


@case("runs/started", "runs/warm")
def train_started(work: Work) -> None:
    """Starts from a file of weights: the first branch of another run."""
    found = sorted(Path("runs/warm/branch-00").glob("step-*/model.safetensors"))[-1]
    Path("weights.safetensors").write_bytes(found.read_bytes())
    config = write_config("started", {"network": {"initial_checkpoint": "weights.safetensors"}, "branches": "0;1"})
    flags = ("--store", "stores/dct2d-s2", "--jobs", "1", *HERE, "--json")
    work.cli("run", config, "--out", "runs/started", *flags, name="$ run")
    work.run_folder("runs/started")


@case("runs/in-parts", "stores/bands-later")
def train_in_parts(work: Work) -> None:
    """Verb by verb, branch by branch, as on several machines."""
    config = write_config("in-parts", {"training": {"epochs": 1}})
    flags = (config, "--out", "runs/parts", "--store", "stores/parts")
    work.cli("train", *flags, "--dry-run", "--json")
    work.cli("train", *flags, "--branch", "2")
    work.cli("fuse", "runs/parts")
    work.cli("fuse", "runs/parts", "--use", "2", "--json")
    work.cli("evaluate", "runs/parts")
    work.cli("train", *flags, "--json")
    work.cli("train", *flags)
    work.cli("train", *flags, "--json", "--epochs", "3")
    work.cli("train", "--out", "runs/parts", "--threads", "1", "--checkpoint-steps", "1")
    work.cli("fuse", "runs/parts")
    work.cli("evaluate", "runs/parts", "--record", "recorded")
    work.cli("evaluate", "runs/parts", "--json")
    work.file("recorded/in-parts-seed0.json")
    work.run_folder("runs/parts")


@case("runs/two-jobs", "stores/dct2d-s2")
def train_two(work: Work) -> None:
    """Branches in processes of their own, the one that others start from first."""
    config = write_config("two-jobs", {"branches": "0;1", "initial_branch": 1, "training": {"epochs": 1}})
    work.cli("run", config, "--out", "runs/two", "--store", "stores/dct2d-s2", "--jobs", "2", *HERE, name="$ run")
    work.run_folder("runs/two")


@case("runs/without-numba", "runs/average")
def train_without_numba(work: Work) -> None:
    """The same bytes and weights where nothing is compiled."""
    Path("blocked").mkdir()
    Path("blocked/numba.py").write_text("raise ImportError('not here')\n")
    config = write_config("average", {"augment": MIXED, "training": AVERAGE})
    flags = ("--out", "runs/portable", *HERE, "--jobs", "1")
    work.process("run", config, *flags, name="$ run", path=str(Path("blocked").resolve()))
    work.compared("runs/portable/store", "stores/dct2d-s2")
    for path in sorted(Path("runs/portable").glob("branch-*/step-000000008/*.safetensors")):
        before = Path("runs/average", path.relative_to("runs/portable"))
        work.data(str(path), {"as compiled": path.read_bytes() == before.read_bytes()})


@case("runs/stopped", "stores/dct2d-s2")
def train_stopped(work: Work) -> None:
    """SIGTERM to the command itself: the exit code, and what is said; where it stops is left to chance."""
    config = write_config("stopped", {"training": {"epochs": 5000, "checkpoint_steps": 1}, "branches": "0"})
    argv = ("train", config, "--out", "runs/stopped", "--store", "stores/dct2d-s2")
    child = subprocess.Popen([sys.executable, "-m", "bandwise", *argv], stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    while child.poll() is None and not list(Path("runs/stopped").glob("branch-00/step-*/COMMIT.json")):
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    out, err = (stream.decode() for stream in child.communicate())
    work.add("$ train", f"exit: {child.returncode}\n{out}{re.sub('[0-9]+ of', 'SOME of', work.text(err))}")


def run_config(content: dict[str, Any]) -> Any:
    """Return a configuration as the public class, without what reads configuration files."""
    from bandwise import RunConfig

    def filled(config: Any, changes: dict[str, Any]) -> Any:
        values = {key: filled(getattr(config, key), v) if isinstance(v, dict) else v for key, v in changes.items()}
        return dataclasses.replace(config, **values)

    return filled(RunConfig(), content)


@case("runs/interrupted", "stores/dct2d-s2")
def train_interrupted(work: Work) -> None:
    """Stopped by a signal in the middle of an epoch, then by an error, and continued: the bits of one at one go."""
    from bandwise import train_branch

    changes = {"augment": MIXED, "training": AVERAGE}
    config = run_config(merged(merged(BASE, {"name": "average"}), changes))
    folder = Path("runs/interrupted/branch-01")

    def stop_at(wanted: int, how: Any) -> Any:
        return lambda step: how() if step == wanted else None

    def fail() -> None:
        raise RuntimeError("in the middle")

    for number, step in enumerate((stop_at(2, lambda: os.kill(os.getpid(), signal.SIGTERM)), stop_at(7, fail))):
        try:
            train_branch(config, Path("stores/dct2d-s2"), folder, 1, on_step=step)
        except Exception as error:
            work.add(f"stopped {number}", f"{type(error).__name__} {getattr(error, 'exit_code', '')}: {error}")
        work.folder(str(folder), prefix=f"{number}/", leave_out=("timing.jsonl",))
    where = ("--out", "runs/interrupted", "--store", "stores/dct2d-s2", "--branch", "1")
    work.cli("train", write_config("average", changes), *where, "--json", name="$ train")
    work.run_folder("runs/interrupted")
