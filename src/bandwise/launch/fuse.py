"""Fit the fusion of a run: on the holdout logits of its branches, or a head on their features."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bandwise.checkpoints.folder import weights_digest
from bandwise.errors import IncompatibleError, UsageError
from bandwise.fusion.combination import Fusion
from bandwise.fusion.rules import fit, needs_holdout, unfitted
from bandwise.fusion.saved import HEAD_RULE, save_fusion
from bandwise.launch.answers import Answers
from bandwise.progress import say
from bandwise.runs.documents import SUMMARY_NAME, read_summary
from bandwise.runs.run import Run
from bandwise.training.determinism import choose_device, reproducible, seed_for

if TYPE_CHECKING:
    from bandwise.fusion.head import TrainedHead


def fuse_run(
    run: Run, *, rule: str | None = None, use: tuple[int, ...] | None = None, answers: Answers | None = None
) -> "Fusion | TrainedHead":
    """Fit one fusion rule, that of the run when None, on some branches, all when None, and write `fusion.json`.

    `answers` are of the centre crop when None. A branch that started from other weights than those of the branch it
    names is an `IncompatibleError`.
    """
    answers = answers or Answers(run)
    branches = trained_branches(run, use)
    require_own_starts(run, branches)
    rule = rule or run.config.fusion.rule
    if rule == HEAD_RULE:
        if answers.crops != 1:
            raise UsageError(
                f"a fusion head works on the centre crop, not on {answers.crops} crops; choose another rule"
            )
        fusion: Fusion | TrainedHead = train_head(answers, branches)
    elif needs_holdout(rule, len(branches)) or answers.has("holdout", branches):
        fusion = fit(rule, answers.logits("holdout", branches), p=run.config.fusion.p)
    else:
        say(f"note: {run.path} has no holdout, so {rule} is not fitted: weights are equal and the temperature is 1")
        fusion = unfitted(rule, branches)
    save_fusion(run.fusion_path(answers.crops), fusion)
    return fusion


def trained_branches(run: Run, use: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the branches to fuse, the ones named or all, if they exist and are finished."""
    every = tuple(range(len(run.groups)))
    chosen = every if use is None else use
    unknown = sorted(set(chosen) - set(every))
    if unknown:
        raise UsageError(f"branches {unknown} do not exist; {run.path} has 0 to {len(every) - 1}")
    missing = [branch for branch in chosen if not (run.branch_folder(branch) / SUMMARY_NAME).exists()]
    if missing:
        raise UsageError(
            f"branches {missing} of {run.path} are not trained; run `bandwise train --out {run.path}`, "
            "or name the ones to fuse with --use"
        )
    return chosen


def foreign_starts(run: Run, branches: Sequence[int]) -> dict[int, str]:
    """Return what is wrong with the start of finished branches, by their number; empty where it is not known."""
    found = {}
    for branch in branches:
        source, folder = run.config.source_of(branch), run.branch_folder(branch)
        if source is None or not (folder / SUMMARY_NAME).exists():
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
    """Refuse branches that have started from other weights than those of the branch they name; all are listed."""
    if found := foreign_starts(run, branches):
        raise IncompatibleError("\n".join(found.values()))


def train_head(answers: Answers, branches: tuple[int, ...]) -> "TrainedHead":
    """Train the head of a run; on a CPU the same features and seed give the same bits."""
    # Here, since other rules need no network.
    from bandwise.fusion.head import fit_head

    run = answers.run
    store = answers.store
    if not store.rows("holdout"):
        raise UsageError(f"{run.store_path} has no holdout, on which a fusion head is stopped; split with --holdout")
    train, holdout = (answers.features(split, branches) for split in ("train", "holdout"))
    seed = seed_for(run.config.training.seed, None, HEAD_RULE)
    device = choose_device(answers.device)
    with reproducible(run.config.training, device):
        return fit_head(train, holdout, classes=len(store.classes), seed=seed, device=device)
