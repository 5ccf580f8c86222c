"""Does a network learn as well from rows that are shuffled inside a window as from a full shuffle?

A small linear experiment: softmax regression on the pixels of one band, some seeds each, the same number of epochs. The
set is made so that order can matter: many row groups, a window of two of them, rows stored in the order of a split.
"""

import statistics

import numpy as np
import torch
from torch import Tensor, nn

from bandwise.bench.figures import Figure, Spread
from bandwise.bench.options import Options
from bandwise.store.order import epoch_order

_ROWS, _TEST, _CLASSES, _FEATURES = 16_384, 4_096, 10, 64
_GROUP, _WINDOW, _BATCH, _EPOCHS, _SEEDS = 256, 2, 64, 3, 8
_NOISE = 3.0


def figure(options: Options) -> Figure:
    """Return the accuracy with a window against that with a full shuffle; the ratio is their gap over its spread."""
    seeds = options.amount(_SEEDS, 2)
    rows = options.amount(_ROWS, 1024)
    found = {
        name: [100 * _accuracy(seed, rows, window, stored_by_class) for seed in range(seeds)]
        for name, window, stored_by_class in (
            ("window", _WINDOW, False),
            ("full shuffle", rows, False),
            ("window over a set sorted by class", _WINDOW, True),
        )
    }
    gaps = [a - b for a, b in zip(found["window"], found["full shuffle"], strict=True)]
    error = statistics.stdev(gaps) / len(gaps) ** 0.5
    return Figure(
        "load/shuffling",
        "% accuracy",
        ours=statistics.mean(found["window"]),
        peers={name: statistics.mean(values) for name, values in found.items() if name != "window"},
        ratio=abs(statistics.mean(gaps)) / max(error, 1e-9),
        ratio_of="gap / its standard error",
        reach=REACH,
        spread={"ours": Spread.of(found["window"]), "full shuffle": Spread.of(found["full shuffle"])},
        note="shuffling: a synthetic set of 64 row groups, windows of 2; a split shuffles its source before it stores it, "
        "and the last peer shows what happens without that",
    )
