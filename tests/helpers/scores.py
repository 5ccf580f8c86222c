"""The scores of logits that are there all at once."""

from torch import Tensor

from bandwise.evaluation.metrics import Scoring
from bandwise.runs.documents import Scores


def score(logits: Tensor, labels: Tensor) -> Scores:
    scoring = Scoring()
    scoring.add(logits, labels)
    return scoring.scores()
