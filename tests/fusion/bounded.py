"""`python -m tests.fusion.bounded SAMPLES CLASSES FOLDER KEEP WORK...`: the most memory that fusing big logits takes.

It prints one JSON object: bytes above what the imports take, of all pages and of those that are no part of a file.
"""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from bandwise.config import KeepLogits
from bandwise.evaluation import blocks as module
from bandwise.evaluation.blocks import blocks
from bandwise.evaluation.metrics import Scoring
from bandwise.fusion.answers import load_branches
from bandwise.fusion.cascade import fit_cascade
from bandwise.fusion.combination import leave_one_out
from bandwise.fusion.rules import fit
from bandwise.runs.logits import writing_logits

BRANCHES, ROWS = 4, 500


def measure(folder: Path, samples: int, classes: int, keep: str, *work: str) -> dict[str, Any]:
    """Run this file in a process of its own."""
    command = [sys.executable, "-m", "tests.fusion.bounded", str(samples), str(classes), str(folder), keep, *work]
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


def main(samples: int, classes: int, folder: Path, keep: KeepLogits, work: list[str]) -> None:
    torch.set_num_threads(1)
    for held in (each for each in work if each.startswith("held=")):
        module.HELD_VALUES = int(held.removeprefix("held="))
    torch.zeros(9).double().log_softmax(0)
    # Forget the peak of the imports.
    Path("/proc/self/clear_refs").write_text("5")
    before, anonymous, done = resident("VmRSS"), resident("RssAnon"), threading.Event()
    most = [anonymous]

    def watch() -> None:
        while not done.wait(0.02):
            most[0] = max(most[0], resident("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    data = load_branches(write(folder, samples, classes, keep))
    fusion = fit("mean", data)
    found: dict[str, object] = {"temperature": fusion.temperature}
    if "learned" in work:
        found["weights"] = fit("learned", data).weights
    if "leave-one-out" in work:
        found["gains"] = [own.top1_gain for own in leave_one_out(fusion, data)]
    if "cascade" in work:
        found["order"] = fit_cascade(fusion, data, 0.99).order
    scoring = Scoring()
    for rows in blocks(data.logits):
        scoring.add(torch.from_numpy(fusion.apply(data.logits[:, rows])), torch.from_numpy(data.labels[rows]))
    done.set()
    watcher.join()
    peaks = {"peak": resident("VmHWM") - before, "anonymous": most[0] - anonymous}
    print(json.dumps({**found, "top1": scoring.scores().top1, **peaks}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), cast(KeepLogits, sys.argv[4]), sys.argv[5:])
