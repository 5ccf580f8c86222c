"""A recipe: a full configuration with its command, its cost, what to expect of it, and what was published for it.

And what must be known of its data set to count a network and its bytes before any image is there.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from bandwise.config import DataConfig, RunConfig

NOT_MEASURED = "not measured"

WHOLE_IMAGE = {"stride": 1, "transform": "identity"}
"""The split of one network on the whole image."""

Rows = Mapping[str, tuple[str, dict[str, Any]]]
"""Of every recipe of a table its summary, and in what it differs from the first one, as `changed` takes it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An accuracy that the published table quotes from another paper."""

    accuracy: float
    """Percent, top-1."""
    source: str
    """The paper, and how it was tested where that is known."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A saving that was published, for one branch against the whole image."""

    what: str
    before: float
    """Whole image, in `unit`."""
    after: float
    """One branch, in `unit`."""
    unit: str

    @property
    def ratio(self) -> float:
        """How many times less (memory, storage) or more (batch) a branch needs or takes by the claim."""
        return max(self.before, self.after) / min(self.before, self.after)

    @property
    def text(self) -> str:
        """The claim as words: `training memory: 31 GB to 10 GB`."""
        return f"{self.what}: {self.before:g} to {self.after:g} {self.unit}".rstrip()


CLAIMS = {
    "memory": Claim("training memory of ResNet-34", 31, 10, "GB"),
    "batch": Claim("largest batch of ResNet-34 on one GPU", 512, 2048, "images"),
    "storage": Claim("ImageNet-21K on one node, 36 bands", 1300, 27.27, "GB"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedFigures:
    """The published figures of one row, as they were printed, and what they claim to save."""

    accuracy: float | None
    """Percent, top-1; None where none was published."""
    target: float | None = None
    """Percent, top-1, published with a star: a hope, not a result."""
    references: tuple[Reference, ...] = ()
    size: str
    """The model size as it was written, for example `61.04 MB x 4`."""
    mib: float
    """The same of one branch: bytes of float32 values over 2^20, although it is called MB."""
    counts_buffers: bool = False
    """Whether the buffers of batch normalisation are in that size."""
    training_time: str = ""
    """As it was written; empty where none was."""
    hours: float | None = None
    """The same as a number, of one branch as far as can be told."""
    gpus: int | None = None
    """GPUs of one branch; None where that is not known."""
    crops: Literal[1, 10] | None = None
    """Crops of the accuracy, by the logs or the text; None where neither gives them."""
    claims: tuple[Claim, ...] = ()
    evidence: str = "nothing"
    """What logs and notes of the published work are there for the accuracy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One named experiment."""

    config: RunConfig
    summary: str
    """One sentence: what it is."""
    cost: str = NOT_MEASURED
    """How long it took and on what; the catalog takes it from recorded results where there are some."""
    expected: str = NOT_MEASURED
    """The result it gave, with the number of seeds and images; from recorded results, too."""
    published: PublishedFigures | None = None
    """What was published for this row; None where nothing was."""
    unconfirmed: tuple[str, ...] = ()
    """What the logs and the code of the published work do not confirm about those figures, a sentence each."""
    full_image: str = ""
    """Name of the row of the same family on the whole image; empty where `catalog.full_image_of` can find it."""

    @property
    def name(self) -> str:
        """The name of the configuration is the name of the recipe."""
        return self.config.name

    @property
    def command(self) -> str:
        """The command that runs it."""
        return f"bandwise run {self.name} --out runs/{self.name}"


def changed(config: RunConfig, **values: Any) -> RunConfig:
    """Return a configuration with other values; those of a section are given as a dict: `split={"stride": 4}`."""
    return replace(
        config,
        **{
            key: replace(getattr(config, key), **value) if isinstance(value, dict) else value
            for key, value in values.items()
        },
    )


def table(base: RunConfig, rows: Rows) -> dict[str, Callable[[], Recipe]]:
    """Return what builds each recipe of a table, by name: that of `base` and the row."""
    return {f"{base.name}-{row}": partial(_built, base, row, *facts) for row, facts in rows.items()}


def larger(base: RunConfig, rows: Rows, model: str, wanted: str, **training: Any) -> dict[str, Callable[[], Recipe]]:
    """Return what builds some recipes of a table with a larger ResNet, trained for longer; `wanted` are their rows."""
    base = changed(
        base,
        name=f"{base.name}-{model}",
        network={"model": model},
        training={**training, "precision": "bf16-mixed"},
    )
    title = model.replace("resnet", "ResNet-")
    summaries = {row: f"{rows[row][0].removesuffix('.')}; {title}, for an accelerator." for row in wanted.split()}
    return table(base, {row: (summary, rows[row][1]) for row, summary in summaries.items()})


def _built(base: RunConfig, row: str, summary: str, changes: dict[str, Any]) -> Recipe:
    return Recipe(config=changed(base, name=f"{base.name}-{row}", **changes), summary=summary)


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """One data set."""

    classes: int
    channels: int
    images: int
    """Images that a node stores: training and reported set together, but for ImageNet-1K only its training images, as
    the published figures have it."""
    train_images: int


DATASETS: dict[str, DatasetFacts] = {
    "photos": DatasetFacts(14, 3, 1_393, 732),
    "photos-coarse": DatasetFacts(5, 3, 1_393, 732),
    **{f"imagenette2{side}": DatasetFacts(10, 3, 13_394, 9_469) for side in ("", "-320", "-160")},
    **{f"imagewoof2{side}": DatasetFacts(10, 3, 12_954, 9_025) for side in ("", "-320", "-160")},
    "cifar10": DatasetFacts(10, 3, 60_000, 50_000),
    "mnist": DatasetFacts(10, 1, 70_000, 60_000),
    "fashion-mnist": DatasetFacts(10, 1, 70_000, 60_000),
    "imagenet1k": DatasetFacts(1_000, 3, 1_281_167, 1_281_167),
    # The class count of upstream's code and of winter21; the image count is that of fall11, as published.
    "imagenet21k": DatasetFacts(10_450, 3, 12_358_684, 11_797_634),
}


def facts_of(data: DataConfig) -> DatasetFacts | None:
    """Return what is known of the data set that a configuration names; None for a folder of the user's own."""
    return DATASETS.get(data.data) or DATASETS.get(data.source)
