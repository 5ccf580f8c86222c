"""Whether the branches of a run have started from the weights that the branch they name has now."""

from collections.abc import Sequence

from bandwise.checkpoints.folder import weights_digest
from bandwise.errors import IncompatibleError
from bandwise.runs.documents import read_summary
from bandwise.runs.run import Run


def foreign_starts(run: Run, branches: Sequence[int]) -> dict[int, str]:
    """Return what is wrong with the start of finished branches, by their number; nothing is said where it is not known.

    Raises:
        CorruptionError: a summary or a record of weights is damaged.
    """
    found = {}
    for branch in branches:
        source, folder = run.config.source_of(branch), run.branch_folder(branch)
        if source is None or not (folder / "summary.json").exists():
            continue
        # A node may have sent its logits without its weights.
        has = weights_digest(run.branch_folder(source))
        initial = read_summary(folder).initial_checkpoint
        started = None if initial is None else initial.sha256
        if has is not None and started != has:
            found[branch] = (
                f"{folder} started from weights of SHA-256 {str(started)[:16]}..., and branch {source} has "
                f"{has[:16]}...; they do not belong together: put the right folder there, or remove one and train it "
                "again"
            )
    return found


def require_own_starts(run: Run, branches: Sequence[int]) -> None:
    """Refuse branches that have started from other weights than those of the branch they name.

    Raises:
        IncompatibleError: some have; all are listed.
    """
    if found := foreign_starts(run, branches):
        raise IncompatibleError("\n".join(found.values()))
