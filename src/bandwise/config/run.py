"""One experiment: the sections together, and the rules between them."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from bandwise.config.data import AugmentConfig, DataConfig, SplitConfig, parse_bands, require
from bandwise.config.training import FusionConfig, NetworkConfig, TrainingConfig
from bandwise.errors import UsageError

MAX_BRANCHES = 1024

UNNAMED = "custom"
"""The name of an experiment that was not made from a recipe."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """One experiment; a baseline or a control is the same code with other values."""

    name: Annotated[str, tyro.conf.Suppress] = UNNAMED
    data: DataConfig = DataConfig()
    split: SplitConfig = SplitConfig()
    branches: str = "each"
    """Band groups, one network each: `0;1;2;3`, `0;0,1;0,2`, `0,1,2,3`; `each` is one branch a stored band."""

    initial_branch: int | None = None
    """The branch whose final weights every other one starts from; it is trained first. Each from scratch when None."""

    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    augment: AugmentConfig = AugmentConfig()
    fusion: FusionConfig = FusionConfig()

    def __post_init__(self) -> None:
        stride, canvas = self.split.stride, self.split.canvas
        allowed = f"a multiple of the stride {stride} and at most the canvas {canvas}"
        for key in ("crop", "train_crop"):
            side = getattr(self.training, key)
            require(side % stride == 0 and side <= canvas, key, side, allowed)
        stored = parse_bands(self.split.bands, stride**2)
        for group in self.groups():
            missing = sorted(set(group) - set(stored))
            require(
                not missing,
                "branches",
                self.branches,
                f"made of stored bands; {missing} are not in {self.split.bands!r}",
            )
        last, models = len(self.groups()) - 1, self.network.model.count(";") + 1
        require(
            models in (1, last + 1), "model", self.network.model, f"one network, or one for each of {last + 1} branches"
        )
        require(
            self.initial_branch is None or (last > 0 and 0 <= self.initial_branch <= last),
            "initial_branch",
            self.initial_branch,
            f"None or a branch, 0 to {last}" if last else "None where there is only one branch",
        )

    def of_branch(self, branch: int) -> "RunConfig":
        """Return the same with the network of one branch alone, where each has its own."""
        return dataclasses.replace(self, network=self.network.of(branch))

    def source_of(self, branch: int) -> int | None:
        """Return the branch whose final weights a branch starts from; None where it starts by itself."""
        return None if branch == self.initial_branch else self.initial_branch

    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Return the bands of every branch."""
        return parse_branches(self.branches, parse_bands(self.split.bands, self.split.stride**2), self.split.stride**2)


def parse_branches(text: str, stored: tuple[int, ...], count: int) -> tuple[tuple[int, ...], ...]:
    """Read the bands of at most 1024 branches, separated by semicolons; `each` is one branch for every stored band."""
    if text == "each":
        return tuple((band,) for band in stored)
    groups = tuple(parse_bands(part.strip(), count) for part in text.split(";"))
    if len(groups) > MAX_BRANCHES:
        raise UsageError(f"branches has {len(groups)} groups; at most {MAX_BRANCHES} are allowed")
    return groups


_LATER = {
    "depth": 16,
    "draft": 0,
    "labels": "",
    "name_column": "",
    "image_column": "",
    "label_column": "",
    "split_column": "",
    "checkpoint_minutes": None,
    "compile": False,
    "keep_logits": "full",
    "class_weights": "",
    "sampling": "each",
    "stop_after": "",
    "patience": 0,
}


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config dataclass as nested plain dictionaries, ready for JSON.

    Options that came later are left out where they are not used: stores and runs that were made before have the same
    digests.
    """
    return dataclasses.asdict(
        config, dict_factory=lambda items: {key: value for key, value in items if _LATER.get(key, ...) != value}
    )
