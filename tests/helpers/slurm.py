"""A SLURM cluster of two nodes on the loopback interface of this machine, of the real daemons."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from tests.helpers.waiting import wait_for

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue", "scancel")
# SLURM would listen on all addresses. A node has one core, so that a task has it to itself.
CONFIGURATION = """\
ClusterName=bandwise
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={ports[0]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
JobCompType=jobcomp/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=120
SlurmdTimeout=600
MessageTimeout=60
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0
NodeName=node[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[1]}-{ports[2]}] CPUs=1 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 State=UP
PartitionName=high Nodes=ALL PriorityTier=9 State=UP
"""


def why_not() -> str | None:
    """Return why there can be no cluster here; None where there can."""
    if missing := [program for program in PROGRAMS if shutil.which(program, path=_path()) is None]:
        return f"no {', '.join(missing)} here: apt-get install slurmctld slurmd slurm-client munge"
    return None if os.geteuid() == 0 else "the daemons of SLURM need root"


def _path() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def _free_ports() -> list[int]:
    """Return three ports in a row on which nobody listens."""
    for first in range(20000 + os.getpid() % 10000, 60000, 7):
        taken = []
        for port in range(first, first + 3):
            with socket.socket() as probe:
                taken.append(probe.connect_ex(("127.0.0.1", port)) == 0)
        if not any(taken):
            return [first, first + 1, first + 2]
    raise AssertionError("no free ports")


class Cluster:
    """Daemons in a folder of their own; `environment` lets a command talk to them."""

    def __init__(self, folder: Path) -> None:
        # munged refuses a socket below a folder that others may write to.
        folder.mkdir(mode=0o755)
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": _path()}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start the daemons, and wait until both nodes are idle."""
        folder, host = self.folder, socket.gethostname().partition(".")[0]
        (folder / "state").mkdir()
        (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, host=host, ports=_free_ports()))
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o600)
        names = ("socket", "key-file", "pid-file", "log-file", "seed-file")
        files = [f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in names]
        self._run("munged", "--foreground", "--force", *files)
        assert wait_for((folder / "munge.socket").exists), self.logs()
        self._run("slurmctld", "-D", "-i")
        for node in ("node1", "node2"):
            (folder / node).mkdir()
            self._run("slurmd", "-D", "-N", node)
        assert wait_for(lambda: self.call("sinfo", "-h", "-N", "-o", "%T", check=False).split() == ["idle"] * 4), (
            self.logs()
        )

    def _run(self, *command: str) -> None:
        with open(self.folder / "daemons.log", "ab") as log:
            self._daemons.append(
                subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )

    def call(self, *command: str, check: bool = True) -> str:
        """Return what a client prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, (command, done.stdout, done.stderr, self.logs())
        return done.stdout

    def jobs(self, job: str) -> list[dict[str, str]]:
        """Return what SLURM says of a job, or of the tasks of an array."""
        lines = self.call("scontrol", "--oneliner", "show", "job", job).splitlines()
        return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]

    def state(self, job: str) -> set[str]:
        """Return the states of the tasks of a job."""
        return {each["JobState"] for each in self.jobs(job)}

    def wait(self, job: str, *states: str, seconds: float = 800) -> None:
        """Wait until all tasks of a job are in one of these states; those that were put back wait some seconds only.

        Not none: slurmd refuses a job that it has just killed ("already killed, do not launch batch job").
        """
        deadline, hurried = time.monotonic() + seconds, set()
        while time.monotonic() < deadline:
            found = self.jobs(job)
            if {each["JobState"] for each in found} <= set(states):
                return
            for each in found:
                put_back = each["JobId"], each.get("Restarts", "0")
                if each["JobState"] == "PENDING" and put_back[1] != "0" and put_back not in hurried:
                    self.call("scontrol", "update", f"JobId={each['JobId']}", "StartTime=now+5", check=False)
                    hurried.add(put_back)
            time.sleep(0.3)
        raise AssertionError((states, self.jobs(job), self.logs()))

    def logs(self) -> str:
        """Return the ends of the logs, for the message of a failure."""
        return "\n".join(f"{path.name}:\n{path.read_text()[-1500:]}" for path in sorted(self.folder.glob("*.log")))

    def stop(self) -> None:
        """Cancel every job, stop the daemons by their numbers, and leave no process of a job."""
        self.call("scancel", "--user=root", "--signal=KILL", "--full", check=False)
        self.call("scancel", "--user=root", check=False)
        wait_for(lambda: not self.call("squeue", "-h", check=False).strip(), seconds=30)
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(timeout=30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
