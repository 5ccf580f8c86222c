"""Writes a released model, see `serving.release`: a folder that is complete or absent."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandwise.checkpoints.tensors import to_bytes
from bandwise.config import to_dict
from bandwise.errors import UsageError
from bandwise.export.card import model_card, require_evaluable
from bandwise.export.graph import preprocessing
from bandwise.export.place import commit_export
from bandwise.files.documents import json_bytes, seal
from bandwise.files.regular import facts_of, read_bytes
from bandwise.files.schema import plain
from bandwise.fusion.head import TrainedHead
from bandwise.fusion.saved import HEAD_NAME
from bandwise.report.view import EvaluatedRun, RunView, read_view
from bandwise.runs.documents import Results
from bandwise.runs.run import Run
from bandwise.serving.ensemble import SpectralEnsemble, read_run
from bandwise.serving.release import (
    CONTROLS,
    FUSION_NAME,
    RELEASE_NAME,
    RESULTS_NAME,
    WEIGHTS_NAME,
    Release,
    ReleasedBranch,
    tensor_prefix,
)

CARD_NAME = "README.md"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was written."""

    path: Path
    bytes: int
    """Of all files."""
    files: tuple[str, ...]


def write_bundle(run: Run, out: Path, controls: Sequence[Path] = (), licence: str | None = None) -> Bundle:
    """Write a run as a released model to the folder `out`, which must not exist or be empty.

    It has the bytes that the run decides: no time, no machine, and no path of this one. `controls` are runs that it is
    compared with in its card; `licence` is that of the weights, for the card.
    """
    content = bundle_files(run, ".", controls, licence)
    commit_export(out, content)
    return Bundle(out, sum(map(len, content.values())), tuple(content))


def bundle_files(run: Run, place: str, controls: Sequence[Path] = (), licence: str | None = None) -> dict[str, bytes]:
    """Return the files of a released model by name, in the order to write them; `place` is where its card reads it."""
    branches, fusion = read_run(run)
    ensemble = SpectralEnsemble(branches, fusion)
    view, others = read_view(run.path), [read_view(path) for path in controls]
    require_evaluable([view, *others])
    tensors = {
        f"{tensor_prefix(number)}{name}": value
        for number, branch in zip(fusion.branches, branches, strict=True)
        for name, value in branch.network.state_dict().items()
    }
    content = {WEIGHTS_NAME: to_bytes(tensors), FUSION_NAME: read_bytes(run.fusion_path())}
    if isinstance(fusion, TrainedHead):
        content[HEAD_NAME] = read_bytes(run.fusion_path().with_name(HEAD_NAME))
    content |= _results(view, others)
    first = branches[0]
    release = Release(
        name=run.config.name,
        classes=first.classes,
        channels=first.channels,
        crop=first.crop,
        digest=first.digest,
        split=to_dict(ensemble.split_config),
        # Where a file of initial weights lay is no business of those who use what came of it.
        network={**to_dict(run.config.network), "model": _models(run, fusion.branches), "initial_checkpoint": ""},
        branches=tuple(
            ReleasedBranch(branch=number, bands=branch.bands, mean=_rows(branch.mean), std=_rows(branch.std))
            for number, branch in zip(fusion.branches, branches, strict=True)
        ),
        files={name: facts_of(content[name]) for name in sorted(content)},
    )
    content[CARD_NAME] = model_card(view, others, ensemble, place, licence).encode()
    # Last: a folder without it is no model.
    content[RELEASE_NAME] = json_bytes(seal({**plain(release), "preprocessing": preprocessing(ensemble)}))
    return content


def _models(run: Run, branches: Sequence[int]) -> str:
    """Return the network of the branches, or that of each where they differ."""
    models = [run.config.network.of(branch).model for branch in branches]
    return models[0] if len(set(models)) == 1 else ";".join(models)


def _rows(values: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, values.tolist()))


def _results(view: RunView, controls: Sequence[RunView]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    if isinstance(view, EvaluatedRun):
        found[RESULTS_NAME] = _without_places(view.results)
    for control in controls:
        if not isinstance(control, EvaluatedRun):
            raise UsageError(f"{control.path} has no results to compare with; run `bandwise evaluate {control.path}`")
        name = "".join(sign if sign.isascii() and (sign.isalnum() or sign in "-_") else "-" for sign in control.name)
        path = f"{CONTROLS}/{name}.json"
        if path in found:
            raise UsageError(f"two controls are called {control.name!r}; give one of them")
        found[path] = _without_places(control.results)
    return found


def _without_places(results: Results) -> bytes:
    """Return results as a file without paths of this machine: of each, its last part."""
    content: dict[str, Any] = copy.deepcopy(results.to_dict())
    places = ("data", "data"), ("data", "labels"), ("network", "initial_checkpoint"), ("training", "class_weights")
    for section, key in places:
        if place := content["config"].get(section, {}).get(key):
            named = place.startswith(("timm:", "hf:"))
            content["config"][section][key] = place if named else Path(place).name
    return json_bytes(seal(content))
