"""A fitted fusion on disk: `fusion.json`, and for the rule `head` its weights in `head.safetensors` beside it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from bandwise.errors import CorruptionError, UsageError
from bandwise.files.arrays import read_arrays, write_arrays
from bandwise.files.documents import read_document, write_document
from bandwise.files.locks import folder_lock
from bandwise.files.regular import sha256_file
from bandwise.files.schema import parse, plain
from bandwise.fusion.combination import Fusion
from bandwise.runs.documents import HeadRecord, WeightsRecord
from bandwise.runs.run import Run

if TYPE_CHECKING:
    from bandwise.fusion.head import TrainedHead

HEAD_RULE = "head"
HEAD_NAME = "head.safetensors"
_MAX_FEATURES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class HeadFile(HeadRecord):
    """`fusion.json` where the fusion is a head."""

    sha256: str
    """Of the file of its weights."""

    @classmethod
    def parse(cls, content: Any, name: object) -> "HeadFile":
        """Check what was read from the file `name`; a `CorruptionError` names it and the key."""
        # Here and below, since a fusion of logits needs no head.
        from bandwise.fusion.head import HIDDEN

        head = parse(cls, content, name)
        sizes, temperature = head.sizes, head.temperature
        possible = 0 < len(sizes) == len(head.branches) == len(head.branch_weights) and min(sizes) > 0
        if not possible or sum(sizes) > _MAX_FEATURES or head.classes < 2 or head.hidden != HIDDEN:
            raise CorruptionError(
                f"{name} is damaged: a head of sizes {list(sizes)} for {head.classes} classes is not possible"
            )
        if not 0 < temperature < float("inf"):
            raise CorruptionError(f"{name} is damaged: temperature is {temperature!r}")
        return head


def describe(fusion: "Fusion | TrainedHead") -> WeightsRecord | HeadRecord:
    """Return a fusion as results hold it: all of it, but the weights of a head."""
    return WeightsRecord(**asdict(fusion)) if isinstance(fusion, Fusion) else describe_head(fusion)


def describe_head(trained: "TrainedHead") -> HeadRecord:
    """Return everything of a head but its weights."""
    return HeadRecord(
        rule=HEAD_RULE,
        branches=trained.branches,
        sizes=trained.head.sizes,
        classes=trained.head.classifier.out_features,
        hidden=trained.head.hidden.out_features,
        parameters=sum(parameter.numel() for parameter in trained.head.parameters()),
        temperature=trained.temperature,
        epochs=trained.epochs,
        fitted_on="train, stopped on holdout",
        n_train=trained.n_train,
        n_holdout=trained.n_holdout,
        views=trained.views,
        seed=trained.seed,
        branch_weights=trained.weights,
    )


def save_fusion(path: Path, fusion: "Fusion | TrainedHead") -> None:
    """Write `fusion.json`; a head's weights are written first, beside it."""
    if isinstance(fusion, Fusion):
        write_document(path, fusion.to_dict())
        return
    weights = path.with_name(HEAD_NAME)
    arrays = {name: value.numpy() for name, value in fusion.head.state_dict().items()}
    # Two at once could leave the weights of one and the description of the other.
    with folder_lock(path.parent):
        write_arrays(weights, arrays, {"rule": HEAD_RULE})
        write_document(path, plain(describe_head(fusion)) | {"sha256": sha256_file(weights)})


def fusion_of(run: Run) -> "Fusion | TrainedHead":
    """Read the fusion of a run; one that is not fused yet is a `UsageError`."""
    path = run.fusion_path()
    if not path.exists():
        raise UsageError(f"{run.path} is not fused yet; run `bandwise fuse {run.path}`")
    fusion = read_fusion(path)
    if max(fusion.branches) >= len(run.groups):
        raise CorruptionError(f"{path} fuses the branches {list(fusion.branches)}; the run has {len(run.groups)}")
    return fusion


def read_fusion(path: Path) -> "Fusion | TrainedHead":
    """Read what `save_fusion` wrote; a file that is missing, damaged or of another fusion is a `CorruptionError`."""
    content = read_document(path)
    if content.get("rule") != HEAD_RULE:
        return Fusion.parse(content, path)
    from bandwise.fusion.head import FusionHead, TrainedHead

    record = HeadFile.parse(content, path)
    with torch.random.fork_rng(devices=[]):
        head = FusionHead(record.sizes, record.classes)
    weights = path.with_name(HEAD_NAME)
    expected = head.state_dict()
    arrays, _ = read_arrays(weights, expected.keys())
    if sha256_file(weights) != record.sha256:
        raise CorruptionError(f"{weights} is not the head of {path.name}; run `bandwise fuse` again")
    for name, array in arrays.items():
        if array.shape != tuple(expected[name].shape) or array.dtype != np.float32 or not np.isfinite(array).all():
            raise CorruptionError(f"{weights}: {name} has the wrong shape or type, or is not finite")
    head.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return TrainedHead(
        head=head.eval().requires_grad_(False),
        branches=record.branches,
        temperature=record.temperature,
        epochs=record.epochs,
        n_train=record.n_train,
        n_holdout=record.n_holdout,
        views=record.views,
        seed=record.seed,
        weights=record.branch_weights,
    )
