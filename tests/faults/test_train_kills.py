"""F7 to F9: a training that is killed or stopped at any time ends with the same bits.

Compared are weights, optimiser state, random numbers, metrics and learning rates.
"""

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.faults.forkserver import ForkServer
from tests.faults.scale import share
from tests.training import tiny

from bandwise.checkpoints.folder import read_checkpoint, steps

pytestmark = pytest.mark.timeout(1800)
KILLS = share(200, 16)


@pytest.fixture(scope="module")
def undisturbed(server, train_store, tmp_path_factory) -> dict[str, Any]:
    """What a training that nobody disturbs ends with, its learning rates, and the time it takes here."""
    folder = tmp_path_factory.mktemp("undisturbed")
    started = time.monotonic()
    assert server.run("train", store=train_store, out=folder / "branch", rates=folder / "rates").code == 0
    elapsed = time.monotonic() - started
    return {"outcome": tiny.outcome(folder / "branch"), "rates": rates(folder / "rates"), "seconds": elapsed}


def rates(folder: Path) -> dict[str, str]:
    """Return the learning rate of every step, written by the child that trained it."""
    return {path.name: path.read_text() for path in folder.iterdir() if path.name.isdigit()}


def kill_until_done(
    server: ForkServer, store: Path, folder: Path, undisturbed: dict[str, Any], rng: random.Random, broken: str | None
) -> int:
    """Train, kill, and again until one start gets through; return the number of kills."""
    for killed in range(100):
        child = server.start("train", store=store, out=folder / "branch", rates=folder / "rates", broken=broken)
        time.sleep(rng.uniform(0.0, undisturbed["seconds"] * (0.7 + killed / 10)))
        child.signal(signal.SIGKILL)
        ended = child.wait()
        assert ended.code in (0, -signal.SIGKILL), ended.log
        for path in steps(folder / "branch"):
            read_checkpoint(path)
        if ended.code == 0:
            assert tiny.outcome(folder / "branch") == undisturbed["outcome"]
            # A kill between the checkpoint and the note of the test leaves that one rate unseen.
            assert rates(folder / "rates").items() <= undisturbed["rates"].items()
            return killed
    raise AssertionError("a hundred kills and never done")


@pytest.mark.parametrize("part", range(4))
def test_a_killed_training_ends_with_the_same_bits(server, train_store, undisturbed, tmp_path, figure, part):
    rng, killed = random.Random(part), 0
    while killed < KILLS / 4:
        killed += kill_until_done(server, train_store, tmp_path / str(killed), undisturbed, rng, None)
    assert len(undisturbed["rates"]) == 12
    figure("kills survived in training", killed, killed, "weights, optimiser, metrics, learning rates bit-identical")


@pytest.mark.parametrize("broken", ["no_random_state", "no_schedule", "no_optimizer", "no_average", "no_position"])
def test_the_kills_notice_a_broken_line(server, train_store, undisturbed, tmp_path, control, broken):
    with pytest.raises(AssertionError):  # noqa: PT012
        for seed in range(20):
            rng = random.Random(seed)
            kill_until_done(server, train_store, tmp_path / str(seed), undisturbed, rng, broken)
    control()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_gives_75_and_the_exact_continuation(server, train_store, undisturbed, tmp_path, figure, number):
    """F9: at random times once the first step is done; an earlier signal finds no handler and nothing to save."""
    rng, stopped = random.Random(number), 0
    while stopped < share(17, 2):
        folder = tmp_path / str(stopped)
        folder.mkdir()
        while True:
            steps_file = folder / "steps"
            before = steps_file.stat().st_size if steps_file.exists() else 0
            child = server.start("train", store=train_store, out=folder / "branch", announce=steps_file, pause_s=0.005)
            while child.running() and (not steps_file.exists() or steps_file.stat().st_size == before):
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.05))
            child.signal(number)
            ended = child.wait(10)
            if (folder / "branch" / "summary.json").exists():
                # It was done; after that nothing listens to signals, and there is nothing to save.
                assert ended.code in (0, 75, -number), ended.log
                break
            assert ended.code == 75, ended.log
            assert "all is saved" in ended.log
            stopped += 1
        assert tiny.outcome(folder / "branch") == undisturbed["outcome"]
        assert steps_file.stat().st_size == 12
        # A signal that comes while the lock is given back leaves its file, which the next one takes over.
        assert ended.code != 0 or not (folder / "branch" / ".lock").exists()
    figure("signals answered by exit 75, no step lost", stopped, stopped, "SIGTERM, SIGINT, SIGUSR1")


def test_resumed_at_every_step_the_order_of_the_data_is_the_same(server, train_store, undisturbed, tmp_path, figure):
    """F8: stopped after each step of two epochs, one after the other."""
    passed = 0
    for step in range(1, 13):
        out = tmp_path / str(step)
        for wanted in (step,) if step % 3 else tuple(range(1, step + 1)):
            code = server.run("train_to", store=train_store, out=out, step=wanted).code
            assert code in (75, 0)
        assert server.run("train", store=train_store, out=out).code == 0
        assert tiny.outcome(out) == undisturbed["outcome"]
        passed += 1
    figure("steps at which a training was stopped and resumed", passed, 12, "same order of ids, same bits")
