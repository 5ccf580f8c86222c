"""What must be known of a data set to count a network and its bytes before any image is there."""

from dataclasses import dataclass

from bandwise.config import DataConfig


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
    if data.data in DATASETS:
        return DATASETS[data.data]
    return DATASETS.get(data.source)
