"""Training loops that ours is measured against: as little as PyTorch needs, and the pieces of timm's `train.py`.

Each is a function that takes one more step every time it is called, so that loops can take turns step by step.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timm.data.loader import create_loader
from timm.optim import create_optimizer_v2  # pyright: ignore[reportPrivateImportUsage]
from timm.scheduler.scheduler_factory import create_scheduler_v2
from timm.utils.metrics import AverageMeter
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from bandwise.checkpoints.branch import build_network
from bandwise.config import RunConfig
from bandwise.store.reading.loader import BatchStream, read_all
from bandwise.store.reading.store import open_store

_LOG_INTERVAL = 50

Step = Callable[[], None]
"""Takes the next batch and learns from it."""


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What a branch trains on, in memory.

    Attributes:
        records: uint8 (N, side, side, C), as the store holds them.
        images: float32 (N, C, crop, crop), cut and normalised, colours innermost in memory.
        labels: int64 (N,).
        classes: number of classes.
        mean, std: of the stored values, by colour, of 0 to 255.
    """

    records: np.ndarray
    images: Tensor
    labels: Tensor
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


def memory_of(config: RunConfig, store_path: Path) -> Memory:
    """Read the training images of band 0."""
    store = open_store(store_path)
    records = read_all(BatchStream(store, (0,), "train", 1).reader)
    crop = config.training.crop // config.split.stride
    images = records[:, :crop, :crop].permute(0, 3, 1, 2).float()
    mean, std = (torch.from_numpy(values[0]).float() for values in (store.mean((0,)), store.std((0,))))
    images = ((images - mean[:, None, None]) / std[:, None, None]).contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(store.labels("train").astype(np.int64))
    return Memory(records.numpy(), images, labels, len(store.classes), tuple(mean.tolist()), tuple(std.tolist()))


def bare_loop(config: RunConfig, memory: Memory) -> Step:
    """Train with nothing but what a step needs, channels last as ours.

    A batch is a shuffled index into images that are ready. Nothing is augmented, logged or saved.
    """
    network = _network(config, memory).to(memory_format=torch.channels_last)  # type: ignore[reportCallIssue]
    training = config.training
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=training.lr,
        momentum=training.momentum,
        weight_decay=training.weight_decay,
        nesterov=True,
    )

    def learn(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return _endless(_Shuffled(config, memory), learn)


def timm_loop(config: RunConfig, memory: Memory) -> Step:
    """Train as timm's script does: its loader and transforms, on pictures in memory, and its steps."""
    crop = config.training.crop // config.split.stride
    scale = tuple(value / 255 for value in memory.mean), tuple(value / 255 for value in memory.std)
    loader = create_loader(
        _Pictures(memory),  # type: ignore[reportArgumentType]
        input_size=(memory.records.shape[3], crop, crop),
        batch_size=config.training.batch_size,
        is_training=True,
        use_prefetcher=False,
        hflip=config.augment.hflip,
        color_jitter=0.0,
        interpolation="bilinear",
        mean=scale[0],
        std=scale[1],
        num_workers=0,
        persistent_workers=False,
    )
    return _endless(loader, _timm_step(config, memory))


def timm_loop_on_tensors(config: RunConfig, memory: Memory) -> Step:
    """Train with the steps of timm's script on the batches of `bare_loop`."""
    return _endless(_Shuffled(config, memory), _timm_step(config, memory))


class _Shuffled:
    """Whole batches of images that are ready, in another order every epoch."""

    def __init__(self, config: RunConfig, memory: Memory) -> None:
        self._size, self._memory = config.training.batch_size, memory

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(self._memory.labels)).split(self._size):
            if len(rows) == self._size:
                yield self._memory.images[rows], self._memory.labels[rows]


def _endless(batches: Iterable[tuple[Tensor, Tensor]], learn: Callable[[Tensor, Tensor], None]) -> Step:
    """Return a step on the batches of one epoch after another, with the algorithms that torch chooses by itself."""

    def every() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from batches

    following = every()

    def step() -> None:
        ours = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(False)
        try:
            learn(*next(following))
        finally:
            torch.use_deterministic_algorithms(ours)

    return step


class _Pictures(Dataset[tuple[object, int]]):
    """Pictures in memory, as a folder of timm gives them."""

    def __init__(self, memory: Memory) -> None:
        self._pictures = [Image.fromarray(record) for record in memory.records]
        self._labels: list[int] = memory.labels.tolist()
        # timm's loader sets it.
        self.transform: Callable[[Image.Image], object] | None = None

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[object, int]:
        picture = self._pictures[index]
        return (picture if self.transform is None else self.transform(picture)), self._labels[index]


def _timm_step(config: RunConfig, memory: Memory) -> Callable[[Tensor, Tensor], None]:
    """Return one update of `train_one_epoch`, in its order: forward, backward, step, meter, schedule."""
    training, network = config.training, _network(config, memory)
    optimizer = create_optimizer_v2(
        network, opt=training.opt, lr=training.lr, weight_decay=training.weight_decay, momentum=training.momentum
    )
    updates = len(memory.labels) // training.batch_size
    scheduler, _ = create_scheduler_v2(
        optimizer, sched="cosine", num_epochs=1, warmup_epochs=0, step_on_epochs=False, updates_per_epoch=updates
    )
    assert scheduler is not None
    losses, criterion, done = AverageMeter(), nn.CrossEntropyLoss(), [0]
    lines: OrderedDict[str, str] = OrderedDict()

    def step(images: Tensor, labels: Tensor) -> None:
        loss = criterion(network(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        done[0] += 1
        losses.update(loss.item(), images.size(0))
        if done[0] % _LOG_INTERVAL == 0:
            rates = [group["lr"] for group in optimizer.param_groups]
            lines["train"] = (
                f"{done[0]}/{updates} loss {losses.val:#.3g} ({losses.avg:#.3g}) lr {sum(rates) / len(rates):.3e}"
            )
        scheduler.step_update(num_updates=done[0], metric=losses.avg)

    return step


def _network(config: RunConfig, memory: Memory) -> nn.Module:
    torch.manual_seed(0)
    return build_network(config, num_classes=memory.classes, bands=1, channels=memory.records.shape[3]).train()
