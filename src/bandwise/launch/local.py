"""Train the branches of a run on this machine: in turn in this process, or several at once in processes of their own.

A branch never talks to another one; this file only decides when each starts.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bandwise.errors import BandwiseError, Preempted
from bandwise.progress import say
from bandwise.runs import Run
from bandwise.signals import stop_requested
from bandwise.store.format import open_store
from bandwise.training.infer import write_branch_logits
from bandwise.training.trainer import train_branch

_POLL_S = 0.2
_LOGIT_SPLITS = ("holdout", "val")


class BranchesFailed(BandwiseError):
    """Some branches could not be trained; the others are finished and kept."""

    def __init__(self, failures: dict[int, str], exit_code: int, total: int) -> None:
        lines = "\n  ".join(f"branch {branch}: {reason}" for branch, reason in sorted(failures.items()))
        super().__init__(f"{len(failures)} of {total} branches failed, the others are finished:\n  {lines}")
        self.exit_code = exit_code


def train_one(run: Run, branch: int) -> None:
    """Train one branch (or resume it) and write its logits on the holdout and the reported set.

    Raises:
        BandwiseError: as `training.trainer.train_branch`.
    """
    folder = run.branch_folder(branch)
    train_branch(run.config, run.store_path, folder, branch)
    store = open_store(run.store_path)
    for split in _LOGIT_SPLITS:
        out = run.logits_path(split, branch)
        if store.rows(split):
            write_branch_logits(run.config, run.store_path, folder, branch, out, split=split)


def train_branches(run: Run, branches: Sequence[int] | None = None, *, jobs: int = 1) -> None:
    """Train several branches; one that fails does not stop the others.

    Args:
        run: the run folder.
        branches: which ones; all when None.
        jobs: how many at once; each is then a process of its own.

    Raises:
        BranchesFailed: some failed, after the others were finished.
        Preempted: a signal came; every branch has saved its state.
    """
    wanted = tuple(range(len(run.groups))) if branches is None else tuple(branches)
    failures = _in_turn(run, wanted) if jobs == 1 or len(wanted) == 1 else _in_processes(run, wanted, jobs)
    if failures:
        first = failures[min(failures)]
        raise BranchesFailed({branch: text for branch, (text, _) in failures.items()}, first[1], len(wanted))


def _in_turn(run: Run, branches: Sequence[int]) -> dict[int, tuple[str, int]]:
    failures: dict[int, tuple[str, int]] = {}
    for branch in branches:
        try:
            train_one(run, branch)
        except Preempted:
            raise
        except BandwiseError as error:
            say(f"branch {branch} failed: {error}")
            failures[branch] = (str(error), error.exit_code)
    return failures


def _in_processes(run: Run, branches: Sequence[int], jobs: int) -> dict[int, tuple[str, int]]:
    waiting = list(branches)
    running: dict[int, subprocess.Popen[bytes]] = {}
    failures: dict[int, tuple[str, int]] = {}
    stopping = False
    with stop_requested() as received:
        while waiting or running:
            while waiting and len(running) < jobs and not stopping:
                branch = waiting.pop(0)
                running[branch] = _start(run.path, branch)
            time.sleep(_POLL_S)
            if received() is not None and not stopping:
                stopping = True
                waiting.clear()
                for process in running.values():
                    process.send_signal(signal.SIGTERM)
            for branch, process in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[branch]
                if code != 0 and not (stopping and code == Preempted.exit_code):
                    reason = f"killed by signal {-code}" if code < 0 else f"exit code {code}, see its messages above"
                    failures[branch] = (reason, code if code > 0 else 1)
    if stopping and not failures:
        raise Preempted(f"{run.path}: stopped by a signal; every branch is saved, the same command continues")
    return failures


def _start(run: Path, branch: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bandwise", "train", "--out", os.fspath(run), "--branch", str(branch)]
    # A session of its own: Ctrl-C reaches the launcher only, which then stops the branches in order.
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
