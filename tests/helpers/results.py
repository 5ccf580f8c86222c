"""Results of runs that nobody trained, with the figures that a test is about."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bandwise.config import RunConfig, TrainingConfig, to_dict
from bandwise.runs.documents import (
    BranchResult,
    BranchScore,
    Cost,
    DataRecord,
    Reference,
    Results,
    ScoredHead,
    ScoredWeights,
    Scores,
    Summary,
    WeightsRecord,
)
from bandwise.runs.provenance import Environment, Hardware

COST = Cost(
    params_per_branch=1_000_000,
    params_total=4_000_000,
    macs_per_branch=1_000_000,
    macs_total=1_000_000,
    gmacs_per_branch=0.001,
    gmacs_total=0.001,
    activation_bytes_per_image_per_branch=1_000,
    activation_bytes_per_image_total=1_000,
    wall_s_longest=60.0,
    wall_s_sum=260.0,
    cpu_s_sum=240.0,
    store_bytes_per_branch=1_000_000,
    store_bytes_total=1_000_000,
)

SUMMARY = Summary(
    branch=0,
    bands=(0,),
    epochs=1,
    steps=19,
    params=4_910_000,
    n_train=608,
    train_loss=1.0,
    holdout=None,
    wall_s=251.3,
    cpu_s=240.1,
    images_per_s=2.4,
    peak_bytes=812_000_000,
    seed=0,
    threads=1,
    from_scratch=True,
    initial_checkpoint=None,
    versions={},
)


def made_results(
    name: str,
    seed: int,
    top1: float,
    branches: Sequence[float],
    *,
    epochs: int = 2,
    head: float | None = None,
    **changes: Any,
) -> Results:
    """Return results with the accuracy `top1` of the fusion and one of each branch, which has one band of its own.

    The rule `mean` is one point below it, `geometric` two points above; energies follow the accuracies. Every branch
    costs a million multiply-adds.
    """
    rules: dict[str, ScoredWeights | ScoredHead] = {
        "learned": weights("learned", top1, len(branches)),
        "mean": weights("mean", top1 - 0.01, len(branches)),
        "geometric": weights("geometric", top1 + 0.02, len(branches)),
    }
    if head is not None:
        rules["head"] = scored_head(head, len(branches))
    results = Results(
        name=name,
        data=DataRecord(name="cifar10", classes=("a", "b"), n_train=900, n_holdout=100, skipped=0),
        crops=1,
        n_eval=100,
        n_total=100,
        chance=0.5,
        branches=tuple(made_branch(number, value, seed=seed, epochs=epochs) for number, value in enumerate(branches)),
        fused=Scores(n=100, top1=top1, top5=1.0, nll=1.0, ece=0.1),
        fusion=WeightsRecord(**_fitted("learned", len(branches))),
        rules=rules,
        reference=Reference(
            branch_0=BranchScore(branch=0, top1=branches[0]),
            best_branch=BranchScore(branch=0, top1=branches[0], chosen_on="holdout"),
        ),
        cost=replace(COST, macs_total=len(branches) * COST.macs_per_branch),
        environment=made_on("P"),
        config=to_dict(RunConfig(name=name, training=TrainingConfig(seed=seed, epochs=epochs, warmup_epochs=0))),
        trained_at=None,
    )
    return replace(results, **changes)


def made_on(processor: str, accelerator: str | None = None) -> Environment:
    """Return the environment of a machine, with version 2 of torch."""
    hardware = Hardware(machine="m", processor=processor, cores=2, accelerator=accelerator)
    return Environment(versions={"torch": "2"}, hardware=hardware, commit=None)


def weights(rule: str, top1: float, count: int) -> ScoredWeights:
    """Return the scores of a rule that weighs `count` branches."""
    return ScoredWeights(n=100, top1=top1, top5=1.0, nll=1.0, ece=0.1, **_fitted(rule, count))


def scored_head(top1: float, count: int) -> ScoredHead:
    """Return the scores of a fusion head over `count` branches."""
    return ScoredHead(
        n=100,
        top1=top1,
        top5=1.0,
        nll=0.9,
        ece=0.1,
        rule="head",
        branches=tuple(range(count)),
        sizes=(8,) * count,
        classes=2,
        hidden=4,
        parameters=100,
        temperature=1.0,
        epochs=3,
        fitted_on="train, stopped on holdout",
        n_train=900,
        n_holdout=100,
        views=2,
        seed=0,
        branch_weights=("0" * 64,) * count,
        holdout=Scores(n=100, top1=top1, top5=1.0, nll=0.8, ece=0.1),
        leave_one_out=(),
        feature_bytes=1,
        feature_bytes_total=count,
    )


def _fitted(rule: str, count: int) -> dict[str, Any]:
    shares = (1 / count,) * count
    fitted = {"temperature": 1.0, "fitted_on": "holdout", "n_holdout": 100, "p": None}
    return {"rule": rule, "branches": tuple(range(count)), "weights": shares, **fitted}


def made_branch(number: int, top1: float, *, seed: int = 0, epochs: int = 2) -> BranchResult:
    """Return the results of a branch that sees the band of its number."""
    return BranchResult(
        n=100,
        top1=top1,
        top5=1.0,
        nll=1.0,
        ece=0.1,
        branch=number,
        bands=(number,),
        seed=seed,
        from_scratch=True,
        initial_checkpoint=None,
        holdout=Scores(n=100, top1=top1, top5=1.0, nll=1.0, ece=0.1),
        params=COST.params_per_branch,
        buffers=0,
        macs=COST.macs_per_branch,
        gmacs=COST.gmacs_per_branch,
        activation_bytes_per_image=COST.activation_bytes_per_image_per_branch,
        wall_s=COST.wall_s_longest,
        cpu_s=60.0,
        epochs=epochs,
        store_bytes=COST.store_bytes_per_branch,
        energy=top1**3,
    )
