"""Score the branches and the fusion of a run on the reported set: one document with every figure and its cost."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from bandwise.config import to_dict
from bandwise.errors import IncompatibleError, UsageError
from bandwise.evaluation.blocks import FloatArray, blocks
from bandwise.evaluation.metrics import Scoring, pack_right
from bandwise.files.documents import read_document
from bandwise.files.regular import sha256_bytes
from bandwise.fusion.answers import BranchLogits
from bandwise.fusion.combination import Fusion, leave_one_out
from bandwise.fusion.rules import RULES, fit, needs_holdout, takes, unfitted
from bandwise.fusion.saved import HEAD_RULE, describe, describe_head, read_fusion
from bandwise.launch.answers import Answers
from bandwise.launch.cost import activation_bytes, branch_cost, total_cost
from bandwise.launch.fuse import fuse_run, require_own_starts, train_head
from bandwise.runs import documents
from bandwise.runs.documents import BranchResult, BranchScore, DataRecord, Reference, Results, Scores
from bandwise.runs.logits import writing_logits
from bandwise.runs.provenance import environment
from bandwise.runs.run import RUN_NAME, Run
from bandwise.store.reading.store import Store

if TYPE_CHECKING:
    from bandwise.fusion.head import TrainedHead

Right = NDArray[np.bool_]
"""(N,) whether an image is answered rightly."""
Fuse = Callable[[FloatArray], FloatArray]
"""From the logits (n, rows, K) of all branches to those (rows, K) of one classifier."""


def evaluate_run(run: Run, *, with_head: bool = False, answers: Answers | None = None) -> Results:
    """Score every branch and every fusion rule on the reported set and write `results.json`.

    The rule of `fusion.json` is the result; the others stand beside it for comparison. All are fitted on the holdout. A
    head, which takes the features of all training images, is among them where it is the result or `with_head` is set.
    A run that is not fused yet is fused here. `answers` are of the centre crop when None. A branch that started from
    other weights than those of the branch it names is an `IncompatibleError`.
    """
    answers = answers or Answers(run)
    crops = answers.crops
    if with_head and crops != 1:
        raise UsageError(f"a fusion head works on the centre crop, not on {crops} crops; leave --head out")
    store = answers.store
    if not store.rows("val"):
        raise UsageError(f"{run.store_path} has no reported set; its source had neither val/ nor test/")
    path = run.fusion_path(crops)
    fusion = read_fusion(path) if path.exists() else fuse_run(run, answers=answers)
    chosen = tuple(fusion.branches)
    require_own_starts(run, chosen)
    holdout = answers.logits("holdout", chosen) if answers.has("holdout", chosen) else None
    reported = answers.logits("val", chosen)
    if reported.store != store.digest:
        raise IncompatibleError(
            f"the logits of {run.path} are of the store {reported.store[:16]}..., and {store.path} is "
            f"{store.digest[:16]}...: give the store that they are of with --store"
        )
    own: dict[str, Fuse] = {str(branch): itemgetter(place) for place, branch in enumerate(chosen)}
    fitted = {
        name: fit(name, holdout, p=run.config.fusion.p) if holdout else unfitted(name, chosen)
        for name in RULES
        if (takes(name, holdout) and takes(name, reported) if holdout else not needs_holdout(name, len(chosen)))
    }
    with_fused = {"fused": fusion.apply} if isinstance(fusion, Fusion) else {}
    scores, right = _score(reported, {**own, **{name: rule.apply for name, rule in fitted.items()}, **with_fused})
    on_holdout = _score(holdout, own)[0] if holdout else {}
    branches = tuple(
        _branch_result(run, store, branch, scores[str(branch)], on_holdout.get(str(branch))) for branch in chosen
    )
    rules: dict[str, documents.ScoredWeights | documents.ScoredHead] = {
        name: documents.ScoredWeights(**asdict(scores[name]), **rule.to_dict()) for name, rule in fitted.items()
    }
    shown: dict[str, Right] = {}
    if with_head or not isinstance(fusion, Fusion):
        head = train_head(answers, chosen) if isinstance(fusion, Fusion) else fusion
        rules[HEAD_RULE], shown[HEAD_RULE] = _score_head(answers, head)
    if isinstance(fusion, Fusion):
        fused, shown["fused"] = scores["fused"], right["fused"]
        left_out = tuple(
            documents.LeftOut(branch=own.branch, top1_gain=own.top1_gain, nll_gain=own.nll_gain)
            for own in leave_one_out(fusion, reported)
        )
    else:
        scored = rules[HEAD_RULE]
        assert isinstance(scored, documents.ScoredHead)
        fused = Scores(**{own.name: getattr(scored, own.name) for own in fields(Scores)})
        left_out, shown["fused"] = scored.leave_one_out, shown[HEAD_RULE]
    results = Results(
        name=run.config.name,
        config=to_dict(run.config),
        environment=environment(),
        trained_at=read_document(run.path / RUN_NAME)["made_by"]["commit"],
        data=_data_record(store),
        crops=crops,
        views=reported.origin,
        n_eval=len(reported.ids),
        n_total=store.manifest.splits["val"].samples,
        chance=float(np.bincount(reported.labels).max() / len(reported.labels)),
        branches=branches,
        fused=fused,
        fusion=describe(fusion),
        rules=rules,
        reference=_reference(branches),
        leave_one_out=left_out,
        answers=documents.Answers(
            images=sha256_bytes(reported.ids.tobytes() + reported.labels.tobytes()),
            right={name: pack_right(values) for name, values in shown.items()},
        ),
        cost=total_cost(run, store, branches),
    )
    documents.write_results(run.results_path(crops), results)
    return results


def _score(data: BranchLogits, classifiers: Mapping[str, Fuse]) -> tuple[dict[str, Scores], dict[str, Right]]:
    """Score what classifiers make of the logits of all branches, in one pass, and say where they are right."""
    scorings = {name: Scoring() for name in classifiers}
    right = {name: np.empty(data.labels.size, bool) for name in classifiers}
    for rows in blocks(data.logits):
        block, labels = data.logits[:, rows], data.labels[rows]
        for name, classify in classifiers.items():
            _add(scorings[name], right[name], rows, classify(block), labels)
    return {name: scoring.scores() for name, scoring in scorings.items()}, right


def _add(scoring: Scoring, right: Right, rows: slice, logits: FloatArray, labels: np.ndarray) -> None:
    scoring.add(torch.from_numpy(logits), torch.from_numpy(labels))
    right[rows] = logits.argmax(axis=1) == labels


def _branch_result(run: Run, store: Store, branch: int, scores: Scores, on_holdout: Scores | None) -> BranchResult:
    summary = documents.read_summary(run.branch_folder(branch))
    size = {"channels": store.channels, "num_classes": len(store.classes)}
    cost = branch_cost(run.config, branch, **size)
    bands = run.groups[branch]
    return BranchResult(
        branch=branch,
        bands=bands,
        seed=run.config.training.seed,
        from_scratch=summary.from_scratch,
        initial_checkpoint=summary.initial_checkpoint,
        **asdict(scores),
        holdout=on_holdout,
        params=cost.params,
        buffers=cost.buffers,
        macs=cost.macs,
        gmacs=cost.macs / 1e9,
        activation_bytes_per_image=activation_bytes(run.config, branch, **size),
        wall_s=summary.wall_s,
        cpu_s=summary.cpu_s,
        epochs=summary.epochs,
        store_bytes=sum(store.band_bytes(band) for band in bands),
        energy=float((store.std(bands) ** 2).sum()),
    )


def _score_head(answers: Answers, trained: "TrainedHead") -> tuple[documents.ScoredHead, Right]:
    """Score a head, and leave its answers in `Run.head_logits_path` for the report."""
    from bandwise.fusion.head import leave_one_out_of_head, pieces

    run = answers.run
    reported, holdout = (answers.features(split, trained.branches) for split in ("val", "holdout"))
    classes = trained.head.classifier.out_features
    scoring, right = Scoring(), np.empty(reported.labels.size, bool)
    with writing_logits(run.head_logits_path, reported.labels.size, classes, {"branch": HEAD_RULE}) as file:
        for rows in pieces(reported, classes):
            logits = trained.apply(reported, rows)
            _add(scoring, right, rows, logits, reported.labels[rows])
            plain = (logits * trained.temperature).astype(np.float32)
            file.put(rows.start, reported.ids[rows], reported.labels[rows], plain)
    on_holdout = Scoring()
    for rows in pieces(holdout, classes):
        logits, labels = trained.apply(holdout, rows), holdout.labels[rows]
        on_holdout.add(torch.from_numpy(logits), torch.from_numpy(labels))
    sent = [
        sum(run.features_path(split, branch).stat().st_size for split in ("train", "holdout", "val"))
        for branch in trained.branches
    ]
    scored = documents.ScoredHead(
        **asdict(scoring.scores()),
        **asdict(describe_head(trained)),
        holdout=on_holdout.scores(),
        leave_one_out=tuple(leave_one_out_of_head(trained, reported)),
        feature_bytes=max(sent),
        feature_bytes_total=sum(sent),
    )
    return scored, right


def _reference(branches: tuple[BranchResult, ...]) -> Reference:
    # The best branch is chosen on the holdout, like everything else; ties, and all without one, go to the first.
    best = max(branches, key=lambda entry: (entry.holdout.top1 if entry.holdout else 0.0, -entry.branch))
    chosen_on = "holdout" if best.holdout else None
    return Reference(
        branch_0=BranchScore(branch=branches[0].branch, top1=branches[0].top1),
        best_branch=BranchScore(branch=best.branch, top1=best.top1, chosen_on=chosen_on),
    )


def _data_record(store: Store) -> DataRecord:
    return DataRecord(
        # A source of the user's own need not name itself.
        name=str(store.manifest.source.get("name", store.manifest.source.get("kind", "images"))),
        digest=store.digest,
        classes=store.classes,
        n_train=store.rows("train"),
        n_holdout=store.rows("holdout"),
        skipped=len(store.manifest.bad),
    )
