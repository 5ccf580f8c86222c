"""F1, F11: a split that is killed at random times ends with the same bytes, and never shows half a file."""

import random
import shutil
import signal
import time
from pathlib import Path

import pytest
from tests.faults import material
from tests.faults.forkserver import ForkServer
from tests.faults.scale import share
from tests.helpers.trees import temporaries

from bandwise.store.verify import verify_store

KILLS = share(200, 24)


@pytest.fixture(scope="module")
def undisturbed_s(server, tmp_path_factory) -> float:
    """How long a split takes here and now; only the times of the kills follow from it."""
    started = time.monotonic()
    assert server.run("split", out=tmp_path_factory.mktemp("timed") / "store").code == 0
    return time.monotonic() - started


def kill_until_done(
    server: ForkServer,
    out: Path,
    reference: dict[str, str],
    rng: random.Random,
    longest_s: float,
    *,
    broken: str | None = None,
) -> int:
    """Start a split, kill its process group, and again until one gets through; return the number of kills."""
    for killed in range(100):
        child = server.start("split", out=out, broken=broken)
        # Later and later, so that some start gets through however busy the machine is.
        time.sleep(rng.uniform(0.0, longest_s * (0.7 + killed / 10)))
        child.signal(signal.SIGKILL)
        ended = child.wait()
        assert ended.code in (0, -signal.SIGKILL), ended.log
        there = material.final_names(material.tree(out))
        assert there.items() <= reference.items(), sorted(n for n in there if there[n] != reference.get(n))
        if ended.code == 0:
            return killed
    raise AssertionError("a hundred kills and never done")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(4))
def test_a_killed_split_ends_with_the_same_bytes(server, whole, undisturbed_s, tmp_path, figure, part):
    reference, rng = material.tree(whole), random.Random(part)
    killed = 0
    while killed < KILLS / 4:
        out = tmp_path / "store"
        killed += kill_until_done(server, out, reference, rng, undisturbed_s)
        assert material.tree(out) == reference
        shutil.rmtree(out)
    figure("kills survived in split", killed, killed, "tree hash identical")


def test_with_workers_and_a_rival_for_the_folder(server, whole, tmp_path, figure):
    """Two starts at a time, one with workers of its own; whoever holds the lock is killed, the other takes over."""
    reference, rng = material.tree(whole), random.Random(9)
    killed, out = 0, tmp_path / "store"
    for _ in range(share(12, 3)):
        children = [server.start("split", out=out, workers=workers) for workers in (1, 2)]
        time.sleep(rng.uniform(0.02, 1.5))
        for child in children:
            child.signal(signal.SIGKILL)
        codes = [child.wait().code for child in children]
        assert set(codes) <= {0, 5, -signal.SIGKILL}
        killed += codes.count(-signal.SIGKILL)
        there = material.final_names(material.tree(out))
        assert there.items() <= reference.items()
        if 0 in codes:
            shutil.rmtree(out)
    assert server.run("split", out=out, workers=2).code == 0
    assert material.tree(out) == reference
    assert not temporaries(out)
    verify_store(out)
    figure("kills survived in split", killed, killed, "tree hash identical")


@pytest.mark.parametrize("broken", ["no_temporary_name", "process_in_record"])
def test_the_kills_notice_a_broken_line(server, whole, undisturbed_s, tmp_path, control, broken):
    reference = material.tree(whole)
    with pytest.raises(AssertionError):  # noqa: PT012
        for seed in range(40):
            out = tmp_path / str(seed)
            kill_until_done(server, out, reference, random.Random(seed), undisturbed_s, broken=broken)
            assert material.tree(out) == reference
    control()
