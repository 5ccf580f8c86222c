"""The fusion rule `head`: a small network on the features of frozen branches, in place of weights on their logits.

The branches stay as they are. Each sends one file of features a split; the head is trained on those of the training
images and stopped on the holdout. While it learns, whole branches are hidden from it at random, so that it still
answers when one has not arrived.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bandwise.errors import IncompatibleError, UsageError
from bandwise.evaluation.blocks import BLOCK_VALUES, FloatArray
from bandwise.files.arrays import drop_pages
from bandwise.fusion.answers import BranchFeatures
from bandwise.fusion.combination import judge_rows, values_of_branches
from bandwise.fusion.convex import best_temperature
from bandwise.runs.documents import HeadLeftOut

HIDDEN = 256
"""Units of the one hidden layer."""

DROPOUT = 0.25
"""Probability of dropping a hidden unit in training (chosen on the holdout of CIFAR-10, see docs/log.md)."""

BRANCH_DROPOUT = 0.15
"""Probability of hiding a branch of a sample in training; at least one branch stays."""

PIECE_VALUES = 1 << 25
"""Features and logits that are worked on at a time where all are asked for, 128 MiB in float32."""

BATCH = 256
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-2
MAX_EPOCHS = 60
PATIENCE = 6
"""Epochs without a better NLL on the holdout after which training ends; the best weights are kept."""

_CPU = torch.device("cpu")


class FusionHead(nn.Module):
    """Standardises features, joins them, and maps them to logits through one hidden layer.

    A branch that is missing counts as its mean over the training images, which is zero after standardisation.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, sizes: Sequence[int], classes: int) -> None:
        """Draw the weights from torch's global generator; `sizes` are the features of every branch."""
        super().__init__()
        self.sizes = tuple(sizes)
        total = sum(self.sizes)
        self.register_buffer("mean", torch.zeros(total))
        self.register_buffer("scale", torch.ones(total))
        self.hidden = nn.Linear(total, HIDDEN)
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(HIDDEN, classes)

    def standardise(self, features: Sequence[Tensor | None]) -> Tensor:
        """Return the standardised features (B, sum of sizes) of all branches; None where a branch is missing."""
        assert len(features) == len(self.sizes)
        given = next(own for own in features if own is not None)
        means, scales = self.mean.split(self.sizes), self.scale.split(self.sizes)
        parts = [
            given.new_zeros(len(given), size) if own is None else (own - mean) * scale
            for own, size, mean, scale in zip(features, self.sizes, means, scales, strict=True)
        ]
        return torch.cat(parts, dim=1)

    def classify(self, standardised: Tensor) -> Tensor:
        """Return the logits (B, classes) of standardised features."""
        return self.classifier(self.dropout(functional.relu(self.hidden(standardised))))

    def forward(self, features: Sequence[Tensor | None]) -> Tensor:
        """Return the logits (B, classes) of the features (B, size) of every branch; None where one is missing."""
        return self.classify(self.standardise(features))


@dataclass(frozen=True, slots=True)
class TrainedHead:
    """A head that is ready to answer."""

    head: FusionHead
    """In evaluation mode, without gradients."""
    branches: tuple[int, ...]
    """The branches whose features it takes, in order."""
    temperature: float
    """Positive; fitted on the holdout."""
    epochs: int
    """Epochs after which its NLL on the holdout was best."""
    n_train: int
    n_holdout: int
    views: int
    """Views of every training image."""
    seed: int
    weights: tuple[str, ...]
    """SHA-256 of the weights of every branch."""

    def apply(self, data: BranchFeatures, rows: slice = slice(None), *, without: int | None = None) -> FloatArray:
        """Return the fused logits (rows, K) of the first view, in float64; `without` is a branch that has not arrived.

        What is asked for at once is in memory at once; `pieces` are as much as is good.
        """
        if data.branches != self.branches or data.weights != self.weights:
            raise IncompatibleError(
                f"the features are of the branches {list(data.branches)}, the head of {list(self.branches)}, or of "
                "other weights; write the features again and fit the head again"
            )
        given = [
            None if branch == without else torch.from_numpy(own)
            for branch, own in zip(data.branches, data.rows(rows), strict=True)
        ]
        if all(own is None for own in given):
            raise UsageError(f"without branch {without} nothing is left of {list(self.branches)}")
        with torch.inference_mode():
            logits = self.head(given)
        return logits.double().numpy() / self.temperature


def pieces(data: BranchFeatures, classes: int, start: int = 0, stop: int | None = None) -> Iterator[slice]:
    """Cut the samples into pieces whose features and logits fit memory; hardly any set has more than one."""
    step = max(1, PIECE_VALUES // (sum(data.sizes) + classes))
    stop = data.labels.size if stop is None else stop
    return (slice(first, min(first + step, stop)) for first in range(start, stop, step))


def leave_one_out_of_head(trained: TrainedHead, data: BranchFeatures) -> list[HeadLeftOut]:
    """Leave out each branch in turn, as one that has not arrived."""
    left_out = trained.branches if len(trained.branches) > 1 else ()

    def answers(rows: slice) -> Iterator[tuple[FloatArray, float]]:
        return ((trained.apply(data, rows, without=branch), 1.0) for branch in (None, *left_out))

    cut = pieces(data, trained.head.classifier.out_features)
    whole, *without = judge_rows(cut, data.labels, 1 + len(left_out), answers)
    return values_of_branches(trained.branches, whole, without or [None])


def fit_head(
    train: BranchFeatures, holdout: BranchFeatures, *, classes: int, seed: int, device: torch.device = _CPU
) -> TrainedHead:
    """Train a head on all views of the training images, and stop it on the first view of the holdout.

    The features stay where they are; a batch of them at a time is standardised and moved to the device. The result
    depends on the features, the seed, the device and the number of threads of torch; the global random numbers are
    given back as they were.
    """
    if train.split != "train" or holdout.split != "holdout":
        raise UsageError(
            f"a head is trained on train and stopped on holdout, not on {train.split} and {holdout.split}: any other "
            "choice makes its accuracy meaningless"
        )
    if (train.branches, train.weights) != (holdout.branches, holdout.weights):
        raise IncompatibleError("the features of train and holdout are of other branches or weights; write them again")
    with torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else [], device_type="cuda"):
        torch.manual_seed(seed)
        head = FusionHead(train.sizes, classes)
        _set_moments(head, train)
        epochs = _train(head.to(device), train, holdout, seed)
    head.cpu().eval().requires_grad_(False)
    return TrainedHead(
        head=head,
        branches=train.branches,
        temperature=best_temperature(_HeadLogits(head, holdout), holdout.labels),
        epochs=epochs,
        n_train=train.labels.size,
        n_holdout=holdout.labels.size,
        views=train.views,
        seed=seed,
        weights=train.weights,
    )


class _HeadLogits:
    """What a head answers to the first view of some samples, as `Logits` of one classifier."""

    def __init__(self, head: FusionHead, data: BranchFeatures) -> None:
        self._head, self._data = head, data
        self.shape = (1, data.labels.size, head.classifier.out_features)

    def __getitem__(self, key: tuple[slice, slice]) -> FloatArray:
        cut = pieces(self._data, self.shape[2], *key[1].indices(self.shape[1])[:2])
        with torch.inference_mode():
            found = [_classify(self._head, self._data, rows).double().numpy() for rows in cut]
        return np.concatenate(found)[None]


def _classify(head: FusionHead, data: BranchFeatures, rows: slice) -> Tensor:
    features = [torch.from_numpy(own).to(head.mean.device) for own in data.rows(rows)]
    return head(features)


def _set_moments(head: FusionHead, train: BranchFeatures) -> None:
    """Take mean and standard deviation over all views of the training images; a constant feature keeps scale 1."""
    mean, std = map(np.concatenate, zip(*map(_moments, train.features), strict=True))
    head.mean.copy_(torch.from_numpy(mean))
    head.scale.copy_(torch.from_numpy(1 / np.where(std > 1e-6, std, 1.0)))


def _moments(features: NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation (D,) over all views and samples of features (V, N, D)."""
    flat = features.reshape(-1, features.shape[2])
    step = max(1, BLOCK_VALUES // flat.shape[1])

    def average(of: Callable[[FloatArray], FloatArray]) -> FloatArray:
        total = np.empty((0, flat.shape[1]))
        for start in range(0, len(flat), step):
            block = of(flat[start : start + step].astype(np.float64))
            drop_pages(flat)
            # numpy adds row after row; with the sum so far as the first row the pieces change no bit.
            total = np.add.reduce(np.concatenate([total, block]), axis=0, keepdims=True)
        return total[0] / len(flat)

    mean = average(lambda block: block)
    return mean, np.sqrt(average(lambda block: (block - mean) ** 2))


def hide_branches(standardised: Tensor, sizes: Sequence[int], generator: torch.Generator) -> Tensor:
    """Set whole branches of each sample to zero with probability `BRANCH_DROPOUT`, but never all of them."""
    count = len(sizes)
    draws = torch.rand(len(standardised), count, generator=generator)
    # The branch with the largest draw stays in any case.
    kept = (draws >= BRANCH_DROPOUT) | (draws == draws.max(dim=1, keepdim=True).values)
    return standardised * kept.repeat_interleave(torch.tensor(sizes), dim=1).to(standardised.device)


def _train(head: FusionHead, train: BranchFeatures, holdout: BranchFeatures, seed: int) -> int:
    """Train in place up to the weights that are best on the holdout; return the epochs that took."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    device, samples = head.mean.device, train.labels.size
    labels = torch.from_numpy(train.labels)
    best, best_epoch, kept = float("inf"), 0, copy.deepcopy(head.state_dict())
    for epoch in range(1, MAX_EPOCHS + 1):
        head.train()
        order = torch.randperm(train.views * samples, generator=generator)
        for rows in order.split(BATCH):
            batch = head.standardise([own.to(device) for own in _views(train, rows)])
            if len(head.sizes) > 1:
                batch = hide_branches(batch, head.sizes, generator)
            loss = functional.cross_entropy(head.classify(batch), labels[rows % samples].to(device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        head.eval()
        nll = _nll(head, holdout)
        if nll < best:
            best, best_epoch, kept = nll, epoch, copy.deepcopy(head.state_dict())
        elif epoch - best_epoch >= PATIENCE:
            break
    head.load_state_dict(kept)
    return best_epoch


def _views(data: BranchFeatures, rows: Tensor) -> list[Tensor]:
    """Return the features of some views, numbered view by view, (B, D_i) a branch."""
    views, samples = (rows // data.labels.size).numpy(), (rows % data.labels.size).numpy()
    return [torch.from_numpy(own) for own in data.rows(samples, views)]


def _nll(head: FusionHead, data: BranchFeatures) -> float:
    """Return the mean NLL in nats of the first view."""
    labels, total = torch.from_numpy(data.labels).to(head.mean.device), 0.0
    with torch.inference_mode():
        for rows in pieces(data, head.classifier.out_features):
            own = labels[rows]
            total += float(functional.cross_entropy(_classify(head, data, rows), own)) * len(own)
    return total / len(labels)
