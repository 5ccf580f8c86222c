"""`python -m tools.diversity RUN ...`: what the branches of finished runs have in common, from their stored logits.

Each run gives one file in `results/diversity/`, from which the tables and charts that explain the evidence are made.
The two measures are those of Kuncheva and Whitaker, Measures of diversity in classifier ensembles (2003), but that
branches disagree here where they name different classes, rightly or not.
"""

import argparse
import itertools
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from bandwise.errors import BandwiseError, UsageError
from bandwise.evaluation.metrics import pairwise_disagreement
from bandwise.files.documents import read_document, write_document
from bandwise.files.schema import parse, plain
from bandwise.fusion.answers import BranchLogits
from bandwise.fusion.rules import fit
from bandwise.launch.answers import Answers
from bandwise.runs.run import open_run

_FOLDER = Path(__file__).parents[1] / "results" / "diversity"
_ALL_SUBSETS_UP_TO = 6
"""Branches; of more there are too many subsets to average over."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two branches on the reported images; shares are fractions."""

    branches: tuple[int, int]
    disagreement: float
    """How often they name different classes."""
    double_fault: float
    """How often both are wrong."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """The accuracy of so many branches on the reported images."""

    branches: tuple[int, ...]
    """The best so many on the holdout, best first."""
    mean: float
    learned: float
    average: float | None
    """The mean of logits, averaged over all choices of so many branches; None where there are too many choices."""


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """One run."""

    name: str
    seed: int
    data: str
    n_eval: int
    top1: tuple[float, ...]
    """Of each branch."""
    pairs: tuple[Pair, ...]
    counts: tuple[Count, ...]


def compare_branches(holdout: BranchLogits, reported: BranchLogits) -> tuple[tuple[Pair, ...], tuple[Count, ...]]:
    """Compare every two branches, and fuse one, two and more of them; the holdout chooses and fits, nothing else."""
    places = range(len(reported.branches))
    wrong = reported.logits[:, :].argmax(axis=2) != reported.labels
    disagreement = pairwise_disagreement(torch.from_numpy(reported.logits[:, :].argmax(axis=2))).tolist()
    pairs = tuple(
        Pair(
            branches=(reported.branches[one], reported.branches[other]),
            disagreement=disagreement[one][other],
            double_fault=float((wrong[one] & wrong[other]).mean()),
        )
        for one, other in itertools.combinations(places, 2)
    )
    right = (holdout.logits[:, :].argmax(axis=2) == holdout.labels).sum(axis=1)
    best_first = sorted(places, key=lambda place: (-right[place], place))
    counts = tuple(_count(holdout, reported, best_first[:count]) for count in range(1, len(places) + 1))
    return pairs, counts


def _count(holdout: BranchLogits, reported: BranchLogits, chosen: list[int]) -> Count:
    own, theirs = _only(holdout, chosen), _only(reported, chosen)
    every = len(reported.branches)
    choices = itertools.combinations(range(every), len(chosen)) if every <= _ALL_SUBSETS_UP_TO else ()
    averaged = [_top1(reported.logits[:, :][list(choice)].mean(axis=0), reported) for choice in choices]
    return Count(
        branches=own.branches,
        mean=_top1(theirs.logits[:, :].mean(axis=0), reported),
        learned=_top1(fit("learned", own).apply(theirs.logits[:, :]), reported),
        average=statistics.mean(averaged) if averaged else None,
    )


def _only(data: BranchLogits, places: list[int]) -> BranchLogits:
    return replace(data, branches=tuple(data.branches[place] for place in places), logits=data.logits[:, :][places])


def _top1(logits: np.ndarray, data: BranchLogits) -> float:
    return float((logits.argmax(axis=1) == data.labels).mean())


def study(folder: Path) -> Diversity:
    """Compare the branches of one finished run."""
    run = open_run(folder)
    branches = tuple(range(len(run.groups)))
    if len(branches) < 2:
        raise UsageError(f"{folder} has one branch, which has nothing to be compared with; name a run of several")
    answers = Answers(run)
    holdout, reported = answers.logits("holdout", branches), answers.logits("val", branches)
    pairs, counts = compare_branches(holdout, reported)
    top1 = tuple(_top1(logits, reported) for logits in reported.logits[:, :])
    return Diversity(
        name=run.config.name,
        seed=run.config.training.seed,
        data=Path(run.config.data.data).name,
        n_eval=len(reported.ids),
        top1=top1,
        pairs=pairs,
        counts=counts,
    )


def read_diversity(folder: Path) -> dict[str, list[Diversity]]:
    """Read what was written of runs, by recipe and then in the order of the seeds; empty where there is nothing."""
    found: dict[str, list[Diversity]] = {}
    for path in sorted(folder.glob("*.json")):
        one = parse(Diversity, read_document(path), path)
        found.setdefault(one.name, []).append(one)
    for runs in found.values():
        runs.sort(key=lambda one: one.seed)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Write a file for each run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.diversity", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--into", type=Path, default=_FOLDER, help="folder of the files, results/diversity when left out"
    )
    arguments = parser.parse_args(argv)
    try:
        for folder in arguments.runs:
            found = study(folder)
            arguments.into.mkdir(parents=True, exist_ok=True)
            write_document(arguments.into / f"{found.name}-seed{found.seed}.json", plain(found))
            print(f"{found.name}, seed {found.seed}: {len(found.top1)} branches")
    except BandwiseError as error:
        print(f"tools: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
