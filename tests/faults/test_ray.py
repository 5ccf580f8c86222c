"""Branches on a Ray cluster that loses nodes, workers and its launcher end with the bits of a run that lost nothing."""

import importlib.util
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from tests.faults.scale import share
from tests.helpers.holding import Holding
from tests.helpers.waiting import wait_for
from tests.pictures import make_folder

from bandwise.checkpoints.folder import weights_digest
from bandwise.config import NetworkConfig, RunConfig, SplitConfig, TrainingConfig
from bandwise.launch.pipeline import train_branches
from bandwise.runs.run import Run, create_run, open_run
from bandwise.sources.folder import open_folder
from bandwise.store.writing.split import split_dataset

# Ray looks at its settings when it is imported, so that comes after they are made.
HAS_RAY = importlib.util.find_spec("ray") is not None
pytestmark = [
    pytest.mark.timeout(6000),
    pytest.mark.skipif(not HAS_RAY, reason="no Ray here: pip install 'bandwise[ray]'"),
    pytest.mark.skipif(
        "BANDWISE_FAULTS" not in os.environ,
        reason="takes parts of a real cluster away for minutes: make faults-ray, or BANDWISE_FAULTS=small for a few",
    ),
]

FAULTS = ["node"] * share(10, 1) + ["worker"] * share(20, 2) + ["launcher"] * share(5, 1) + ["stop"] * share(2, 1)
NODES = 3
CONFIG = RunConfig(
    split=SplitConfig(stride=2, canvas=24, holdout=0.25),
    network=NetworkConfig(model="resnet8-slim"),
    # Every fault costs a branch a step at least, and the last of them must still find one.
    training=TrainingConfig(crop=24, epochs=12, batch_size=8, checkpoint_steps=1000),
)
# Ray has its own ways to say where it is; a cluster of this machine listens on the loopback interface only.
SETTINGS = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token"}


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Run:
    """Four branches, trained in turn."""
    root = tmp_path_factory.mktemp("ray")
    split_dataset(
        open_folder(make_folder(root / "pictures", classes=3, train=12, val=3, side=24)), CONFIG.split, root / "store"
    )
    run = create_run(root / "plain", CONFIG, root / "store")
    train_branches(run)
    return run


@pytest.fixture
def holding(tmp_path) -> Holding:
    return Holding(tmp_path / "holding")


@pytest.fixture
def interrupts_ignored():
    """As for all that a shell has put into the background; Ray cancels tasks by interrupts."""
    ours = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, ours)


@pytest.fixture
def cluster(holding, monkeypatch, interrupts_ignored):
    """A head without processors, and nodes with one each, which give their environment to what runs on them."""
    for name, value in {**SETTINGS, "RAY_AUTH_TOKEN": secrets.token_hex(32), "PYTHONPATH": holding.path}.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    ours = signal.getsignal(signal.SIGTERM)
    memory = {"object_store_memory": 80 * 1024 * 1024}
    running = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory})
    try:
        for _ in range(NODES):
            running.add_node(num_cpus=1, **memory)
        yield running
    finally:
        running.shutdown()
        # Ray has one of its own while it has nodes here.
        signal.signal(signal.SIGTERM, ours)


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def descendants(process: int) -> set[int]:
    """Return a process and all that it has started, and those that these have started."""
    found, parents = {process}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = parent(int(folder.name))
    while more := {child for child, above in parents.items() if above in found} - found:
        found |= more
    return found


def listening(processes: set[int]) -> set[str]:
    """Return the addresses, as the kernel writes them, on which some processes wait for connections."""
    sockets, found = set(), set()
    for process in processes:
        for link in Path(f"/proc/{process}/fd").glob("*"):
            with suppress(OSError):
                sockets.add(os.fspath(link.readlink()))
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in sockets:
                found.add(words[1].partition(":")[0])
    return found


def is_there(process: int) -> bool:
    with suppress(OSError):
        return bool(Path(f"/proc/{process}/cmdline").read_bytes())
    return False


class Trial:
    """A launcher, and what is done to it."""

    def __init__(self, run: Run, cluster, holding: Holding) -> None:
        self.run, self.cluster, self.holding = run, cluster, holding
        self.log = holding.folder / "driver.log"
        self.start_driver()

    def start_driver(self) -> None:
        command = [sys.executable, "-m", "bandwise", "launch", str(self.run.path), "--on", "ray"]
        with open(self.log, "ab") as log:
            self.driver = subprocess.Popen(
                [*command, "--address", self.cluster.address],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def victims(self) -> list[int]:
        """Return the trainings that wait after a step."""
        return [process for process in self.holding.training() if is_there(process)]

    def victim(self) -> int:
        assert wait_for(lambda: self.victims() or self.driver.poll() is not None, 800), self.log.read_text()[-3000:]
        assert self.driver.poll() is None, self.log.read_text()[-3000:]
        return random.Random(len(self.holding.training())).choice(sorted(self.victims()))

    def node(self) -> None:
        raylet = parent(parent(self.victim()))
        found = [
            node
            for node in self.cluster.worker_nodes
            if any(each.process.pid == raylet for each in node.all_processes["raylet"])
        ]
        victims = [process for process in self.victims() if parent(parent(process)) == raylet]
        self.cluster.remove_node(found[0], allow_graceful=False)
        assert wait_for(lambda: not any(map(is_there, victims)), 300)
        self.cluster.add_node(num_cpus=1, object_store_memory=80 * 1024 * 1024)

    def worker(self) -> None:
        victim = self.victim()
        os.kill(parent(victim), 9)
        assert wait_for(lambda: not is_there(victim), 300)

    def launcher(self) -> None:
        victims = [self.victim(), *self.victims()]
        self.driver.kill()
        self.driver.wait()
        assert wait_for(lambda: not any(map(is_there, victims)), 300)
        self.start_driver()

    def stop(self) -> None:
        """Ask the launcher to stop: every branch is saved when it has."""
        victims = [self.victim(), *self.victims()]
        self.driver.terminate()
        assert self.driver.wait(timeout=600) == 75, self.log.read_text()[-3000:]
        assert not any(map(is_there, victims))
        self.start_driver()


def test_whatever_is_lost_the_bits_are_the_same(plain, holding, cluster, tmp_path):
    run = create_run(tmp_path / "run", plain.config, plain.store_path)
    holding.hold("step")
    trial = Trial(run, cluster, holding)
    faults, begun = random.Random(0).sample(FAULTS, len(FAULTS)), time.monotonic()
    try:
        for fault in faults:
            getattr(trial, fault)()
        assert not list(run.path.glob("branch-*/summary.json"))
        print(f"{Counter(faults)} in {time.monotonic() - begun:.0f} s")
        holding.let_go()
        assert trial.driver.wait(timeout=1500) == 0, trial.log.read_text()[-3000:]
    finally:
        holding.let_go()
        trial.driver.kill()
        trial.driver.wait()
    for branch in range(4):
        assert weights_digest(run.branch_folder(branch)) == weights_digest(plain.branch_folder(branch))
        ours, theirs = (each.branch_folder(branch) / "metrics.jsonl" for each in (run, plain))
        assert ours.read_bytes() == theirs.read_bytes()
    said = trial.log.read_text()
    assert "it is started again" in said
    assert (run.path / "report.html").exists()


def test_a_cluster_for_one_call_is_of_this_machine_alone(plain, holding, tmp_path, interrupts_ignored):
    shutil.copytree(plain.path, tmp_path / "run", ignore=shutil.ignore_patterns("branch-03*"))
    run = open_run(tmp_path / "run")
    command = [sys.executable, "-m", "bandwise", "launch", str(run.path), "--on", "ray", "--slots", "1"]
    environment = {**os.environ, "PYTHONPATH": holding.path, "HOME": str(tmp_path)}
    holding.hold("step")
    launcher = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        holding.wait("step")
        addresses = listening(descendants(launcher.pid))
        launcher.terminate()
        _, said = launcher.communicate(timeout=600)
    finally:
        launcher.kill()
        holding.let_go()
    loopback = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}
    assert addresses
    assert addresses <= loopback
    assert launcher.returncode == 75, said
    assert "every branch is saved" in said
    assert list(run.branch_folder(3).glob("step-*"))
    subprocess.run(command, env=environment, check=True)
    assert weights_digest(run.branch_folder(3)) == weights_digest(plain.branch_folder(3))
