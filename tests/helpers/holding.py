"""Trainings that wait where a test wants them: while torch is imported, or after a step until they are told to stop."""

import os
from pathlib import Path

from tests.helpers.trees import ROOT
from tests.helpers.waiting import wait_for

# For every Python that is started with the folder in its path.
_WAITING = """
import contextlib, os, pathlib, sys, time
if "train" in sys.orig_argv:
    from bandwise import signals
    here, real = pathlib.Path(__file__).parent, signals.stop_requested

    class AtTorch:
        def find_spec(self, name, path=None, target=None):
            while name == "torch" and (here / "hold-import").exists():
                (here / "importing").touch()
                time.sleep(0.05)

    @contextlib.contextmanager
    def stop_requested():
        with real() as received:
            def answer():
                while (here / "hold-step").exists() and received() is None:
                    (here / f"training-{os.getpid()}").touch()
                    time.sleep(0.05)
                return received()
            yield answer

    signals.stop_requested = stop_requested
    sys.meta_path.insert(0, AtTorch())
"""


class Holding:
    """A folder that, in `PYTHONPATH`, lets a test hold every training that is started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(_WAITING)
        self.path = f"{folder}{os.pathsep}{ROOT / 'src'}"

    def hold(self, where: str) -> None:
        """Let every training wait at `import` or at `step`."""
        (self.folder / f"hold-{where}").touch()

    def let_go(self) -> None:
        """Let all go on."""
        for held in self.folder.glob("hold-*"):
            held.unlink()

    def training(self) -> set[int]:
        """Return the processes that wait after a step, and those that did."""
        return {int(path.name.partition("-")[2]) for path in self.folder.glob("training-*")}

    def wait(self, where: str) -> None:
        """Wait until a training waits there."""
        pattern = {"import": "importing", "step": "training-*"}[where]
        assert wait_for(lambda: any(self.folder.glob(pattern)), 800)
