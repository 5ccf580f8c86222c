"""One module from pictures to fused logits: crop, split, standardise, one network per branch, fusion."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bandwise.augment.standardise import BandStandardiser, standardise
from bandwise.bands.module import BandSplit
from bandwise.bands.quantize import BandQuantizer
from bandwise.bands.transform import SubbandTransform
from bandwise.checkpoints.branch import TrainedBranch, load_branch
from bandwise.checkpoints.folder import weights_digest
from bandwise.config import SplitConfig, to_dict
from bandwise.config.configfile import differences
from bandwise.errors import IncompatibleError, UsageError
from bandwise.evaluation.views import center_box
from bandwise.files.hub import local_folder
from bandwise.fusion.combination import Fusion
from bandwise.fusion.head import TrainedHead
from bandwise.fusion.saved import fusion_of
from bandwise.models.zoo import as_stored, logits_and_features
from bandwise.runs.run import Run, open_run
from bandwise.serving.modes import Mode, StackedNetworks, Use, check_mode, one_after_the_other, side_by_side
from bandwise.serving.release import is_release, read_release, weighted

_of_thread = threading.local()


class SpectralEnsemble(nn.Module):
    """The trained branches of a run and their fusion.

    Each branch sees the bytes that a store would hold, standardised as in training.
    """

    def __init__(
        self, branches: Sequence[TrainedBranch], fusion: Fusion | TrainedHead, mode: Mode = "sequential"
    ) -> None:
        """Join branches that were trained on one split of one data set.

        Args:
            branches: as many as the fusion has, in its order.
            fusion: their weights and temperature, or a head on their features.
            mode: `sequential` runs one branch after the other, in the memory of one; `concurrent` several at a time,
                with the same bits; `stacked` joins equal networks into one whose layers run once for all branches,
                which pays where a single branch leaves the device idle, and changes the last bits.

        Raises:
            IncompatibleError: the branches differ in split, samples, classes or crop.
            UsageError: another number of branches, an unknown mode, or `stacked` for different networks.
        """
        super().__init__()
        check_mode(mode)
        if len(branches) != len(fusion.branches):
            raise UsageError(f"{len(branches)} branches were given; the fusion has {list(fusion.branches)}")
        first = branches[0]
        for branch in branches[1:]:
            if changed := differences(_data_of(first), _data_of(branch)):
                raise IncompatibleError("the branches were not trained on the same data:\n  " + "\n  ".join(changed))
        self.split_config = replace(first.split, bands="all")
        self.classes, self.channels, self.crop = first.classes, first.channels, first.crop
        self.fusion = fusion
        self._bands = sorted({band for branch in branches for band in branch.bands})
        self._places = [[self._bands.index(band) for band in branch.bands] for branch in branches]
        split = self.split_config
        transform = SubbandTransform(split.stride, split.transform, split.transform_seed)
        self.split = BandSplit(transform, self._bands, storage=split.storage, channels=self.channels)
        # The inputs have their colours innermost; weights laid out alike need no conversion at every call.
        networks = [branch.network.to(memory_format=torch.channels_last) for branch in branches]  # type: ignore[reportCallIssue]
        self.mode: Mode = mode
        self.stacked = StackedNetworks(networks) if mode == "stacked" else None
        # Stacked weights take the place of these: both would be twice the memory.
        self.networks = nn.ModuleList(() if self.stacked else networks)
        for index, branch in enumerate(branches):
            standardiser = BandStandardiser(transform, branch.bands, branch.mean, branch.std)
            stored_as = torch.uint8 if split.storage == "uint8" else torch.float16
            rows = standardiser.rows(stored_as, self.crop // split.stride)
            for name, row in zip(("gain", "bias"), rows, strict=True):
                self.register_buffer(f"{name}_{index}", row)
        self.head = fusion.head if isinstance(fusion, TrainedHead) else None
        if isinstance(fusion, Fusion):
            weights = torch.tensor(fusion.weights, dtype=torch.float64) / fusion.temperature
            self.register_buffer("weights", weights.float())
        self.eval()

    @classmethod
    def from_run(cls, run_path: Path | str, mode: Mode = "sequential") -> "SpectralEnsemble":
        """Load the fused classifier of a run; neither its store nor its data are needed, nor branches of weight 0.

        Raises:
            UsageError: there is no run, nothing is fused, a branch is not trained to its end, or the mode is not
                possible.
            CorruptionError: a file is missing, altered or damaged.
            IncompatibleError: the branches were not trained by this run, or not on the same data.
        """
        check_mode(mode)
        branches, fusion = read_run(open_run(Path(run_path)))
        return cls(branches, fusion, mode)

    @classmethod
    def from_pretrained(cls, source: Path | str, mode: Mode = "sequential") -> "SpectralEnsemble":
        """Load a classifier from a released model, a run, or `hf:OWNER/NAME[@REVISION]` on a hub.

        Only JSON and safetensors are read, and every file is checked against the hash that its model lists.

        Raises:
            UsageError: there is neither at this place or of this name, and what `from_run` raises.
            CorruptionError: a file is missing, altered or damaged, or a link that leaves the folder of the model.
            IncompatibleError: a newer version has written it, and what `from_run` raises.
        """
        check_mode(mode)
        folder = local_folder(source)
        branches, fusion = read_release(folder) if is_release(folder) else read_run(open_run(folder))
        return cls(branches, fusion, mode)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.get_buffer("gain_0").device

    @property
    def canvas(self) -> int:
        """Side in pixels of the pictures it takes."""
        return self.split_config.canvas

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The bands of every branch, in the order of the fusion."""
        return tuple(tuple(self._bands[place] for place in places) for places in self._places)

    def branch_logits(self, images: Tensor) -> Tensor:
        """Return the logits of every branch, float32 (branches, B, K).

        Args:
            images: (B, C, canvas, canvas), uint8, or floating with whole grey levels 0 to 255.
        """
        return torch.stack([logits for (logits,) in self._run(self.inputs(images), _logits)])

    def _run(self, inputs: Iterator[Tensor], use: Use) -> tuple[tuple[Tensor, ...], ...]:
        if self.stacked is not None:
            return self.stacked.run(inputs, use)
        if self.mode == "concurrent":
            return side_by_side(list(self.networks), inputs, use)
        return one_after_the_other(self.networks, inputs, use)

    def inputs(self, images: Tensor) -> Iterator[Tensor]:
        """Yield what every branch sees of `images`, float32 (B, bands * C, crop / stride, crop / stride), in turn."""
        return self._inputs(self.stored(images))

    def _inputs(self, stored: Tensor) -> Iterator[Tensor]:
        return (self.input_of(place, stored) for place in range(len(self._places)))

    def stored(self, images: Tensor) -> Tensor:
        """Return what a store would hold of the crops, (B, bands, C, crop / stride, crop / stride), for `input_of`."""
        side = self.canvas
        if images.ndim != 4 or tuple(images.shape[1:]) != (self.channels, side, side):
            raise ValueError(
                f"images have the shape {tuple(images.shape)}; (batch, {self.channels}, {side}, {side}) is needed: "
                "resize them with bandwise.sources.decoding.decode.to_canvas"
            )
        stride = self.split_config.stride
        # The crop is central in band pixels, so that it starts where a crop of the stored bands does.
        top, left = (stride * edge for edge in center_box(side // stride, self.crop // stride))
        return stored_bands(self.split, images[:, :, top : top + self.crop, left : left + self.crop])

    def input_of(self, place: int, stored: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return what the branch at a place of the fusion sees of `stored`, float32 (rows, bands * C, side, side).

        `rows`, int64, are which pictures; all when None.
        """
        places = self._places[place]
        # One band is taken as a view; with the colours innermost in memory convolutions are faster.
        own = stored[:, places[0]] if len(places) == 1 else stored[:, places].flatten(1, 2)
        own = own if rows is None else own[rows]
        gain, bias = (self.get_buffer(f"{name}_{place}") for name in ("gain", "bias"))
        return standardise(own.permute(0, 2, 3, 1), gain, bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the fused logits, float32 (B, K); their softmax is the calibrated probability of each class."""
        return self.fused_and_branches(self.stored(images))[0]

    def fused_and_branches(self, stored: Tensor, present: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the fused logits, float32 (B, K), and those of every branch, float32 (branches, B, K).

        Args:
            stored: what the method of that name has returned.
            present: float32 (branches,), 0 for a branch that is left out of the fusion and 1 for the others, of which
                there is at least one; all when None.
        """
        if self.head is None:
            logits = torch.stack([own for (own,) in self._run(self._inputs(stored), _logits)])
            weights = self.get_buffer("weights")
            if present is not None:
                # The temperature is in the weights: what stays of them keeps their sum.
                weights = weights * present * (weights.sum() / (weights * present).sum())
            # The product that einsum("n,nbk->bk") makes, at half its price: for a single picture that counts.
            return torch.bmm(weights.view(1, 1, -1), logits.flatten(1)[None]).view(logits.shape[1:]), logits
        pairs = self._run(self._inputs(stored), logits_and_features)
        # Rounded as in the files that the head was trained on, so that it answers as it was scored.
        features = self.head.standardise([as_stored(features) for _, features in pairs])
        if present is not None:
            parts = zip(features.split(self.head.sizes, 1), present.unbind(), strict=True)
            features = torch.cat([own * here for own, here in parts], 1)
        return self.head.classify(features) / self.fusion.temperature, torch.stack([own.float() for own, _ in pairs])


def _logits(network: nn.Module, images: Tensor) -> tuple[Tensor]:
    return (network(images).float(),)


def stored_bands(split: BandSplit, images: Tensor) -> Tensor:
    """Split a batch (B, C, H, W) into bands (B, bands, C, H / stride, W / stride), uint8 or float32.

    Bytes on a CPU go through `BandQuantizer`, which takes a tenth of the time of the convolution that `split` is, and
    gives the same bytes, uint8 with the colours innermost in memory and every band in one piece. Everything else, and
    a graph that is exported, goes through `split`.
    """
    bands, channels = len(split.bands), images.shape[1]
    if split.transform.stride == 1 and images.dtype == torch.uint8:
        return images[:, None]
    plain = images.device.type == "cpu" and images.dtype == torch.uint8 and split.storage == "uint8"
    if not plain or torch.compiler.is_compiling():
        return split(images).unflatten(1, (bands, channels))
    stride = split.transform.stride
    side = images.shape[2] // stride, images.shape[3] // stride
    stored = torch.empty((bands, len(images), *side, channels), dtype=torch.uint8)
    quantizer = _quantizer(split.transform, split.bands)
    for picture, own in zip(images, stored.unbind(1), strict=True):
        # One picture at a time: laid out anew it is still in the cache when it is split.
        quantizer.split(picture.permute(1, 2, 0).contiguous().numpy(), out=own.numpy())
    return stored.permute(1, 0, 4, 2, 3)


def _quantizer(transform: SubbandTransform, bands: Sequence[int]) -> BandQuantizer:
    """Return the quantizer of this thread: it has buffers of its own, and two threads may use one ensemble."""
    key = transform, tuple(bands)
    held: tuple[object, BandQuantizer] | None = getattr(_of_thread, "held", None)
    if held is None or held[0] != key:
        held = _of_thread.held = key, BandQuantizer(transform, bands)
    return held[1]


def read_run(run: Run) -> tuple[list[TrainedBranch], Fusion | TrainedHead]:
    """Load the branches of a run that count in its fusion, on the CPU, and the fusion of them."""
    fusion = weighted(fusion_of(run))
    branches = [load_branch(run.branch_folder(branch)) for branch in fusion.branches]
    for number, branch in zip(fusion.branches, branches, strict=True):
        _require_run(run, number, branch)
    if isinstance(fusion, TrainedHead):
        _require_weights(run, fusion)
    return branches, fusion


def _require_weights(run: Run, head: TrainedHead) -> None:
    for branch, digest in zip(head.branches, head.weights, strict=True):
        if weights_digest(run.branch_folder(branch)) != digest:
            raise IncompatibleError(
                f"the fusion head of {run.path} was trained on other weights of branch {branch}; run `bandwise fuse "
                f"{run.path} --fusion head` again"
            )


def _require_run(run: Run, number: int, branch: TrainedBranch) -> None:
    """Refuse a branch folder that was copied from another experiment."""
    sections = branch.state["config"]
    wanted = _binding(run.config.split) | {"bands": list(run.groups[number]), "crop": run.config.training.crop}
    wanted |= {"seed": run.config.training.seed, "network": to_dict(run.config.of_branch(number).network)}
    given = _binding(branch.split) | {"bands": list(branch.bands), "crop": branch.crop}
    given |= {"seed": sections["training"].get("seed"), "network": sections["network"]}
    if changed := differences(wanted, given):
        raise IncompatibleError(
            f"{run.branch_folder(number)} does not belong to the run {run.path}:\n  " + "\n  ".join(changed)
        )


def _data_of(branch: TrainedBranch) -> dict[str, Any]:
    facts = {"crop": branch.crop, "digest": branch.digest, "classes": branch.classes, "channels": branch.channels}
    return _binding(branch.split) | facts


def _binding(split: SplitConfig) -> dict[str, Any]:
    """Return what of a split decides the bytes of a band; which bands and files there are does not."""
    return {key: value for key, value in to_dict(split).items() if key not in ("bands", "group_size")}
