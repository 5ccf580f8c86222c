"""The fusion rule `head`: a small network on the features of frozen branches, in place of weights on their logits.

The branches stay as they are. Each sends one file of features a split; the head is trained on those of the training
images and stopped on the holdout. While it learns, whole branches are hidden from it at random, so that it still
answers when one has not arrived.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

HIDDEN = 256
"""Units of the one hidden layer."""

DROPOUT = 0.25
"""Probability of dropping a hidden unit in training (chosen on the holdout of CIFAR-10, see docs/log.md)."""

BRANCH_DROPOUT = 0.15
"""Probability of hiding a branch of a sample in training; at least one branch stays."""


class FusionHead(nn.Module):
    """Standardises features, joins them, and maps them to logits through one hidden layer.

    A branch that is missing counts as its mean over the training images, which is zero after standardisation.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, sizes: Sequence[int], classes: int, *, hidden: int = HIDDEN) -> None:
        """Draw the weights from torch's global generator.

        Args:
            sizes: features of every branch.
            classes: number of logits.
            hidden: units of the hidden layer.
        """
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


def hide_branches(standardised: Tensor, sizes: Sequence[int], generator: torch.Generator) -> Tensor:
    """Set whole branches of each sample to zero with probability `BRANCH_DROPOUT`, but never all of them."""
    count = len(sizes)
    draws = torch.rand(len(standardised), count, generator=generator)
    # The branch with the largest draw stays in any case.
    kept = (draws >= BRANCH_DROPOUT) | (draws == draws.max(dim=1, keepdim=True).values)
    return standardised * kept.repeat_interleave(torch.tensor(sizes), dim=1)
