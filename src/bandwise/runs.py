"""The run folder: where every stage leaves its files, and who made them.

    RUN/run.json               resolved configuration, where the store is, provenance
    RUN/store/                 the sub-datasets (or anywhere else, shared by runs with the same split)
    RUN/branch-00/             checkpoints, metrics.jsonl, summary.json
    RUN/logits/<split>/        branch-00.safetensors: ids, labels, logits
    RUN/fusion.json  RUN/results.json  RUN/report.html  RUN/preview/

Stages talk through these files only.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bandwise import atomic
from bandwise.config import RunConfig, to_dict
from bandwise.configfile import config_from_dict, differences
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.provenance import environment
from bandwise.sealing import read_document, write_document
from bandwise.tensorfile import read_tensor_file

RUN_NAME = "run.json"
RUN_FORMAT = "bandwise-run"
RUN_VERSION = 1
_META_KEY = "bandwise"
_HASH_KEY = "sha256"


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder that exists; make one with `create_run`, read one with `open_run`."""

    path: Path
    config: RunConfig
    store_path: Path

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The bands of every branch."""
        return self.config.groups()

    def branch_folder(self, branch: int) -> Path:
        """Return the folder of one branch, `branch-00` and so on."""
        return self.path / f"branch-{branch:02d}"

    def logits_path(self, split: str, branch: int, crops: int = 1) -> Path:
        """Return the file of the logits of one branch; ten-crop logits never share a folder with single-crop ones."""
        folder = split if crops == 1 else f"{split}-{crops}crop"
        return self.path / "logits" / folder / f"branch-{branch:02d}.safetensors"

    def fusion_path(self, crops: int = 1) -> Path:
        """Return the file of the fitted fusion."""
        return self.path / ("fusion.json" if crops == 1 else f"fusion-{crops}crop.json")

    def results_path(self, crops: int = 1) -> Path:
        """Return the file of the results."""
        return self.path / ("results.json" if crops == 1 else f"results-{crops}crop.json")

    def features_path(self, split: str, branch: int) -> Path:
        """Return the file of the features of one branch, which only a fusion head needs."""
        return self.path / "features" / split / f"branch-{branch:02d}.safetensors"

    @property
    def head_logits_path(self) -> Path:
        """The answers of a fusion head to the reported set, at temperature 1; a logits file."""
        return self.path / "features" / "val" / "fused.safetensors"

    @property
    def preview_folder(self) -> Path:
        """The pictures of some samples and their bands, for the report."""
        return self.path / "preview"


def create_run(path: Path, config: RunConfig, store_path: Path | None = None) -> Run:
    """Make a run folder, or open the one that is there if it was made by the same configuration.

    Args:
        path: the run folder; must be absent, empty, or a run.
        config: the resolved configuration.
        store_path: a store shared with other runs; `path/store` when None.

    Raises:
        UsageError: the folder holds something else.
        IncompatibleError: the folder is a run of another configuration; the message lists the fields that differ.
    """
    marker = path / RUN_NAME
    if marker.exists():
        run = open_run(path)
        changed = differences(to_dict(run.config), to_dict(config))
        if changed:
            trained = any(path.glob("branch-*/*"))
            raise IncompatibleError(
                f"{path} was made with another configuration:\n  "
                + "\n  ".join(changed)
                + "\nuse the same flags to resume it, or another --out"
                + ("" if trained else "; nothing is trained in it yet, so it may be removed")
            )
        if store_path is not None and store_path.resolve() != run.store_path.resolve():
            raise IncompatibleError(f"{path} uses the store {run.store_path}, not {store_path}; choose another --out")
        return run
    strangers = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    # A store may be split into RUN/store before the run itself exists.
    if [name for name in strangers if name != "store" and not name.startswith(".")]:
        raise UsageError(f"{path} is not empty and is no run of ours (it holds {strangers[:5]}); choose another --out")
    atomic.require_writable(path)
    write_document(
        marker,
        {
            "format": RUN_FORMAT,
            "version": RUN_VERSION,
            "config": to_dict(config),
            "store": None if store_path is None else os.fspath(store_path.resolve()),
            "made_by": environment(),
        },
    )
    return open_run(path)


def open_run(path: Path) -> Run:
    """Read a run folder.

    Raises:
        UsageError: there is no run at `path`.
        CorruptionError: `run.json` is damaged.
        IncompatibleError: it was written by a newer version.
    """
    marker = path / RUN_NAME
    if not marker.exists():
        raise UsageError(f"{path} is no run (it has no run.json); make one with `bandwise run RECIPE --out {path}`")
    content = read_document(marker)
    if content.get("format") != RUN_FORMAT or "config" not in content:
        raise CorruptionError(f"{marker} is not the description of a run")
    if content.get("version") != RUN_VERSION:
        raise IncompatibleError(f"{marker} has version {content.get('version')!r}; this program reads {RUN_VERSION}")
    try:
        config = config_from_dict(content["config"])
    except UsageError as error:
        raise CorruptionError(f"{marker} does not hold a valid configuration: {error}") from error
    store = content.get("store")
    if not (store is None or isinstance(store, str)):
        raise CorruptionError(f"{marker} is damaged: the store is {store!r}, which is no path")
    return Run(path=path, config=config, store_path=path / "store" if store is None else Path(store))


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the `summary.json` that a finished branch leaves in its folder.

    Raises:
        CorruptionError: it is missing or damaged.
    """
    path = folder / "summary.json"
    content = read_document(path)
    kinds = {"branch": int, "bands": list, "epochs": int, "wall_s": float}
    if any(not isinstance(content.get(key), kinds[key]) for key in kinds):
        raise CorruptionError(f"{path} is not the summary of a branch; remove it and run `bandwise train` again")
    return content


@dataclass(frozen=True, slots=True)
class LogitsFile:
    """The predictions of one branch on one split, in the order of the sample ids."""

    ids: np.ndarray
    """(N,) int64, increasing."""
    labels: np.ndarray
    """(N,) int64."""
    logits: np.ndarray
    """(N, K) float32."""
    meta: dict[str, str]
    """What they belong to: branch, split, crops, store digest, class list hash."""


def write_logits(path: Path, content: LogitsFile) -> None:
    """Write the logits of one branch atomically.

    Raises:
        NoSpaceError: the disk is full.
    """
    from safetensors.numpy import save

    assert content.ids.shape == content.labels.shape == content.logits.shape[:1]
    arrays = {"ids": content.ids, "labels": content.labels, "logits": content.logits}
    path.parent.mkdir(parents=True, exist_ok=True)
    # safetensors writes several metadata keys in an order that changes from process to process; one key has one order.
    meta = {_META_KEY: json.dumps({**content.meta, _HASH_KEY: _hash(content)}, sort_keys=True)}
    atomic.write_bytes(path, save({key: np.ascontiguousarray(value) for key, value in arrays.items()}, meta))


def read_logits(path: Path) -> LogitsFile:
    """Read the logits of one branch.

    Raises:
        CorruptionError: the file is missing, damaged, has other arrays, repeats an id, or holds a non-finite logit.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not path.exists():
        raise CorruptionError(f"{path} is missing; run `bandwise evaluate` to write it")
    content = read_tensor_file(path)
    meta = _meta(path, content)
    try:
        arrays = load(content)
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise CorruptionError(f"{path} is damaged: {error}") from error
    if set(arrays) != {"ids", "labels", "logits"}:
        raise CorruptionError(f"{path} holds {sorted(arrays)}; expected ids, labels and logits")
    ids, labels, logits = arrays["ids"], arrays["labels"], arrays["logits"]
    if logits.ndim != 2 or ids.shape != labels.shape or ids.shape != logits.shape[:1]:
        raise CorruptionError(f"{path}: shapes {ids.shape}, {labels.shape}, {logits.shape} do not belong together")
    found = LogitsFile(
        ids=ids, labels=labels, logits=logits, meta={key: value for key, value in meta.items() if key != _HASH_KEY}
    )
    if meta.get(_HASH_KEY) != _hash(found):
        raise CorruptionError(
            f"{path} is altered: its SHA-256 is not the one that was written; remove it to predict again"
        )
    if not np.isfinite(logits).all():
        raise CorruptionError(f"{path} holds logits that are not finite")
    if (np.diff(ids) <= 0).any():
        raise CorruptionError(f"{path}: the sample ids do not increase")
    return found


def read_logits_meta(path: Path) -> dict[str, str]:
    """Return what a logits file says of itself; the logits are not checked.

    Raises:
        CorruptionError: the file is missing, or its header is damaged.
    """
    return _meta(path, read_tensor_file(path))


def _hash(content: LogitsFile) -> str:
    arrays = [np.ascontiguousarray(array) for array in (content.ids, content.labels, content.logits)]
    facts = [[array.dtype.str, list(array.shape)] for array in arrays]
    head = json.dumps([content.meta, facts], sort_keys=True).encode("ascii")
    return atomic.sha256_bytes(b"".join([head, *(array.tobytes() for array in arrays)]))


def _meta(path: Path, content: bytes) -> dict[str, str]:
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    text = header.get("__metadata__", {}).get(_META_KEY) if isinstance(header, dict) else None
    if text is None:
        raise CorruptionError(f"{path} is not a logits file of this version; remove it, and `bandwise fuse` writes it")
    meta = atomic.parse_json(text.encode("utf-8"), path)
    if not (isinstance(meta, dict) and all(isinstance(value, str) for value in meta.values())):
        raise CorruptionError(f"{path} is damaged: what it says of itself is no mapping of texts")
    return meta
