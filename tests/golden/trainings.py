"""Cases: trainings that no command alone makes: started from a file, without numba, stopped, interrupted."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.golden.cases import DATA, case
from tests.golden.inputs import BASE, merged, write_config
from tests.golden.work import Work

AVERAGE = {key: DATA["trainings"]["average"][key] for key in ("augment", "training")}


@case("runs/started", "runs/warm")
def train_started(work: Work) -> None:
    """Starts from a file of weights: the first branch of another run."""
    found = sorted(Path("runs/warm/branch-00").glob("step-*/model.safetensors"))[-1]
    Path("weights.safetensors").write_bytes(found.read_bytes())
    work.script(
        """
        : write started {"network": {"initial_checkpoint": "weights.safetensors"}, "branches": "0;1"}
        run configs/started.json --out runs/started --store stores/dct2d-s2 --jobs 1 HERE --json ## $ run
        : run_folder runs/started
        """
    )


@case("runs/without-numba", "runs/average")
def train_without_numba(work: Work) -> None:
    """The same bytes and weights where nothing is compiled."""
    Path("blocked").mkdir()
    Path("blocked/numba.py").write_text("raise ImportError('not here')\n")
    config = write_config("average", AVERAGE)
    work.process(f"run {config} --out runs/portable HERE --jobs 1", "$ run", path=str(Path("blocked").resolve()))
    work.compared("runs/portable/store", "stores/dct2d-s2")
    for path in sorted(Path("runs/portable").glob("branch-*/step-000000008/*.safetensors")):
        before = Path("runs/average", path.relative_to("runs/portable"))
        work.data(str(path), {"as compiled": path.read_bytes() == before.read_bytes()})


@case("runs/stopped", "stores/dct2d-s2")
def train_stopped(work: Work) -> None:
    """SIGTERM to the command itself: the exit code, and what is said; where it stops is left to chance."""
    config = write_config("stopped", {"training": {"epochs": 5000, "checkpoint_steps": 1}, "branches": "0"})
    argv = f"train {config} --out runs/stopped --store stores/dct2d-s2".split()
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

    config = run_config(merged(merged(BASE, {"name": "average"}), AVERAGE))
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
    config = write_config("average", AVERAGE)
    work.cli(f"train {config} --out runs/interrupted --store stores/dct2d-s2 --branch 1 --json", "$ train")
    work.run_folder("runs/interrupted")
