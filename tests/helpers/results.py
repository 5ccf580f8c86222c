"""Results of runs that nobody trained, with the figures that a test is about; the rest is that of a recorded result."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bandwise.config import RunConfig, TrainingConfig, to_dict
from bandwise.runs.documents import BranchResult, Results, Summary, read_results
from bandwise.runs.provenance import Environment, Hardware

RECORDED = read_results(Path(__file__).parents[2] / "results" / "cifar10-sub4-seed0.json")
COST = replace(
    RECORDED.cost,
    params_per_branch=1_000_000,
    params_total=4_000_000,
    macs_per_branch=1_000_000,
    macs_total=1_000_000,
    wall_s_longest=60.0,
    wall_s_sum=260.0,
    cpu_s_sum=240.0,
    store_bytes_per_branch=1_000_000,
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
    accuracies = {"learned": top1, "mean": top1 - 0.01, "geometric": top1 + 0.02}
    rules = {rule: replace(RECORDED.rules[rule], top1=value) for rule, value in accuracies.items()}
    if head is not None:
        rules["head"] = replace(RECORDED.rules["head"], top1=head)
    first = replace(RECORDED.reference.best_branch, branch=0, top1=branches[0])
    results = replace(
        RECORDED,
        name=name,
        n_eval=100,
        n_total=100,
        branches=tuple(made_branch(number, value, seed=seed, epochs=epochs) for number, value in enumerate(branches)),
        fused=replace(RECORDED.fused, top1=top1),
        rules=rules,
        reference=replace(RECORDED.reference, best_branch=first),
        leave_one_out=None,
        answers=None,
        cost=replace(COST, macs_total=len(branches) * COST.macs_per_branch),
        environment=made_on("P"),
        config=to_dict(RunConfig(name=name, training=TrainingConfig(seed=seed, epochs=epochs, warmup_epochs=0))),
    )
    return replace(results, **changes)


def made_branch(number: int, top1: float, *, seed: int = 0, epochs: int = 2) -> BranchResult:
    """Return the results of a branch that sees the band of its number."""
    return replace(
        RECORDED.branches[0], branch=number, bands=(number,), top1=top1, seed=seed, epochs=epochs, energy=top1**3
    )


def made_on(processor: str, accelerator: str | None = None) -> Environment:
    """Return the environment of a machine, with version 2 of torch."""
    hardware = Hardware(machine="m", processor=processor, cores=2, accelerator=accelerator)
    return Environment(versions={"torch": "2"}, hardware=hardware, commit=None)
