"""How long a branch trains where that is not known before: what a time allows, or until the holdout gains no more."""

from typing import Any

from bandwise.config import TrainingConfig
from bandwise.config.training import seconds_of


def steps_in_time(training: TrainingConfig, *, step: int, elapsed_s: float, steps_per_epoch: int) -> int:
    """Return how many steps the whole epochs have that `stop_after` allows, at the mean rate of the steps so far.

    At least the epoch that is running, at most `epochs`. What was done before counts, evaluations too, whichever call
    did it.
    """
    possible = step * seconds_of(training.stop_after) / max(elapsed_s, 1e-9)
    running = -(-step // steps_per_epoch)
    return steps_per_epoch * min(training.epochs, max(running, int(possible / steps_per_epoch)))


def has_stalled(top1s: list[float], patience: int) -> bool:
    """Say whether none of the last `patience` epochs had a higher top-1 on the holdout than all before them."""
    return len(top1s) > patience and max(top1s[-patience:]) <= max(top1s[:-patience])


def top1s_of(history: list[dict[str, Any]], now: dict[str, Any]) -> list[float]:
    """Return the top-1 accuracies of the finished epochs, and of the one just evaluated."""
    return [row["holdout"]["top1"] for row in (*history, {"holdout": now})]
