"""Cases: what the public names of the package give."""

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
from tests.golden import normal
from tests.golden.cases import case
from tests.golden.inputs import CLASSES, pixels
from tests.golden.work import MODES, Work

SERVED = ("plain", "average", "warm", "head", "joint", "float16", "whole", "hadamard", "identity", "connected")


@case("api/names", quick=True)
def api_names(work: Work) -> None:
    """The public names, what they take, and the defaults of a configuration."""
    import bandwise

    rows = {}
    for name in sorted(bandwise.__all__):
        value = getattr(bandwise, name)
        if callable(value):
            taken = inspect.signature(value).parameters.values()
            rows[name] = [f"{each.kind.description} {each.name}={each.default!r}" for each in taken]
            if inspect.isclass(value):
                rows[f"{name}, members"] = sorted(
                    key for key in dir(value) if not key.startswith("_") and key in vars(value)
                )
    work.data("names", rows)
    work.data("defaults", dataclasses.asdict(bandwise.RunConfig()))


@case("api/transforms", quick=True, floats=True)
def api_transforms(work: Work) -> None:
    """Every kind of transform at every stride: its matrix, bands, images again, and the stored values."""
    import torch

    from bandwise import BandSplit, SubbandTransform

    images = pixels(1, 2, 24, 24).transpose(2, 0, 1)[None]
    arrays: dict[str, Any] = {}
    for kind in ("dct1d", "dct2d", "hadamard", "identity", "random", "refft"):
        for stride in (1, 2, 3, 4, 6, 8):
            try:
                transform = SubbandTransform(stride, kind, 3)
            except ValueError as error:
                work.add(f"{kind} {stride}", str(error))
                continue
            bands = transform.forward(images)
            key = f"{kind} {stride}"
            arrays |= {f"{key} matrix": transform.matrix, f"{key} bands": bands}
            arrays[f"{key} torch"] = transform.forward(torch.from_numpy(images).float())
            if transform.invertible:
                arrays[f"{key} again"] = transform.inverse(bands)
            for storage in ("uint8", "float16"):
                arrays[f"{key} {storage}"] = BandSplit(transform, storage=storage)(torch.from_numpy(images))
            arrays[f"{key} unrounded"] = BandSplit(transform, quantized=False)(torch.from_numpy(images))
    work.arrays("arrays", arrays)


@case("api/stores", "stores/dct2d-s2", "stores/float16", "stores/grey", "stores/odd")
def api_stores(work: Work) -> None:
    """Opened stores and their samples."""
    from bandwise import BandDataset, open_store

    for name in ("dct2d-s2", "float16", "grey-webp", "odd"):
        store = open_store(Path(f"stores/{name}"))
        facts = {key: getattr(store, key) for key in ("bands", "digest", "classes", "channels", "side", "record_shape")}
        rows = {split: store.rows(split) for split in ("train", "holdout", "val")}
        work.data(f"{name} facts", {**facts, "rows": rows, "dtype": str(store.dtype)})
        arrays = {"mean": store.mean((0, 1)), "std": store.std((0, 1))}
        for split in ("train", "val"):
            items = list(BandDataset(store, (1, 0), split))
            arrays |= {f"{split} images": np.stack([np.asarray(image) for image, _, _ in items])}
            arrays |= {f"{split} labels, ids": np.array([item[1:] for item in items])}
        work.arrays(f"{name} samples", arrays)


@case("api/networks")
def api_networks(work: Work) -> None:
    """Networks by name: names and shapes of all weights; drawn weights and answers of the small ones."""
    import torch

    from bandwise import create_branch

    sizes = {"num_classes": 5, "in_channels": 3}
    rows: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    stems = ("resnet8", "resnet8-narrow", "resnet8-slim", "resnet10", "resnet18", "resnet34", "resnet50")
    fixed = {
        "alexnet": 224,
        "alexnet-sub4": 112,
        "alexnet-sub16": 56,
        "vgg16": 224,
        "vgg16-sub4": 112,
        "vgg16-sub16": 56,
    }
    wanted = [(name, "dense", 32) for name in stems] + [(name, "stock", 64) for name in stems]
    wanted += [(name, "stock", side) for name, side in {**fixed, "fc4": 14, "fc8": 14, "timm:resnet10t": 32}.items()]
    for name, stem, side in wanted:
        with torch.device("meta"):
            network = create_branch(name, input_size=side, stem=stem, **sizes)
        key = f"{name} {stem} {side}"
        rows[key] = {weight: list(value.shape) for weight, value in network.state_dict().items()}
        if sum(value.numel() for value in network.state_dict().values()) < 6_000_000:
            torch.manual_seed(5)
            network = create_branch(name, input_size=side, stem=stem, **sizes).eval()
            arrays |= {f"{key} {weight}": value for weight, value in network.state_dict().items() if value.ndim > 1}
            with torch.no_grad():
                arrays[f"{key} answers"] = network(torch.linspace(-1, 1, 3 * side * side).reshape(1, 3, side, side))
    work.data("shapes", rows)
    work.arrays("weights", arrays)


def _served_case(run: str) -> None:
    @case(f"served/{run}", f"runs/{run}", quick=run == "average", floats=True)
    def serve(work: Work) -> None:
        import torch

        from bandwise import SpectralEnsemble, predict_paths

        arrays: dict[str, Any] = {}
        for mode in MODES:
            try:
                ensemble = SpectralEnsemble.from_run(f"runs/{run}", mode)
            except Exception as error:
                work.add(mode, f"{type(error).__name__}: {error}")
                continue
            side = ensemble.canvas
            images = np.stack([pixels(index, 5, side, side).transpose(2, 0, 1) for index in range(4)])
            with torch.inference_mode():
                arrays |= {f"{mode} fused": ensemble(torch.from_numpy(images))}
                arrays |= {f"{mode} branches": ensemble.branch_logits(torch.from_numpy(images).float())}
        work.arrays("logits", arrays)
        rows = predict_paths(
            SpectralEnsemble.from_run(f"runs/{run}"), [f"pictures/val/{CLASSES[1]}"], batch_size=4, top=2
        )
        work.data("predicted", [row.to_dict() for row in rows])


for _run in SERVED:
    _served_case(_run)


@case("api/fusion", "runs/average")
def api_fusion(work: Work) -> None:
    """The fusion that a run holds, applied and cut down to some branches."""
    from bandwise import Fusion

    content = json.loads(Path("runs/average/fusion.json").read_text())
    del content[normal.SEAL]
    fusion = Fusion(**{key: tuple(value) if isinstance(value, list) else value for key, value in content.items()})
    random = np.random.default_rng(4)
    logits = random.normal(size=(len(fusion.branches), 7, 3))
    kept = fusion.restrict(
        [branch for branch, weight in zip(fusion.branches, fusion.weights, strict=True) if weight][:2]
    )
    work.data("fusion", {"whole": dataclasses.asdict(fusion), "kept": dataclasses.asdict(kept)})
    work.arrays("applied", {"whole": fusion.apply(logits)})
