"""What was published for one row, as it was printed, and what it claims to save."""

from dataclasses import dataclass
from typing import Literal


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
    """The published figures of one row."""

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
