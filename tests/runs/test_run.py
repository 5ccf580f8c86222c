"""The run folder: what may change between two calls, what a refused configuration leaves, and the logits files."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.helpers.logits import write_logits

from bandwise.config import RunConfig, TrainingConfig
from bandwise.errors import BandwiseError, CorruptionError, IncompatibleError, UsageError
from bandwise.files import atomic
from bandwise.files.documents import write_document
from bandwise.runs import run as runs
from bandwise.runs.logits import LogitsFile, read_logits
from bandwise.runs.run import FREE_TRAINING, begun_run, create_run, open_run

CONFIG = RunConfig(training=TrainingConfig(epochs=2))
OTHER: dict[str, Any] = {
    "threads": 2,
    "device": "cpu",
    "cache": "none",
    "checkpoint_steps": 7,
    "checkpoint_minutes": 2.5,
    "keep_checkpoints": 3,
    "loader_workers": 1,
}
META = {"branch": "0", "split": "val", "crops": "1", "store": "s", "classes": "c"}


def with_training(**changes: Any) -> RunConfig:
    return replace(CONFIG, training=replace(CONFIG.training, **changes))


def test_a_rival_that_begins_the_same_run_at_the_same_moment_is_no_stranger(tmp_path, monkeypatch):
    out = tmp_path / "run"
    out.mkdir()
    listing = Path.iterdir

    def after_the_rival(path: Path):
        monkeypatch.setattr(Path, "iterdir", listing)
        (create_run(out, CONFIG).branch_folder(0)).mkdir()
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", after_the_rival)
    assert create_run(out, CONFIG).config == CONFIG
    assert Path.iterdir is listing, "the folder was never listed"


def begun_by_a_rival(monkeypatch, out: Path, config: RunConfig) -> None:
    """Let another process begin a run in the folder after everything there was looked at, before ours is written."""
    real = atomic.require_writable

    def require_writable(path: Path) -> None:
        monkeypatch.setattr(atomic, "require_writable", real)
        real(path)
        create_run(out, config)

    monkeypatch.setattr(atomic, "require_writable", require_writable)


def test_of_two_new_runs_in_one_folder_the_first_stays(tmp_path, monkeypatch):
    begun_by_a_rival(monkeypatch, tmp_path, with_training(lr=0.1))
    with pytest.raises(IncompatibleError, match=r"training\.lr: 0\.1 -> 0\.05"):
        create_run(tmp_path, CONFIG)
    assert open_run(tmp_path).config == with_training(lr=0.1)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_a_rename_would_put_the_second_run_over_the_first(tmp_path, monkeypatch):
    """Negative control: what the interleaving finds where the document is written as any other."""
    begun_by_a_rival(monkeypatch, tmp_path, with_training(lr=0.1))
    monkeypatch.setattr(runs, "create_document", lambda path, content: write_document(path, content) or True)
    create_run(tmp_path, CONFIG)
    assert open_run(tmp_path).config == CONFIG


def test_of_many_at_once_one_makes_the_run(tmp_path, monkeypatch):
    everybody, real = threading.Barrier(6), atomic.require_writable

    def require_writable(path: Path) -> None:
        real(path)
        everybody.wait()

    monkeypatch.setattr(atomic, "require_writable", require_writable)
    configs = [with_training(epochs=epochs) for epochs in range(2, 8)]

    def made(config: RunConfig) -> RunConfig | None:
        with suppress(IncompatibleError):
            return create_run(tmp_path, config).config
        return None

    with ThreadPoolExecutor(len(configs)) as pool:
        found = [config for config in pool.map(made, configs) if config is not None]
    assert found == [open_run(tmp_path).config]


@pytest.mark.parametrize("name", FREE_TRAINING)
def test_a_free_field_may_change_and_is_said(tmp_path, capsys, name):
    create_run(tmp_path / "run", CONFIG)
    before = (tmp_path / "run" / "run.json").read_bytes()
    run = create_run(tmp_path / "run", with_training(**{name: OTHER[name]}))
    assert getattr(run.config.training, name) == OTHER[name]
    assert f"training.{name}: " in capsys.readouterr().err
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_another_field_may_not(tmp_path):
    create_run(tmp_path / "run", CONFIG)
    with pytest.raises(IncompatibleError, match=r"training\.lr: 0\.05 -> 0\.1") as caught:
        create_run(tmp_path / "run", with_training(lr=0.1, threads=2))
    assert "threads" not in str(caught.value)


def refuse(path: Path, error: BandwiseError, trained: bool = False) -> None:
    """Begin a run, which is refused, or fails, before or after something is trained in it."""
    with pytest.raises(BandwiseError, match="no"), begun_run(path, CONFIG) as run:  # noqa: PT012
        run.branch_folder(0).mkdir(exist_ok=True)
        if trained:
            (run.branch_folder(0) / "step").touch()
        raise error


@pytest.mark.parametrize(
    ("error", "gone"), [(UsageError("no"), True), (IncompatibleError("no"), False), (CorruptionError("no"), False)]
)
def test_a_refused_configuration_leaves_no_run(tmp_path, error, gone):
    refuse(tmp_path / "run", error)
    assert (tmp_path / "run").exists() != gone


def test_a_run_that_was_there_or_that_holds_a_training_is_kept(tmp_path):
    path = tmp_path / "run"
    refuse(path, UsageError("no"), trained=True)
    (path / "branch-00" / "step").unlink()
    refuse(path, UsageError("no"))
    assert open_run(path).config == CONFIG


def test_the_run_of_another_process_is_kept(tmp_path, monkeypatch):
    begun_by_a_rival(monkeypatch, tmp_path / "run", CONFIG)
    refuse(tmp_path / "run", UsageError("no"))
    assert open_run(tmp_path / "run").config == CONFIG


def logits() -> LogitsFile:
    draw = np.random.default_rng(0)
    return LogitsFile(np.arange(4), np.array([0, 1, 2, 0]), draw.normal(size=(4, 3)).astype(np.float32), META)


def test_a_flipped_bit_in_any_byte_of_a_logits_file_is_found(tmp_path):
    path = tmp_path / "branch-00.safetensors"
    write_logits(path, logits())
    good = path.read_bytes()
    assert len(good) < 1000
    for position in range(len(good)):
        changed = bytearray(good)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        with pytest.raises(CorruptionError, match=r"branch-00\.safetensors"):
            read_logits(path)
