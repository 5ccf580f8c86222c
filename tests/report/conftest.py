"""Run folders as the other stages leave them, filled with imagined predictions."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.helpers.logits import write_logits
from tests.helpers.results import COST, SUMMARY, made_branch, made_results
from tests.helpers.scores import score

from bandwise.config import RunConfig, SplitConfig, TrainingConfig, to_dict
from bandwise.files.documents import write_document, write_rows
from bandwise.files.regular import sha256_file
from bandwise.fusion.answers import BranchLogits
from bandwise.fusion.rules import RULES, fit
from bandwise.report.html import render_report
from bandwise.runs.documents import (
    BranchScore,
    DataRecord,
    Reference,
    Results,
    ScoredWeights,
    Scores,
    WeightsRecord,
    write_results,
    write_summary,
)
from bandwise.runs.logits import LogitsFile
from bandwise.runs.provenance import environment
from bandwise.runs.run import Run, create_run

CLASSES = ('"><script>alert(1)</script>', "' onload='x", "carrot & co", "<b>date</b>", "egg|plant")


@pytest.fixture(scope="session")
def sub4_config() -> RunConfig:
    return RunConfig(name="photos-sub4", training=TrainingConfig(epochs=6), split=SplitConfig(stride=2))


@pytest.fixture(scope="session")
def baseline_config() -> RunConfig:
    split = SplitConfig(stride=1, transform="identity")
    return RunConfig(name="photos-baseline", training=TrainingConfig(epochs=6), split=split)


@pytest.fixture(scope="session")
def imagine_run() -> Callable[..., Path]:
    """Return a function that writes a run; `skills` say how much each branch knows."""

    def build(
        path: Path,
        config: RunConfig,
        skills: Sequence[float],
        *,
        seed: int = 0,
        samples: int = 400,
        classes: Sequence[str] = CLASSES,
        preview: bool = True,
        rule: str = "learned",
    ) -> Path:
        run = create_run(path, config)
        hidden = np.random.default_rng(99)
        parts = {}
        for split, count, first in (("holdout", 120, 800), ("val", samples, 1000)):
            labels = hidden.integers(len(classes), size=count)
            common = hidden.normal(size=(count, len(classes)))
            noise = np.random.default_rng(seed + (split == "val")).normal(size=(len(skills), count, len(classes)))
            known = np.eye(len(classes))[labels] * np.asarray(skills)[:, None, None]
            logits = (known + 0.7 * common + noise).astype(np.float32)
            ids = np.arange(first, first + count)
            for branch, own in enumerate(logits):
                meta = {"branch": str(branch), "split": split, "crops": "1", "store": "s", "classes": "c"}
                write_logits(run.logits_path(split, branch), LogitsFile(ids, labels, own, meta))
            parts[split] = BranchLogits(tuple(range(len(skills))), ids, labels, logits.astype(float), split)
        for branch in range(len(skills)):
            _write_training(run, branch, skills[branch])
        if preview:
            _write_preview(run, len(skills))
        write_results(run.results_path(), _results(run, parts, list(classes), rule))
        return path

    return build


@pytest.fixture(scope="session")
def two_runs(tmp_path_factory, imagine_run, sub4_config, baseline_config) -> list[Path]:
    """The method and its baseline; read them, copy them, and leave them as they are."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        imagine_run(folder / "photos-sub4", sub4_config, [2.0, 1.5, 1.0, 1.2]),
        imagine_run(folder / "photos-baseline", baseline_config, [2.2], seed=7),
    ]


@pytest.fixture(scope="session")
def finished_page(tmp_path_factory, two_runs) -> Path:
    """The report of both; read it, and leave it as it is."""
    return render_report(two_runs, tmp_path_factory.mktemp("page") / "report.html")


def _score(logits: np.ndarray, data: BranchLogits) -> dict:
    return asdict(score(torch.from_numpy(logits), torch.from_numpy(data.labels)))


def _results(run: Run, parts: dict[str, BranchLogits], classes: list[str], rule: str) -> Results:
    holdout, val = parts["holdout"], parts["val"]
    fusions = {name: fit(name, holdout) for name in RULES}
    cost = {"params": 4_910_000, "macs": 230_000_000, "wall_s": 251.3, "store_bytes": 21_500_000}
    branches = tuple(
        replace(
            made_branch(branch, 0.0, epochs=6),
            **_score(val.logits[branch], val),
            **cost,
            bands=run.config.groups()[branch],
            holdout=Scores(**_score(holdout.logits[branch], holdout)),
        )
        for branch in val.branches
    )
    best = max(branches, key=lambda entry: entry.holdout.top1)
    count = len(branches)
    return replace(
        made_results(run.config.name, 0, 0.0, [0.0]),
        config=to_dict(run.config),
        environment=environment(),
        data=DataRecord(name="photos", classes=tuple(classes), n_train=900, n_holdout=120, skipped=2),
        n_eval=val.ids.size,
        n_total=val.ids.size + 1,
        chance=float(np.bincount(val.labels).max() / val.ids.size),
        branches=branches,
        fused=Scores(**_score(fusions[rule].apply(val.logits), val)),
        fusion=WeightsRecord(**fusions[rule].to_dict()),
        rules={
            name: ScoredWeights(**_score(fusion.apply(val.logits), val), **fusion.to_dict())
            for name, fusion in fusions.items()
        },
        reference=Reference(
            branch_0=BranchScore(branch=0, top1=branches[0].top1),
            best_branch=BranchScore(branch=best.branch, top1=best.top1, chosen_on="holdout"),
        ),
        cost=replace(
            COST,
            **{f"{key}_per_branch": cost[key] for key in ("params", "macs", "store_bytes")},
            **{f"{key}_total": count * cost[key] for key in ("params", "macs", "store_bytes")},
            wall_s_longest=cost["wall_s"],
            wall_s_sum=count * cost["wall_s"],
        ),
    )


def _write_training(run: Run, branch: int, skill: float) -> None:
    folder = run.branch_folder(branch)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "epoch": epoch,
            "step": 19 * epoch,
            "lr": 0.05,
            "train_loss": 2.7 - 0.3 * skill * (1 - 0.6**epoch),
            "holdout": {"top1": 0.2 + 0.2 * skill * (1 - 0.6**epoch), "nll": 2.0},
        }
        for epoch in range(1, run.config.training.epochs + 1)
    ]
    write_rows(folder / "metrics.jsonl", rows)
    write_summary(folder, replace(SUMMARY, branch=branch, bands=(branch,), epochs=run.config.training.epochs))


def _write_preview(run: Run, branches: int) -> None:
    folder = run.preview_folder
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for sample in range(2):
        for band in (None, *range(branches)):
            side = 64 if band is None else 32
            rows, columns = np.mgrid[0:side, 0:side] / side
            wave = 128 + 100 * np.sin(6 * (rows * (sample + 1) + columns * (0 if band is None else band)))
            name = f"sample-{sample}.png" if band is None else f"sample-{sample}-band-{band:02d}.png"
            Image.fromarray(np.repeat(wave.astype(np.uint8)[..., None], 3, axis=2)).save(folder / name)
            caption = "canvas, 256 pixels" if band is None else f"band {band}, contrast x 4"
            listed.append(
                {
                    "file": name,
                    "sample": sample,
                    "band": band,
                    "class": CLASSES[sample + 2],
                    "caption": caption,
                    "sha256": sha256_file(folder / name),
                }
            )
    write_document(folder / "preview.json", {"pictures": listed})
