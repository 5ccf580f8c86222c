"""Branches as one job array of a SLURM cluster, and a job after it that fuses and evaluates.

SLURM keeps the queue: it starts the tasks, and a task that is stopped puts itself back. So the scripts are all that
there is, and whoever needs other ones prints them and changes them.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass

from bandwise.errors import BandwiseError, LockedError, UsageError
from bandwise.launch.queue import LOCKED_PAUSE_S, LOCKED_S, MOST_KILLS, STOPPED_CODES, train_command
from bandwise.runs.documents import SUMMARY_NAME
from bandwise.runs.run import Run, open_run

LOGS = "slurm"
"""Folder of the run with the messages of the jobs."""

# Saving takes seconds; SLURM looks at the limits twice a minute.
_BEFORE_LIMIT_S = 120

_HEAD = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --output={logs}
#SBATCH --open-mode=append
#SBATCH --cpus-per-task={threads}
#SBATCH --requeue
"""
# A branch that was stopped goes back into the queue, unless SLURM itself has put it there or somebody has cancelled it:
# then its state is no longer RUNNING.
_ARRAY = """\
#SBATCH --array={array}
#SBATCH --signal=B:TERM@{before_limit}
{options}trap 'kill -TERM $branch' TERM USR1
while
  {command} &
  branch=$!
  until wait $branch; code=$?; ! kill -0 $branch 2> /dev/null; do :; done
  [ $code = {locked} ] && [ $SECONDS -lt {locked_s} ]
do sleep {pause_s}; done
case $code in {stopped}) again=1 ;; 1[3-9]?|129) [ ${{SLURM_RESTART_COUNT:-0}} -lt {last_kill} ] && again=1 ;; esac
task=${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID
[ $again ] && [ "$(squeue --noheader --job=$task --format=%T)" = RUNNING ] && scontrol requeue $task
exit $code
"""
_FUSE = """\
{options}set -e
{commands}
"""


@dataclass(frozen=True, slots=True)
class Submission:
    """One script for sbatch."""

    name: str
    """What it does: source, branches or fuse."""
    script: str
    after: tuple[str, str] | None
    """How it depends on which other one."""


def submissions(run: Run, options: str = "", *, slots: int | None = None) -> list[Submission]:
    """Return the scripts for what is not finished: the branch that others start from, the branches, and the fusion.

    Args:
        run: the run, whose folder every node sees at the same path.
        options: of sbatch, for all of the jobs.
        slots: branches at once; as many as there is room for when None.
    """
    if not options.isprintable():
        raise UsageError("--sbatch must be one line of options of sbatch")
    missing = [branch for branch in range(len(run.groups)) if not (run.branch_folder(branch) / SUMMARY_NAME).exists()]
    source = run.config.initial_branch
    first = [branch for branch in missing if branch == source]
    rest = [branch for branch in missing if branch != source]
    found = []
    if first:
        found.append(Submission("source", _array(run, first, options, slots), None))
    if rest:
        found.append(
            Submission("branches", _array(run, rest, options, slots), ("afterok", "source") if first else None)
        )
    # Also when a branch is missing: fuse then says which.
    return [*found, Submission("fuse", _fuse(run, options), ("afterany", found[-1].name) if found else None)]


def submit(run: Run, wanted: list[Submission]) -> dict[str, str]:
    """Submit the scripts, and return the numbers of their jobs."""
    (run.path / LOGS).mkdir(exist_ok=True)
    jobs: dict[str, str] = {}
    for each in wanted:
        command = ["sbatch", "--parsable"]
        if each.after is not None:
            how, other = each.after
            command += [f"--dependency={how}:{jobs[other]}", "--kill-on-invalid-dep=yes"]
        try:
            done = subprocess.run(command, input=each.script, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise UsageError(
                "there is no sbatch here; start this on a machine from which jobs are submitted"
            ) from error
        if done.returncode:
            raise BandwiseError(f"sbatch refused the job {each.name!r}: {done.stderr.strip()}")
        jobs[each.name] = done.stdout.strip().partition(";")[0]
    return jobs


def _array(run: Run, branches: list[int], options: str, slots: int | None) -> str:
    body = _ARRAY.format(
        array=",".join(map(str, branches)) + (f"%{slots}" if slots else ""),
        before_limit=_BEFORE_LIMIT_S,
        options=_directive(options),
        command=shlex.join(train_command(run, "auto")),
        locked=LockedError.exit_code,
        locked_s=round(LOCKED_S),
        pause_s=round(LOCKED_PAUSE_S),
        stopped="|".join(map(str, STOPPED_CODES)),
        last_kill=MOST_KILLS - 1,
    )
    return _head(run, "branches", "branch-%a.log") + body


def _fuse(run: Run, options: str) -> str:
    moved = run.store_path != open_run(run.path).store_path
    store = ["--store", os.fspath(run.store_path)] if moved else []
    scored = [] if run.config.data.reported == "none" else [["evaluate", *store]]
    commands = [
        shlex.join([sys.executable, "-m", "bandwise", verb, os.fspath(run.path), *rest])
        for verb, *rest in [["fuse", *store], *scored, ["report"]]
    ]
    return _head(run, "fuse", "fuse.log") + _FUSE.format(options=_directive(options), commands="\n".join(commands))


def _head(run: Run, what: str, log: str) -> str:
    name = re.sub(r"[^\w.-]", "_", f"{run.config.name}-{what}")
    return _HEAD.format(name=name, logs=run.path / LOGS / log, threads=run.config.training.threads)


def _directive(options: str) -> str:
    return f"#SBATCH {options}\n" if options else ""
