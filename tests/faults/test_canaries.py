"""F20: code in every place from which something is loaded; the file that would show that it ran never appears."""

import io
import os
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.faults.material import commit_again
from tests.faults.scale import share
from tests.pictures import make_folder


class Opens:
    """Opens the canary for writing as soon as it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._canary = os.fspath(canary)

    def __reduce__(self) -> tuple[Any, ...]:
        return io.open, (self._canary, "w")


def payloads(canary: Path) -> dict[str, bytes]:
    """Return files that execute code in a loader that is careless enough."""
    trap = Opens(canary)
    plain = pickle.dumps(trap)
    new, legacy, array, archive, package = (io.BytesIO() for _ in range(5))
    torch.save({"weight": trap}, new)
    torch.save({"weight": trap}, legacy, _use_new_zipfile_serialization=False)
    np.save(array, np.array([trap], dtype=object), allow_pickle=True)
    np.savez(archive, weight=np.array([trap], dtype=object))
    python = f"open({os.fspath(canary)!r}, 'w')\n"
    with zipfile.ZipFile(package, "w") as content:
        content.writestr("archive/data.pkl", plain)
        content.writestr("archive/__init__.py", python)
        content.writestr("archive/version", "3\n")
    length = len(plain).to_bytes(8, "little")
    return {
        "pickle": plain,
        "pickle of protocol 0": pickle.dumps(trap, protocol=0),
        "torch": new.getvalue(),
        "torch, old format": legacy.getvalue(),
        "npy": array.getvalue(),
        "npz": archive.getvalue(),
        "torch.package": package.getvalue(),
        "pickle behind a header's length": length + plain,
        "pickle in a header": length + plain + b"{}",
        "YAML": f"!!python/object/apply:builtins.open ['{canary}', 'w']\n".encode(),
        "shell": f"#!/bin/sh\ntouch '{canary}'\n".encode(),
        "python": python.encode(),
    }


NAMES = tuple(payloads(Path("/nowhere")))[:: share(1, 12)]
SPLIT = "split --canvas 16 --out RUN/new --data RUN/data --source"
TRAIN = (
    "train --out RUN/new --store RUN/store --stride 2 --canvas 24 --crop 20 --holdout 0.2 --model resnet8 --branches 0 "
    "--initial-checkpoint"
)
PLACES = {
    **{f"branch-00/STEP/{name}.safetensors": "predict RUN PICTURE" for name in ("model", "optim")},
    **dict.fromkeys(("branch-00/STEP/COMMIT.json", "run.json", "fusion.json"), "predict RUN PICTURE"),
    "branch-00/STEP/state.json": "predict RUN PICTURE",
    "branch-01/STEP/optim.safetensors": "train --out RUN",
    "logits/val/branch-00.safetensors": "evaluate RUN",
    "results.json": "verify RUN",
    "./results.json": "report RUN",
    **{f"store/{name}": "verify RUN/store" for name in ("MANIFEST.json", "STORE.json", "samples.parquet", "README.md")},
    **{name: f"{TRAIN} RUN/{name}" for name in ("stranger.safetensors", "stranger.pth")},
    "c.yaml": "train --config RUN/c.yaml --out RUN/new --store RUN/store",
    "picture.jpg": "predict RUN RUN/picture.jpg",
    "data/train-000000.tar": f"{SPLIT} webdataset",
    "data/train-00000-of-00001.parquet": f"{SPLIT} parquet",
    "data/ILSVRC2012_img_train.tar": f"{SPLIT} imagenet1k",
    "data/ILSVRC2012_devkit_t12.tar.gz": f"{SPLIT} imagenet1k",
    "data/data_batch_1": f"{SPLIT} auto",
}
"""Where the payload is put below a run, and what reads it there."""
MAY_SUCCEED = ("report RUN", "train --out RUN")
"""A report is made of what there is, and a training goes on from the checkpoint before; all else has to refuse."""


def lay(run: Path, payload: bytes, target: str, copy: Path) -> list[str]:
    """Put the payload in its place in a fresh copy of the run; return the command line that reads it."""
    shutil.copytree(run, copy)
    step = max((run / "branch-00").glob("step-*")).name
    picture = next(make_folder(copy / "pictures", classes=1, train=1, val=1).rglob("*.png"))
    file = copy / target.replace("STEP", step)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(payload)
    if "STEP" in target and file.name != "COMMIT.json":
        commit_again(file.parent)
    return [part.replace("RUN", str(copy)).replace("PICTURE", str(picture)) for part in PLACES[target].split()]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_is_loaded_runs(server, run_folder, tmp_path, name):
    canary = tmp_path / "canary"
    for number, (target, reads) in enumerate(PLACES.items()):
        argv = lay(run_folder, payloads(canary)[name], target, tmp_path / str(number))
        ended = server.run("command", argv=argv, cwd=tmp_path, timeout_s=120)
        assert ended.code is not None
        assert ended.code != 0 or reads in MAY_SUCCEED, f"{target}: {ended.log[-2000:]}"
        assert "Traceback" not in ended.log, f"{target}: {ended.log[-3000:]}"
        assert not canary.exists(), f"{target}: {name} was executed"


@pytest.mark.parametrize("name", ["pickle", "pickle of protocol 0", "npy", "torch"])
def test_the_canaries_can_fire(server, tmp_path, name):
    """Each form, loaded carelessly, in a process of its own."""
    canary = tmp_path / "canary"
    (tmp_path / "payload").write_bytes(payloads(canary)[name])
    server.run("load_carelessly", path=tmp_path / "payload")
    assert canary.exists()


def test_a_loader_that_takes_pickles_is_noticed(server, run_folder, tmp_path):
    canary = tmp_path / "canary"
    target = "branch-00/STEP/model.safetensors"
    argv = lay(run_folder, payloads(canary)["pickle"], target, tmp_path / "run")
    server.run("command", argv=argv, cwd=tmp_path, broken="pickles_welcome")
    assert canary.exists()
