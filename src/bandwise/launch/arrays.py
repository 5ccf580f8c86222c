"""Which branch a job of a job array trains, as schedulers say it in the environment."""

import os
from collections.abc import Mapping

from bandwise.errors import UsageError

FIRST_INDEX = {
    "SLURM_ARRAY_TASK_ID": 0,
    "JOB_COMPLETION_INDEX": 0,
    "AWS_BATCH_JOB_ARRAY_INDEX": 0,
    "BATCH_TASK_INDEX": 0,
    "PBS_ARRAY_INDEX": 0,
    "PBS_ARRAYID": 0,
    "LSB_JOBINDEX": 1,
    "SGE_TASK_ID": 1,
    "SKYPILOT_NODE_RANK": 0,
}
"""Variable to the index of branch 0: LSF and Grid Engine have no index 0."""

# What a job that belongs to no array has there.
_NO_ARRAY = {("LSB_JOBINDEX", "0"), ("SGE_TASK_ID", "undefined")}


def branch_of_this_job(environment: Mapping[str, str] = os.environ) -> int:
    """Return the branch that this job of an array is for.

    Raises:
        UsageError: no variable of `FIRST_INDEX` is set, two say different things, or one holds no such index.
    """
    found = {name: environment[name] for name in FIRST_INDEX if name in environment}
    found = {name: text for name, text in found.items() if (name, text) not in _NO_ARRAY}
    if not found:
        raise UsageError(
            f"--branch auto: this is no job of an array, for none of {', '.join(FIRST_INDEX)} is set; give --branch K"
        )
    branches = {name: _index(name, text) - FIRST_INDEX[name] for name, text in found.items()}
    if len(set(branches.values())) > 1:
        stated = ", ".join(f"{name}={text}" for name, text in found.items())
        raise UsageError(f"--branch auto: the environment names several branches, {stated}; give --branch K")
    return next(iter(branches.values()))


def _index(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < FIRST_INDEX[name]:
        raise UsageError(
            f"--branch auto: {name} is {text!r}; it must be a number from {FIRST_INDEX[name]} on: submit the array "
            "with such indices, or give --branch K"
        )
    return int(text)
