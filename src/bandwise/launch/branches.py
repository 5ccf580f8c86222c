"""Train branches of one or several runs: in turn in this process, or as commands that an engine runs at once."""

from collections.abc import Sequence

from bandwise.errors import BandwiseError, Preempted
from bandwise.launch.answers import write_missing_answers
from bandwise.launch.queue import BranchesFailed, Engine, Failure, Task, in_order, run_queue, with_dependents
from bandwise.progress import say
from bandwise.runs.run import Run
from bandwise.training.trainer import train_branch


def train_one(task: Task) -> None:
    """Train one branch, or resume it, and write its logits on the holdout and the reported set."""
    run, branch = task.run, task.branch
    start = None if task.source is None else run.branch_folder(task.source.branch)
    train_branch(run.config, run.store_path, run.branch_folder(branch), branch, start=start)
    write_missing_answers(run, branch)


def train_branches(run: Run, branches: Sequence[int] | None = None, engine: Engine | None = None) -> None:
    """Train several branches of one run, or all of them; see `train_tasks`."""
    wanted = range(len(run.groups)) if branches is None else branches
    train_tasks([Task(run, branch) for branch in wanted], engine)


def train_tasks(tasks: Sequence[Task], engine: Engine | None = None) -> None:
    """Train branches of one or several runs; one that fails stops only those that were to start from it.

    They start in the order of `tasks`, but for those that others start from, which come first; without an engine in
    turn and in this process. `BranchesFailed` comes after the others are finished; `Preempted` after every branch has
    saved its state.
    """
    failures = _in_turn(in_order(tasks)) if engine is None else run_queue(tasks, engine)
    if failures:
        raise BranchesFailed(failures, len(tasks))


def _in_turn(waiting: list[Task]) -> list[Failure]:
    failures: list[Failure] = []
    while waiting:
        task = waiting.pop(0)
        try:
            train_one(task)
        except Preempted:
            raise
        except BandwiseError as error:
            say(f"{task} failed: {error}")
            failures += with_dependents(Failure(task, str(error), error.exit_code), waiting)
    return failures
