import json
from pathlib import Path
from typing import Any

import pytest
import torch

from bandwise.checkpoints import folder as module
from bandwise.checkpoints.folder import (
    AVERAGE_PREFIX,
    last_checkpoint,
    newest_checkpoint,
    read_checkpoint,
    remove_trash,
    save_checkpoint,
    steps,
)
from bandwise.checkpoints.tensors import NotFiniteError
from bandwise.errors import CorruptionError, IncompatibleError

FILES = ("COMMIT.json", "model.safetensors", "optim.safetensors", "state.json")


def save(folder: Path, step: int, *, keep: int = 2, value: float | None = None) -> Path:
    weight = torch.full((3, 2), float(step) if value is None else value)
    optim = {"random.cpu": torch.arange(40, dtype=torch.uint8), AVERAGE_PREFIX + "weight": torch.full((2,), step)}
    state = {"position": {"step": step}, "loss": 0.1 + 0.2}
    return save_checkpoint(folder, step, model={"weight": weight}, optim=optim, state=state, keep=keep)


def flip_bit(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position // 8] ^= 1 << position % 8
    path.write_bytes(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_read_back(tmp_path):
    path = save(tmp_path, 123)
    assert path.name == "step-000000123"
    assert names(path) == sorted(FILES)
    found = read_checkpoint(path)
    assert torch.equal(found.model["weight"], torch.full((3, 2), 123.0))
    assert torch.equal(found.optim["random.cpu"], torch.arange(40, dtype=torch.uint8))
    assert found.state == {"version": 1, "position": {"step": 123}, "loss": 0.1 + 0.2}


def test_commit_holds_sizes_and_hashes(tmp_path):
    """Oracle: the hash function of the standard library over the files."""
    import hashlib

    path = save(tmp_path, 1)
    commit = json.loads((path / "COMMIT.json").read_text())
    for name in FILES[1:]:
        content = (path / name).read_bytes()
        assert commit["files"][name] == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def test_each_file_is_read_once(tmp_path):
    """What is hashed is then what is used, and a large checkpoint crosses the network once."""
    path = save_checkpoint(tmp_path, 1, model={"weight": torch.zeros(1 << 20)}, optim={}, state={}, keep=1)
    size = sum((path / name).stat().st_size for name in FILES)
    before = bytes_read()
    read_checkpoint(path)
    assert size <= bytes_read() - before < 1.1 * size


def test_the_newest_are_kept(tmp_path):
    for step in (1, 2, 10, 11):
        save(tmp_path, step, keep=3)
    assert names(tmp_path) == ["step-000000002", "step-000000010", "step-000000011"]
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.state["position"]["step"] == 11


def test_an_empty_folder_has_none(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    with pytest.raises(CorruptionError, match="has no checkpoint; run `bandwise train`"):
        last_checkpoint(tmp_path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["truncate", "empty", "append", "remove", "old", "a link to itself"])
def test_a_damaged_newest_one_is_set_aside_and_the_one_before_is_used(tmp_path, capsys, name, harm):
    old, new = save(tmp_path, 5), save(tmp_path, 9)
    content, other = (new / name).read_bytes(), (old / name).read_bytes()
    (new / name).unlink()
    if harm == "a link to itself":
        (new / name).symlink_to(name)
    elif harm != "remove":
        bad = {"truncate": content[:-1], "empty": b"", "append": content + b"\0", "old": other}
        (new / name).write_bytes(bad[harm])
    found = newest_checkpoint(tmp_path)
    assert found is not None
    assert found.path == old
    assert names(tmp_path) == ["damaged-step-000000009", "step-000000005"]
    assert "WARNING" in (text := capsys.readouterr().err)
    assert "set aside as damaged-step-000000009, going on from step-000000005" in text
    save(tmp_path, 9)
    flip_bit(tmp_path / "step-000000009" / "state.json", 40)
    newest_checkpoint(tmp_path)
    assert "damaged-step-000000009.1" in names(tmp_path)


def test_when_all_are_damaged_nothing_starts_again(tmp_path):
    for step in (1, 2):
        flip_bit(save(tmp_path, step) / "model.safetensors", 700)
    for _ in range(2):
        with pytest.raises(CorruptionError, match=r"none is valid .*step-000000002.*altered.*remove the folder"):
            newest_checkpoint(tmp_path)
    assert names(tmp_path) == ["step-000000001", "step-000000002"]


def test_when_all_were_set_aside_nothing_starts_again(tmp_path):
    save(tmp_path, 3).rename(tmp_path / "damaged-step-000000003")
    with pytest.raises(CorruptionError, match="all were set aside as damaged before"):
        newest_checkpoint(tmp_path)


def test_reading_only_does_not_fall_back(tmp_path):
    """Predictions from an older checkpoint would pass for those of the newest."""
    save(tmp_path, 1)
    flip_bit(save(tmp_path, 2) / "model.safetensors", 700)
    with pytest.raises(CorruptionError, match=r"step-000000002.*altered.*train` again"):
        last_checkpoint(tmp_path)
    assert names(tmp_path) == ["step-000000001", "step-000000002"]


def training_meanwhile(monkeypatch, folder: Path, then=lambda: None) -> None:
    """Let a training save two more checkpoints, and so delete the one that is about to be read."""
    real = module._read_commit

    def read(path: Path) -> dict[str, Any]:
        monkeypatch.setattr(module, "_read_commit", real)
        for step in (3, 4):
            save(folder, step)
        then()
        return real(path)

    monkeypatch.setattr(module, "_read_commit", read)


def test_a_checkpoint_that_a_training_deletes_meanwhile_is_no_damage(tmp_path, monkeypatch):
    save(tmp_path, 2)
    training_meanwhile(monkeypatch, tmp_path)
    assert last_checkpoint(tmp_path).state["position"]["step"] == 4
    assert names(tmp_path) == ["step-000000003", "step-000000004"]


def test_damage_of_the_one_that_it_leaves_is_reported(tmp_path, monkeypatch):
    """Negative control: looking again is not looking away."""
    save(tmp_path, 2)
    training_meanwhile(monkeypatch, tmp_path, lambda: flip_bit(tmp_path / "step-000000004" / "state.json", 99))
    with pytest.raises(CorruptionError, match=r"step-000000004.*altered"):
        last_checkpoint(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, value):
    save(tmp_path, 1)
    with pytest.raises(NotFiniteError, match=r"after step 2 are not finite \(weight\)"):
        save(tmp_path, 2, value=value)
    average = {AVERAGE_PREFIX + "w": torch.tensor(value)}
    with pytest.raises(NotFiniteError, match=r"average\.w"):
        save_checkpoint(tmp_path, 2, model={}, optim=average, state={}, keep=2)
    assert names(tmp_path) == ["step-000000001"]


def test_weights_that_are_not_finite_are_refused_at_load(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "not_finite", lambda tensors: [])
    path = save(tmp_path, 1, value=float("nan"))
    monkeypatch.undo()
    with pytest.raises(CorruptionError, match="not finite: weight"):
        read_checkpoint(path)


def test_a_newer_version_is_refused_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "VERSION", 2)
    save(tmp_path, 1)
    monkeypatch.undo()
    with pytest.raises(IncompatibleError, match="format version 2; this program reads 1"):
        newest_checkpoint(tmp_path)
    assert names(tmp_path) == ["step-000000001"]


def test_other_bytes_on_disk_than_written_are_noticed_before_older_ones_go(tmp_path, monkeypatch):
    save(tmp_path, 1)
    save(tmp_path, 2)
    real = module.commit_folder

    def rotting(folder, write):
        real(folder, write)
        flip_bit(folder / "model.safetensors", 700)

    monkeypatch.setattr(module, "commit_folder", rotting)
    with pytest.raises(CorruptionError, match=r"step-000000003.*altered"):
        save(tmp_path, 3)
    assert len(steps(tmp_path)) == 3


def test_interrupted_deletions_are_finished_and_never_found(tmp_path):
    save(tmp_path, 1).rename(tmp_path / ".trash-step-000000001")
    assert newest_checkpoint(tmp_path) is None
    remove_trash(tmp_path)
    assert names(tmp_path) == []


def test_steps_are_ordered_by_number_not_by_time(tmp_path):
    import os

    for step in (2, 1, 3):
        save(tmp_path, step, keep=9)
    os.utime(tmp_path / "step-000000001", (2e9, 2e9))
    assert [path.name[-1] for path in steps(tmp_path)] == ["3", "2", "1"]
