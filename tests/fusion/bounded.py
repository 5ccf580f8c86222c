"""`python -m tests.fusion.bounded SAMPLES CLASSES FOLDER KEEP [HELD]`: the most memory that fusing big logits takes.

It prints one JSON object: what was found, and the bytes above what the imports take.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from bandwise.config import KeepLogits
from bandwise.evaluation import blocks as module
from bandwise.evaluation.blocks import blocks
from bandwise.evaluation.metrics import Scoring
from bandwise.fusion.answers import load_branches
from bandwise.fusion.combination import leave_one_out
from bandwise.fusion.rules import fit
from bandwise.runs.logits import writing_logits

BRANCHES, ROWS = 4, 500


def measure(folder: Path, samples: int, classes: int, keep: str, *held: int) -> dict[str, Any]:
    """Run this file in a process of its own; `held` is put in the place of `HELD_VALUES`."""
    command = [sys.executable, "-m", "tests.fusion.bounded", *map(str, (samples, classes, folder, keep, *held))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def write(folder: Path, samples: int, classes: int, keep: KeepLogits) -> list[Path]:
    """Write branches that know something of the labels, some images at a time."""
    paths = [folder / f"branch-{branch:02d}.safetensors" for branch in range(BRANCHES)]
    for branch, path in enumerate(paths):
        noise = np.random.default_rng(branch).standard_normal((ROWS, classes), np.float32)
        meta = {"branch": str(branch), "split": "holdout", "crops": "1", "classes": "c", "store": "s"}
        with writing_logits(path, samples, classes, meta, keep) as file:
            for start in range(0, samples, ROWS):
                ids = np.arange(start, min(start + ROWS, samples))
                logits = np.roll(noise[: len(ids)], start // ROWS, axis=1)
                labels = ids * 7919 % classes
                logits[np.arange(len(ids)), labels] += 2 + branch / 2
                file.put(start, ids, labels, logits)
    return paths


def main(samples: int, classes: int, folder: Path, keep: KeepLogits, held: int = module.HELD_VALUES) -> None:
    torch.set_num_threads(1)
    module.HELD_VALUES = held
    torch.zeros(9).double().log_softmax(0)
    # Forget the peak of the imports.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    data = load_branches(write(folder, samples, classes, keep))
    fusion = fit("mean", data)
    gains = [own.top1_gain for own in leave_one_out(fusion, data)]
    scoring = Scoring()
    for rows in blocks(data.logits):
        scoring.add(torch.from_numpy(fusion.apply(data.logits[:, rows])), torch.from_numpy(data.labels[rows]))
    found = {"temperature": fusion.temperature, "gains": gains, "top1": scoring.scores().top1}
    print(json.dumps({**found, "peak": resident("VmHWM") - before}))


if __name__ == "__main__":
    samples, classes, folder, keep, *held = sys.argv[1:]
    main(int(samples), int(classes), Path(folder), cast(KeepLogits, keep), *map(int, held))
