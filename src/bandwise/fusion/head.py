"""The fusion rule `head`: a small network on the features of frozen branches, in place of weights on their logits.

The branches stay as they are. Each sends one file of features a split; the head is trained on those of the training
images and stopped on the holdout. While it learns, whole branches are hidden from it at random, so that it still
answers when one has not arrived.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bandwise.errors import IncompatibleError, UsageError
from bandwise.fusion.answers import BranchFeatures
from bandwise.fusion.combination import values_of_branches
from bandwise.fusion.convex import FloatArray, best_temperature
from bandwise.runs.documents import HeadLeftOut

HIDDEN = 256
"""Units of the one hidden layer."""

DROPOUT = 0.25
"""Probability of dropping a hidden unit in training (chosen on the holdout of CIFAR-10, see docs/log.md)."""

BRANCH_DROPOUT = 0.15
"""Probability of hiding a branch of a sample in training; at least one branch stays."""

BATCH = 256
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-2
MAX_EPOCHS = 60
PATIENCE = 6
"""Epochs without a better NLL on the holdout after which training ends; the best weights are kept."""


class FusionHead(nn.Module):
    """Standardises features, joins them, and maps them to logits through one hidden layer.

    A branch that is missing counts as its mean over the training images, which is zero after standardisation.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, sizes: Sequence[int], classes: int, *, hidden: int = HIDDEN) -> None:
        """Draw the weights from torch's global generator; `sizes` are the features of every branch."""
        super().__init__()
        self.sizes = tuple(sizes)
        total = sum(self.sizes)
        self.register_buffer("mean", torch.zeros(total))
        self.register_buffer("scale", torch.ones(total))
        self.hidden = nn.Linear(total, hidden)
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = nn.Linear(hidden, classes)

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

    def apply(self, data: BranchFeatures, *, without: int | None = None) -> FloatArray:
        """Return the fused logits (N, K) of the first view, in float64; `without` is a branch that has not arrived."""
        if data.branches != self.branches or data.weights != self.weights:
            raise IncompatibleError(
                f"the features are of the branches {list(data.branches)}, the head of {list(self.branches)}, or of "
                "other weights; write the features again and fit the head again"
            )
        given = [
            None if branch == without else torch.from_numpy(own[0])
            for branch, own in zip(data.branches, data.features, strict=True)
        ]
        if all(own is None for own in given):
            raise UsageError(f"without branch {without} nothing is left of {list(self.branches)}")
        with torch.inference_mode():
            logits = self.head(given)
        return logits.double().numpy() / self.temperature


def leave_one_out_of_head(trained: TrainedHead, data: BranchFeatures) -> list[HeadLeftOut]:
    """Leave out each branch in turn, as one that has not arrived."""
    alone = len(trained.branches) == 1
    return values_of_branches(
        trained.branches,
        data.labels,
        trained.apply(data),
        lambda branch: None if alone else trained.apply(data, without=branch),
    )


def fit_head(train: BranchFeatures, holdout: BranchFeatures, *, classes: int, seed: int) -> TrainedHead:
    """Train a head on all views of the training images, and stop it on the first view of the holdout.

    The result depends on the features, the seed and the number of threads of torch; the global random numbers are
    given back as they were.
    """
    if train.split != "train" or holdout.split != "holdout":
        raise UsageError(
            f"a head is trained on train and stopped on holdout, not on {train.split} and {holdout.split}: any other "
            "choice makes its accuracy meaningless"
        )
    if (train.branches, train.weights) != (holdout.branches, holdout.weights):
        raise IncompatibleError("the features of train and holdout are of other branches or weights; write them again")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = FusionHead(train.sizes, classes)
        _set_moments(head, train)
        inputs = torch.cat(
            [head.standardise([torch.from_numpy(own[v]) for own in train.features]) for v in range(train.views)]
        )
        labels = torch.from_numpy(train.labels).repeat(train.views)
        stop = head.standardise([torch.from_numpy(own[0]) for own in holdout.features])
        epochs = _train(head, inputs, labels, stop, torch.from_numpy(holdout.labels), seed)
    head.eval().requires_grad_(False)
    logits = head.classify(stop).double().numpy()
    return TrainedHead(
        head=head,
        branches=train.branches,
        temperature=best_temperature(logits, holdout.labels),
        epochs=epochs,
        n_train=train.labels.size,
        n_holdout=holdout.labels.size,
        views=train.views,
        seed=seed,
        weights=train.weights,
    )


def _set_moments(head: FusionHead, train: BranchFeatures) -> None:
    """Take mean and standard deviation over all views of the training images; a constant feature keeps scale 1."""
    flat = [own.reshape(-1, own.shape[2]).astype(np.float64) for own in train.features]
    mean, std = (np.concatenate([getattr(own, kind)(axis=0) for own in flat]) for kind in ("mean", "std"))
    head.mean.copy_(torch.from_numpy(mean))
    head.scale.copy_(torch.from_numpy(1 / np.where(std > 1e-6, std, 1.0)))


def hide_branches(standardised: Tensor, sizes: Sequence[int], generator: torch.Generator) -> Tensor:
    """Set whole branches of each sample to zero with probability `BRANCH_DROPOUT`, but never all of them."""
    count = len(sizes)
    draws = torch.rand(len(standardised), count, generator=generator)
    # The branch with the largest draw stays in any case.
    kept = (draws >= BRANCH_DROPOUT) | (draws == draws.max(dim=1, keepdim=True).values)
    return standardised * kept.repeat_interleave(torch.tensor(sizes), dim=1)


def _train(head: FusionHead, inputs: Tensor, labels: Tensor, stop: Tensor, stop_labels: Tensor, seed: int) -> int:
    """Train in place up to the weights that are best on the holdout; return the epochs that took."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    best, best_epoch, kept = float("inf"), 0, copy.deepcopy(head.state_dict())
    for epoch in range(1, MAX_EPOCHS + 1):
        head.train()
        order = torch.randperm(len(inputs), generator=generator)
        for rows in order.split(BATCH):
            batch = inputs[rows]
            if len(head.sizes) > 1:
                batch = hide_branches(batch, head.sizes, generator)
            loss = functional.cross_entropy(head.classify(batch), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        head.eval()
        with torch.inference_mode():
            nll = float(functional.cross_entropy(head.classify(stop), stop_labels))
        if nll < best:
            best, best_epoch, kept = nll, epoch, copy.deepcopy(head.state_dict())
        elif epoch - best_epoch >= PATIENCE:
            break
    head.load_state_dict(kept)
    return best_epoch
