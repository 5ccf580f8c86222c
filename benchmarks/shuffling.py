"""Does a network learn as well from rows that are shuffled inside a window as from a full shuffle?

A small experiment: a network of one hidden layer on noisy made-up classes, several seeds, equal epochs. Order can
matter in it: 64 row groups, windows of only two of them (16 is the default).
"""

import statistics

import numpy as np
import torch
from torch import Tensor, nn

from bandwise.store.reading.order import epoch_order
from benchmarks.figures import Figure, Reach, Spread
from benchmarks.options import Options

_ROWS, _TEST, _CLASSES, _FEATURES = 16_384, 4_096, 10, 64
_GROUP, _WINDOW, _BATCH, _EPOCHS, _SEEDS = 256, 2, 64, 3, 8
_NOISE = 2.5
_HIDDEN, _RATE = 64, 0.2
REACH = Reach("<=", 2.0)


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
        note="shuffling: a made-up set of 64 row groups, windows of 2; a split shuffles its source before it stores "
        "it, and the last peer shows what happens without that",
    )


def _accuracy(seed: int, rows: int, window: int, stored_by_class: bool) -> float:
    """Train once and return the accuracy on rows that were not trained on."""
    images, labels = _samples(seed, rows + _TEST)
    if stored_by_class:
        order = labels[:rows].argsort(stable=True)
        images[:rows], labels[:rows] = images[:rows][order], labels[:rows][order]
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(_FEATURES, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, _CLASSES))
    optimiser = torch.optim.SGD(network.parameters(), lr=_RATE, momentum=0.9)
    groups = [_GROUP] * (rows // _GROUP)
    for epoch in range(_EPOCHS):
        positions = torch.from_numpy(epoch_order(groups, seed=seed, epoch=epoch, window=window))
        for batch in positions.split(_BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimiser.step()
    with torch.no_grad():
        return (network(images[rows:]).argmax(1) == labels[rows:]).float().mean().item()


def _samples(seed: int, count: int) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(seed)
    centres = random.normal(0, 1, (_CLASSES, _FEATURES))
    labels = random.integers(0, _CLASSES, count)
    images = centres[labels] + random.normal(0, _NOISE, (count, _FEATURES))
    return torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels)
