"""How much of the package one run touches: a newcomer who follows it reads that many files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.pictures import make_folder

SOURCE = Path(__file__).parents[2] / "src"
MOST = 120
# Every Python that is started below writes down the modules of ours that it looks for; none can leave without it.
RECORDER = """
import os, sys
class Recorder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "bandwise":
            with open(os.environ["MODULES"], "a") as file:
                file.write(name + "\\n")
sys.meta_path.insert(0, Recorder())
"""
SMALL = ["--canvas", "24", "--crop", "24", "--model", "resnet8"]
SMALL += ["--epochs", "1", "--batch-size", "8", "--warmup-epochs", "0"]


@pytest.mark.timeout(900)
def test_one_run_touches_a_part_of_the_package(tmp_path):
    """`bandwise run photos-sub4`, on a few pictures, with branches and split in processes of their own."""
    (tmp_path / "sitecustomize.py").write_text(RECORDER)
    listed = tmp_path / "modules"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{SOURCE}", "MODULES": str(listed)}
    pictures = make_folder(tmp_path / "pictures", classes=2, train=8, val=2, side=24)
    out = ["--out", str(tmp_path / "run"), "--jobs", "2"]
    command = ["run", "photos-sub4", "--data", str(pictures), "--source", "folder", *out, *SMALL]
    # The source of the recipe itself, which the folder stands for.
    photos = "import bandwise.config as c, bandwise.sources.resolve as r; r.open_source(c.DataConfig(data='photos'))"
    for argv in (["-m", "bandwise", *command, "--workers", "2"], ["-c", photos]):
        subprocess.run([sys.executable, *argv], env=environment, check=True, capture_output=True)
    found = {name for name in listed.read_text().split() if is_module(name)}
    folders = sorted({".".join(name.split(".")[:2]) for name in found})
    counts = {folder: sum(name == folder or name.startswith(f"{folder}.") for name in found) for folder in folders}
    print(len(found), "modules:", counts)
    assert "bandwise.training.trainer" in found
    assert len(found) <= MOST


def is_module(name: str) -> bool:
    """Return whether a name is a file with content; folders are imported too."""
    return SOURCE.joinpath(*name.split(".")).with_suffix(".py").exists()
