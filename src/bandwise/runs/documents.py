"""What a finished branch and an evaluated run leave on disk: `summary.json` and `results.json`."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bandwise.errors import CorruptionError
from bandwise.files.documents import read_document, write_document
from bandwise.files.schema import parse, plain
from bandwise.runs.provenance import Environment

SUMMARY_NAME = "summary.json"
RESULTS_FORMAT = "bandwise-results"
RESULTS_VERSION = 1


class Score(NamedTuple):
    """How one score is called in JSON and in tables; an accuracy and an error are fractions of 1."""

    key: str
    name: str
    kind: Literal["accuracy", "nats", "error"]


def _score(name: str, kind: str) -> Any:
    return field(metadata={"name": name, "kind": kind})


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Figures of one classifier on one set, as `evaluation.metrics` computes them; every table has a column of each."""

    n: int
    top1: float = _score("top-1", "accuracy")
    top5: float = _score("top-5", "accuracy")
    nll: float = _score("NLL", "nats")
    """Mean negative log-likelihood."""
    ece: float = _score("ECE", "error")
    """Expected calibration error of the largest probability."""


SCORES = tuple(Score(own.name, **own.metadata) for own in fields(Scores) if own.metadata)


@dataclass(frozen=True, kw_only=True)
class InitialWeights:
    """The weights that a branch has started from: a file, or the last ones of another branch."""

    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a finished branch says of its training."""

    branch: int
    bands: tuple[int, ...]
    epochs: int
    steps: int
    params: int
    n_train: int
    train_loss: float | None
    """Of the last epoch; None if no loss of it was finite."""
    holdout: Scores | None
    """At the end of the training; None without a holdout."""
    wall_s: float
    cpu_s: float | None
    """Processor time of all calls; None where a version that did not measure it took part."""
    images_per_s: float
    peak_bytes: int
    seed: int
    threads: int
    from_scratch: bool
    initial_checkpoint: InitialWeights | None
    versions: dict[str, str]

    @classmethod
    def parse(cls, content: Any, name: object) -> "Summary":
        """Check what was read from the file `name`; a `CorruptionError` names it and the key."""
        try:
            return parse(cls, content, name)
        except CorruptionError as error:
            wrong = f"{error}; it is not the summary of a branch: remove it and run `bandwise train` again"
            raise CorruptionError(wrong) from error

    def to_dict(self) -> dict[str, Any]:
        """Return what the file holds."""
        return plain(self)


@dataclass(frozen=True, kw_only=True)
class WeightsRecord:
    """A fusion by weights of the branches, as `fusion.json` has it too."""

    rule: str
    branches: tuple[int, ...]
    weights: tuple[float, ...]
    temperature: float
    fitted_on: str
    n_holdout: int
    p: float | None


@dataclass(frozen=True, kw_only=True)
class HeadRecord:
    """A fusion head, without its weights."""

    rule: str
    branches: tuple[int, ...]
    sizes: tuple[int, ...]
    classes: int
    hidden: int
    parameters: int
    temperature: float
    epochs: int
    fitted_on: str
    n_train: int
    n_holdout: int
    views: int
    seed: int
    branch_weights: tuple[str, ...]
    """SHA-256 of the weights of every branch."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """The value of one branch: the accuracy that it adds, and the NLL; None where nothing is left without it."""

    branch: int
    top1_gain: float | None
    nll_gain: float | None
    """NLL in nats that the branch takes away; positive is good."""


@dataclass(frozen=True, kw_only=True)
class HeadLeftOut(LeftOut):
    """The value of one branch, and the accuracy without it; results have the latter for a head only."""

    top1: float | None


@dataclass(frozen=True, kw_only=True)
class ScoredWeights(Scores, WeightsRecord):
    """A rule fitted on the holdout, and its scores on the reported set."""


@dataclass(frozen=True, kw_only=True)
class ScoredHead(Scores, HeadRecord):
    """A fusion head and its scores on the reported set."""

    holdout: Scores
    leave_one_out: tuple[HeadLeftOut, ...]
    feature_bytes: int
    """What the branch with most features sends for all splits."""
    feature_bytes_total: int


@dataclass(frozen=True, kw_only=True)
class BranchResult(Scores):
    """One branch: its scores on the reported set, and what it costs."""

    branch: int
    bands: tuple[int, ...]
    seed: int
    from_scratch: bool
    initial_checkpoint: InitialWeights | None
    holdout: Scores | None
    params: int
    buffers: int
    macs: int
    gmacs: float
    activation_bytes_per_image: int
    wall_s: float
    cpu_s: float | None
    epochs: int
    store_bytes: int
    energy: float


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """The images: which, and how many in each split."""

    name: str
    digest: str | None = None
    """Of the store; results of earlier versions lack it."""
    classes: tuple[str, ...]
    n_train: int
    n_holdout: int
    skipped: int


@dataclass(frozen=True, kw_only=True)
class BranchScore:
    """The accuracy of one branch."""

    branch: int
    top1: float
    chosen_on: str | None = None


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What the fusion is compared with."""

    branch_0: BranchScore
    best_branch: BranchScore


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Which reported images were answered rightly, for comparisons image by image."""

    images: str
    """SHA-256 of their ids and labels."""
    right: dict[str, str]
    """For each system, bits as `evaluation.metrics.pack_right` packs them."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Maxima over the branches, and totals."""

    params_per_branch: int
    params_total: int
    macs_per_branch: int
    macs_total: int
    gmacs_per_branch: float
    gmacs_total: float
    activation_bytes_per_image_per_branch: int
    activation_bytes_per_image_total: int
    wall_s_longest: float
    """With a machine for every branch; the branch that the others start from comes before them."""
    wall_s_sum: float
    cpu_s_sum: float | None
    store_bytes_per_branch: int
    store_bytes_total: int


@dataclass(frozen=True, kw_only=True)
class Results:
    """Every figure of an evaluated run."""

    name: str
    data: DataRecord
    crops: int
    n_eval: int
    n_total: int
    chance: float
    branches: tuple[BranchResult, ...]
    fused: Scores
    fusion: WeightsRecord | HeadRecord
    rules: dict[str, ScoredWeights | ScoredHead]
    reference: Reference
    cost: Cost
    environment: Environment
    config: dict[str, Any]
    trained_at: str | None
    views: str | None = None
    leave_one_out: tuple[HeadLeftOut | LeftOut, ...] | None = None
    answers: Answers | None = None

    @classmethod
    def parse(cls, content: Any, name: object) -> "Results":
        """Check what was read from the file `name`; a `CorruptionError` names it and the key."""
        if not isinstance(content, dict) or content.get("format") != RESULTS_FORMAT:
            raise CorruptionError(f"{name} is no result of a run")
        try:
            if content.get("version") != RESULTS_VERSION:
                raise CorruptionError(f"{name} lacks a format that this program reads")
            if not (results := parse(cls, content, name)).branches:
                raise CorruptionError(f"{name} lacks a branch")
        except CorruptionError as error:
            raise CorruptionError(f"{error}; write it again with `bandwise evaluate`") from error
        return results

    def to_dict(self) -> dict[str, Any]:
        """Return what the file holds."""
        return {"format": RESULTS_FORMAT, "version": RESULTS_VERSION, **plain(self)}


def read_summary(folder: Path) -> Summary:
    """Read the `summary.json` that a finished branch leaves; a `CorruptionError` says what is wrong with it."""
    return Summary.parse(read_document(folder / SUMMARY_NAME), folder / SUMMARY_NAME)


def write_summary(folder: Path, summary: Summary) -> None:
    """Write the `summary.json` of a branch, by which it is finished."""
    write_document(folder / SUMMARY_NAME, summary.to_dict())


def read_results(path: Path) -> Results:
    """Read the `results.json` of a run, or a recorded one; a `CorruptionError` says what is wrong with it."""
    return Results.parse(read_document(path), path)


def write_results(path: Path, results: Results) -> None:
    """Write the results of a run."""
    write_document(path, results.to_dict())
