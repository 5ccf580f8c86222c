"""The answers of the branches of a run, as files: written where they are missing or of other weights, and read once."""

from functools import cached_property
from pathlib import Path
from typing import Any

from bandwise.checkpoints.folder import weights_digest
from bandwise.errors import IncompatibleError, UsageError
from bandwise.evaluation.views import AUTO, CropsFrom
from bandwise.files.arrays import read_arrays_meta
from bandwise.fusion.answers import (
    BranchFeatures,
    BranchLogits,
    FeaturesFile,
    join_features,
    join_logits,
    origin_of,
    read_features,
)
from bandwise.fusion.saved import HEAD_RULE
from bandwise.runs.logits import LogitsFile, read_logits
from bandwise.runs.run import Run, trained_on
from bandwise.store.reading.store import Store, open_store
from bandwise.training.predict import mirrors, write_answers

_SPLITS = ("holdout", "val")


def require_own_store(run: Run, store: Store) -> None:
    """Refuse a store, wherever it lies, that is not the one that the branches here were trained on."""
    if others := {digest for digest in trained_on(run) if not store.has_digest(digest)}:
        raise IncompatibleError(
            f"{run.path} was trained on the store {min(others)[:16]}..., and {store.path} is {store.digest[:16]}...: "
            "other samples, classes or pixels; give the store it was trained on, at any place, with --store, or choose "
            "another --out"
        )


def write_missing_answers(run: Run, branch: int) -> None:
    """Write what a trained branch says of the holdout and the reported set, in one pass over each.

    That is its logits and, where the run is fused by a head, its features. What is there already, of these weights, is
    left as it is.
    """
    store = open_store(run.store_path, run.groups[branch])
    require_own_store(run, store)
    with_head = run.config.fusion.rule == HEAD_RULE
    for split in _SPLITS:
        if not store.rows(split):
            continue
        logits, features = run.logits_path(split, branch), run.features_path(split, branch)
        logits_missing = not (logits.exists() and _current_logits(run, branch, read_arrays_meta(logits)))
        features_missing = with_head and not (
            features.exists() and _current_features(run, branch, read_arrays_meta(features), mirrored=False)
        )
        if logits_missing or features_missing:
            write_answers(
                run.config,
                run.store_path,
                run.branch_folder(branch),
                branch,
                split=split,
                logits=logits if logits_missing else None,
                features=features if features_missing else None,
            )


class Answers:
    """The logits and features of the branches of a run, which one call of a command reads once.

    A branch that is not trained, has no features, or whose crops cannot come from where they are wanted is a
    `UsageError`; files that are damaged or do not belong together are a `CorruptionError` or `IncompatibleError`.
    """

    def __init__(
        self,
        run: Run,
        *,
        crops: int = 1,
        crops_from: CropsFrom = AUTO,
        device: str | None = None,
        batch_size: int | None = None,
    ) -> None:
        """Prepare; nothing is read yet. Logits are of 1 or 10 crops, features of the centre crop in any case.

        Device and images at a time, for answers that have to be written, are those of the training when None.
        """
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}; it must be at least 1")
        self.run, self.crops, self.device = run, crops, device or run.config.training.device
        self._options: dict[str, Any] = {"device": self.device, "batch_size": batch_size}
        self._crops_from = crops_from
        self._logits: dict[tuple[str, tuple[int, ...]], BranchLogits] = {}
        self._features: dict[tuple[str, tuple[int, ...]], BranchFeatures] = {}

    @cached_property
    def store(self) -> Store:
        """The store of the run, proved to be the one that its branches were trained on."""
        # Whoever asks a branch opens its bands; where all have answered, the store needs none here.
        store = open_store(self.run.store_path, ())
        require_own_store(self.run, store)
        return store

    def has(self, split: str, branches: tuple[int, ...]) -> bool:
        """Say whether there are samples of a split: logits of them are here, or the store has some."""
        here = any(self.run.logits_path(split, branch, self.crops).exists() for branch in branches)
        return here or self.store.rows(split) > 0

    def logits(self, split: str, branches: tuple[int, ...]) -> BranchLogits:
        """Return the logits of some branches; files not there, of other weights or of other views, are written."""
        key = split, branches
        if key not in self._logits:
            self._logits[key] = join_logits([self._logits_file(split, branch) for branch in branches])
        return self._logits[key]

    def features(self, split: str, branches: tuple[int, ...]) -> BranchFeatures:
        """Return the features of some branches; files that are not there, or are of other weights, are written.

        Training images have their mirrored centre crop as a second view where every branch can mirror exactly.
        """
        key = split, branches
        if key not in self._features:
            of_train = split == "train"
            mirrored = of_train and all(mirrors(self.run.config, self.store, branch) for branch in branches)
            self._features[key] = join_features(
                [self._features_file(split, branch, mirrored=mirrored) for branch in branches]
            )
        return self._features[key]

    def _logits_file(self, split: str, branch: int) -> tuple[Path, LogitsFile]:
        path = self.run.logits_path(split, branch, self.crops)
        if path.exists():
            content = read_logits(path)
            origin, wanted = origin_of(content.meta), self._crops_from.origin
            as_wanted = wanted in ("auto", origin)
            if as_wanted and _current_logits(self.run, branch, content.meta):
                return path, content
            if not as_wanted and weights_digest(self.run.branch_folder(branch)) is None:
                raise UsageError(
                    f"{path} was made from {origin}, and the weights of branch {branch} are not here to make it "
                    f"from {wanted}; leave --crops-from out"
                )
        self._write(branch, split=split, logits=path, crops=self.crops, crops_from=self._crops_from)
        return path, read_logits(path)

    def _features_file(self, split: str, branch: int, *, mirrored: bool) -> tuple[Path, FeaturesFile]:
        path = self.run.features_path(split, branch)
        if path.exists():
            content = read_features(path)
            if _current_features(self.run, branch, content.meta, mirrored=mirrored):
                return path, content
        self._write(branch, split=split, features=path, mirrored=mirrored)
        return path, read_features(path)

    def _write(self, branch: int, **options: Any) -> None:
        options |= self._options
        write_answers(self.run.config, self.run.store_path, self.run.branch_folder(branch), branch, **options)


def _current_logits(run: Run, branch: int, meta: dict[str, str]) -> bool:
    # A node may have sent its logits without its weights: then there is nothing to compare with.
    return weights_digest(run.branch_folder(branch)) in (None, meta.get("weights"))


def _current_features(run: Run, branch: int, meta: dict[str, str], *, mirrored: bool) -> bool:
    wanted = {"weights": weights_digest(run.branch_folder(branch)) or "", "views": "2" if mirrored else "1"}
    return wanted.items() <= meta.items()
