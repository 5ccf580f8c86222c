"""The examination of a machine: it passes here, leaves nothing behind, and a fault of each kind is named."""

import json
import os
import re
from pathlib import Path

import pytest

from bandwise.cli import main
from bandwise.doctor import examine as examine_module
from bandwise.doctor import rehearsal
from bandwise.doctor.examine import PROBES, examine, not_repeatable, probe_folder
from bandwise.errors import UsageError
from bandwise.training import determinism

GOOD = {"resume_exact": True, "repeatable": True, "same_on_two_threads": False}


@pytest.fixture
def quick(monkeypatch):
    """Leave the training out; return what it is to have found."""
    found = dict(GOOD)
    monkeypatch.setattr(examine_module, "_rehearse", lambda folder, device: found)
    return found


def test_this_machine_is_ready(tmp_path, capsys, monkeypatch):
    # As a user starts it: with a pool of OpenMP threads in the parent the forked children would never end.
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert main(["doctor", "--json", "--folder", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"]
    assert found["problems"] == []
    assert set(found["folder"]["probes"].values()) == {"ok"}
    assert found["self_test"]["cpu"]["resume_exact"]
    assert found["self_test"]["cpu"]["repeatable"]
    assert any("number of threads" in what for what in found["not_repeatable"])
    assert {"torch", "numpy", "python", "bandwise"} <= set(found["environment"]["versions"])
    assert list(tmp_path.iterdir()) == []


def test_a_person_reads_the_same(tmp_path, capsys, quick):
    assert main(["doctor", "--folder", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "this machine is ready" in text
    assert "resume_exact           yes" in text


@pytest.mark.parametrize("name", ["resume_exact", "repeatable"])
def test_a_training_that_differs_is_a_problem(tmp_path, capsys, quick, name):
    quick[name] = False
    assert main(["doctor", "--folder", str(tmp_path)]) == 1
    assert f"PROBLEM: the self-test on cpu is not {name}; results depend on interruptions" in capsys.readouterr().out


def test_a_training_that_fails_is_a_problem(tmp_path, quick):
    quick.clear()
    quick["error"] = "RehearsalError: code 1"
    found = examine(tmp_path)
    assert not found["ok"]
    assert "RehearsalError: code 1" in found["problems"][0]["what"]


def test_what_is_measured_is_said():
    both = {"cpu": GOOD, "cuda": {"resume_exact": False, "repeatable": False}}
    assert not_repeatable(both)[0] == "another number of threads (measured here: other bits)"
    assert any("on CUDA" in what and "other bits" in what for what in not_repeatable(both))
    assert not any("CUDA" in what for what in not_repeatable({"cpu": GOOD}))


def test_little_shared_memory_and_no_space_are_said(tmp_path, monkeypatch, quick):
    real = examine_module.describe_machine(tmp_path)
    monkeypatch.setattr(
        examine_module, "describe_machine", lambda _: {**real, "shared_memory_bytes": 8 << 20, "free_bytes": 0}
    )
    found = examine(tmp_path)
    assert any("--loader-workers 0" in note for note in found["notes"])
    assert [problem["remedy"] for problem in found["problems"]] == ["free some space"]


@pytest.mark.parametrize(
    ("asked", "nvidia", "built_for", "words"),
    [
        ("auto", False, None, "training on the CPU: this machine has no NVIDIA device"),
        ("cpu", True, None, "training on the CPU, as asked for"),
        ("auto", True, None, "WARNING: training on the CPU although .* is built without CUDA; install"),
        ("auto", True, "12.8", "WARNING: training on the CPU although .* cannot use it; look at its driver"),
    ],
)
def test_a_gpu_is_never_left_idle_in_silence(tmp_path, monkeypatch, quick, asked, nvidia, built_for, words):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.version.cuda", built_for)
    monkeypatch.setattr(determinism, "has_nvidia_device", lambda: nvidia)
    assert re.match(words, determinism.explain_device(asked))
    if asked == "auto":
        assert re.match(words, examine(tmp_path)["notes"][0])


def broken_flock(*_):
    """As on a file system that grants every lock."""


def broken_fsync(_):
    raise OSError(22, "Invalid argument")


def broken_open(path, flags, *rest, real=os.open, **more):
    return real(path, flags & ~os.O_EXCL, *rest, **more)


def broken_replace(self, target):
    Path(target).write_bytes(self.read_bytes())


BREAKS = {
    "lock": ("fcntl.flock", broken_flock, "two holders got the same lock"),
    "fsync_file": ("os.fsync", broken_fsync, "Invalid argument"),
    "fsync_folder": ("os.fsync", broken_fsync, "Invalid argument"),
    "exclusive_create": ("os.open", broken_open, "O_EXCL created a file"),
    "rename_over": ("pathlib.Path.replace", broken_replace, "did not take the place"),
    "rename_folder": ("pathlib.Path.rename", lambda *_: None, "lost its files"),
}


def test_every_probe_has_a_broken_file_system():
    assert set(BREAKS) == set(PROBES)


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_file_system_is_noticed(tmp_path, monkeypatch, name):
    where, broken, message = BREAKS[name]
    assert probe_folder(tmp_path)[name] == ""
    monkeypatch.setattr(where, broken)
    assert message in probe_folder(tmp_path)[name]


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no folder"):
        probe_folder(tmp_path / "none")


def test_a_resume_that_is_not_exact_is_noticed(tmp_path, monkeypatch):
    """Negative control: the comparison sees a last bit."""
    monkeypatch.setattr(rehearsal, "_train", lambda folder, name, config, kill=False: None)
    monkeypatch.setattr(rehearsal, "split_dataset", lambda *_: None)
    monkeypatch.setattr(rehearsal, "_everything", lambda folder: folder.name if folder.name == "killed" else "same")
    monkeypatch.setattr(rehearsal, "_tensors", lambda folder: "same")
    assert rehearsal.rehearse(tmp_path, "cpu") == {
        "resume_exact": False,
        "repeatable": True,
        "same_on_two_threads": True,
    }
