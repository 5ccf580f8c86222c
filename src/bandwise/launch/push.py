"""Copy a run to an address and back, so that machines without a common disk continue each other's work.

What a reader goes by comes last: a branch is finished by its summary, a checkpoint complete by its commit record.
"""

from collections.abc import Sequence
from pathlib import Path

from bandwise.checkpoints.folder import COMMIT_NAME, steps
from bandwise.errors import UsageError
from bandwise.files.remote import Expected, Remote, tree_names
from bandwise.progress import say
from bandwise.runs.documents import SUMMARY_NAME
from bandwise.runs.run import RUN_NAME, Run
from bandwise.store.layout import MANIFEST_NAME, STORE_NAME

_LAST = (COMMIT_NAME, STORE_NAME, MANIFEST_NAME, SUMMARY_NAME, RUN_NAME)
_NEVER_CHANGED = ("step-", "band-", "commits/")


def push_folder(folder: Path, address: str) -> int:
    """Copy a run, without the store in it, or a store to an address; what is there already is not sent again.

    Returns the bytes that were sent.
    """
    names = [name for name in tree_names(folder) if not name.startswith("store/")]
    return _push(folder, names, Remote(address))


def push_branches(run: Run, branches: Sequence[int], address: str) -> int:
    """Copy some branches of a run, with their answers and the description of the run; returns the bytes sent."""
    own = tuple(run.branch_folder(branch).name for branch in branches)
    names = [name for name in tree_names(run.path) if name == RUN_NAME or any(f"/{part}" in f"/{name}" for part in own)]
    return _push(run.path, names, Remote(address))


def pull_branches(run: Run, branches: Sequence[int], address: str) -> None:
    """Bring back branches of which nothing is here, as far as they have come at an address.

    Their checkpoints are checked as any other when the training reads them.
    """
    remote = Remote(address)
    away = [run.branch_folder(branch) for branch in branches if not steps(run.branch_folder(branch))]
    sizes = remote.sizes(*(folder.name for folder in away)) if away else {}
    complete = {name.rpartition("/")[0] for name in sizes if name.endswith(f"/{COMMIT_NAME}")}
    newest = {max(own) for folder in away if (own := [step for step in complete if step.startswith(folder.name)])}
    wanted = {
        name: Expected(size)
        for name, size in sizes.items()
        if name.count("/") == 1 or name.rpartition("/")[0] in newest
    }
    # The last one to come completes a checkpoint.
    commits = {name for name in wanted if name.endswith(COMMIT_NAME)}
    remote.fetch({name: size for name, size in wanted.items() if name not in commits}, run.path, "fetch")
    remote.fetch({name: wanted[name] for name in commits}, run.path, "fetch")
    if newest:
        say(f"{address}: going on from {', '.join(sorted(newest))}")


def pull_run(address: str, folder: Path) -> Path:
    """Copy what belongs to the branches of a run at an address into a folder, and return that."""
    remote = Remote(address)
    sizes = remote.sizes()
    if RUN_NAME not in sizes:
        raise UsageError(f"{address} is no run (it has no {RUN_NAME}); give the address that --push was given")
    wanted = {name: Expected(size) for name, size in sizes.items() if name == RUN_NAME or "branch-" in name}
    folder.mkdir(parents=True)
    remote.fetch(wanted, folder, "fetch")
    return folder


def _push(folder: Path, names: Sequence[str], remote: Remote) -> int:
    def place(name: str) -> int:
        last = name.rpartition("/")[2]
        return _LAST.index(last) + 1 if last in _LAST else 0

    def may_change(name: str) -> bool:
        return not any(f"/{part}" in f"/{name}" for part in _NEVER_CHANGED)

    return remote.push(folder, sorted(names, key=lambda name: (place(name), name)), "push", replace=may_change)
