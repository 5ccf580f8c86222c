"""F1, F7, F9, F11: what is killed or stopped at random times ends with the same bytes, and never shows half a file."""

import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from tests.faults import material
from tests.faults.processes import Server
from tests.faults.scale import share
from tests.faults.targets import Target
from tests.helpers.trees import temporaries

from bandwise.store.verify import verify_store

pytestmark = pytest.mark.timeout(1800)
KILLS = {"split": share(200, 12), "training": share(200, 8), "training by time": share(200, 8)}


@pytest.fixture(scope="module")
def lengths(server, targets, tmp_path_factory) -> dict[str, float]:
    """How many seconds the work takes here and now; only the times of the kills follow from it."""
    found = {}
    for name in KILLS:
        started = time.monotonic()
        arguments = targets[name].prepare(tmp_path_factory.mktemp("timed") / "out")
        assert server.run(targets[name].job, **arguments).code == 0
        found[name] = time.monotonic() - started
    return found


def kill_until_done(server: Server, target: Target, out: Path, rng: random.Random, longest_s: float, **broken) -> int:
    """Start, kill its process group, and again until one start gets through; return the number of kills."""
    arguments = {**target.prepare(out), **broken}
    for killed in range(100):
        child = server.start(target.job, **arguments)
        # Later and later, so that some start gets through however busy the machine is.
        time.sleep(rng.uniform(0.0, longest_s * (0.7 + killed / 10)))
        child.signal(signal.SIGKILL)
        ended = child.wait()
        assert ended.code in (0, -signal.SIGKILL), ended.log
        target.intact(out)
        if ended.code == 0:
            target.finished(out)
            return killed
    raise AssertionError("a hundred kills and never done")


@pytest.mark.parametrize("part", range(share(4, 1)))
@pytest.mark.parametrize("name", KILLS)
def test_killed_at_random_times_it_ends_with_the_same_bytes(server, targets, lengths, tmp_path, name, part):
    rng, killed = random.Random(part), 0
    while killed < KILLS[name] / share(4, 1):
        killed += kill_until_done(server, targets[name], tmp_path / str(killed), rng, lengths[name])


@pytest.mark.parametrize(
    ("name", "broken"),
    [("split", "no_temporary_name"), ("split", "process_in_record"), ("training", "no_position")],
)
def test_the_kills_notice_a_broken_line(server, targets, lengths, tmp_path, name, broken):
    with pytest.raises(AssertionError):  # noqa: PT012
        for seed in range(40):
            rng = random.Random(seed)
            kill_until_done(server, targets[name], tmp_path / str(seed), rng, lengths[name], broken=broken)


def test_with_workers_and_a_rival_for_the_folder(server, whole, tmp_path):
    """Two starts at a time, one with workers of its own; whoever holds the lock is killed, the other takes over."""
    reference, rng, out = material.tree(whole), random.Random(9), tmp_path / "store"
    for _ in range(share(12, 2)):
        children = [server.start("split", out=out, workers=workers) for workers in (1, 2)]
        time.sleep(rng.uniform(0.02, 1.5))
        for child in children:
            child.signal(signal.SIGKILL)
        codes = [child.wait().code for child in children]
        assert set(codes) <= {0, 5, -signal.SIGKILL}
        assert material.final_names(material.tree(out)).items() <= reference.items()
        if 0 in codes:
            shutil.rmtree(out)
    assert server.run("split", out=out, workers=2).code == 0
    assert material.tree(out) == reference
    assert not temporaries(out)
    verify_store(out)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_gives_75_and_the_exact_continuation(server, targets, tmp_path, number):
    """F9: at random times once the first step is done; an earlier signal finds no handler and nothing to save."""
    rng, stopped, target = random.Random(number), 0, targets["training"]
    while stopped < share(17, 2):
        folder = tmp_path / str(stopped)
        folder.mkdir()
        steps_file, out = folder / "steps", folder / "branch"
        while True:
            before = steps_file.stat().st_size if steps_file.exists() else 0
            child = server.start("train", **target.prepare(out), announce=steps_file, pause_s=0.005)
            while child.running() and (not steps_file.exists() or steps_file.stat().st_size == before):
                time.sleep(0.001)
            time.sleep(rng.uniform(0, 0.05))
            child.signal(number)
            ended = child.wait(10)
            if (out / "summary.json").exists():
                # It was done; after that nothing listens to signals, and there is nothing to save.
                assert ended.code in (0, 75, -number), ended.log
                break
            assert ended.code == 75, ended.log
            assert "all is saved" in ended.log
            stopped += 1
        # A signal that comes while the lock is given back leaves its file, which the next one takes over.
        if ended.code:
            (out / ".lock").unlink(missing_ok=True)
        target.finished(out)
        assert steps_file.stat().st_size == 12
