"""The run folder: where every stage leaves its files, and who made them.

    RUN/run.json               resolved configuration, where the store is, provenance
    RUN/store/                 the sub-datasets (or anywhere else, shared by runs with the same split)
    RUN/branch-00/             checkpoints, metrics.jsonl, summary.json
    RUN/logits/<split>/        branch-00.safetensors: ids, labels, logits
    RUN/fusion.json  RUN/results.json  RUN/report.html  RUN/preview/

Stages talk through these files only.
"""

import importlib.metadata
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bandwise import atomic
from bandwise.config import RunConfig, to_dict
from bandwise.configfile import config_from_dict, differences
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.version import __version__

RUN_FORMAT = "bandwise-run"
RUN_VERSION = 1
_META_KEY = "bandwise"
_HASH_KEY = "sha256"
_PACKAGES = ("torch", "timm", "lightning-fabric", "torchmetrics", "numpy", "pyarrow", "pillow", "safetensors")


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
    marker = path / "run.json"
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
    atomic.write_json(
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
    marker = path / "run.json"
    if not marker.exists():
        raise UsageError(f"{path} is no run (it has no run.json); make one with `bandwise run RECIPE --out {path}`")
    content = atomic.read_json(marker)
    if not isinstance(content, dict) or content.get("format") != RUN_FORMAT or "config" not in content:
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


def environment() -> dict[str, Any]:
    """Say what a number was made with: versions of the libraries, the machine, and the commit of our source."""
    return {
        "versions": {"bandwise": __version__, "python": platform.python_version(), **_installed(_PACKAGES)},
        "hardware": {
            "machine": platform.machine(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "accelerator": _accelerator(),
        },
        "commit": _commit(),
    }


def _installed(packages: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _accelerator() -> str | None:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def _commit() -> str | None:
    """Return the commit of the checkout that holds this file, with `+` when it has uncommitted changes."""
    here = Path(__file__).resolve().parent
    try:
        # The ceiling keeps an installed package from reporting the commit of a project that merely surrounds it.
        ceiling = {**os.environ, "GIT_CEILING_DIRECTORIES": os.fspath(here.parents[2])}
        command = ["git", "-C", os.fspath(here)]
        head = subprocess.run([*command, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, env=ceiling)
        dirty = subprocess.run(
            [*command, "status", "--porcelain", "--", "."], capture_output=True, text=True, check=True, env=ceiling
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the `summary.json` that a finished branch leaves in its folder.

    Raises:
        CorruptionError: it is missing or damaged.
    """
    path = folder / "summary.json"
    content = atomic.read_json(path)
    kinds = {"branch": int, "bands": list, "epochs": int, "wall_s": float}
    if not isinstance(content, dict) or any(not isinstance(content.get(key), kinds[key]) for key in kinds):
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
    facts = {**content.meta, _HASH_KEY: _hash(content.ids, content.labels, content.logits)}
    meta = {_META_KEY: json.dumps(facts, sort_keys=True)}
    atomic.write_bytes(path, save({key: np.ascontiguousarray(value) for key, value in arrays.items()}, meta))


def read_logits(path: Path) -> LogitsFile:
    """Read the logits of one branch.

    Raises:
        CorruptionError: the file is missing, damaged, has other arrays, repeats an id, or holds a non-finite logit.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as stream:
            meta = _meta(path, stream.metadata() or {})
            arrays = {key: stream.get_tensor(key) for key in stream.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise CorruptionError(f"{path} is missing; run `bandwise evaluate` to write it") from error
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise CorruptionError(f"{path} is damaged: {error}") from error
    if set(arrays) != {"ids", "labels", "logits"}:
        raise CorruptionError(f"{path} holds {sorted(arrays)}; expected ids, labels and logits")
    ids, labels, logits = arrays["ids"], arrays["labels"], arrays["logits"]
    if logits.ndim != 2 or ids.shape != labels.shape or ids.shape != logits.shape[:1]:
        raise CorruptionError(f"{path}: shapes {ids.shape}, {labels.shape}, {logits.shape} do not belong together")
    if meta.pop(_HASH_KEY, None) != _hash(ids, labels, logits):
        raise CorruptionError(
            f"{path} is altered: its SHA-256 is not the one that was written; remove it to predict again"
        )
    if not np.isfinite(logits).all():
        raise CorruptionError(f"{path} holds logits that are not finite")
    if (np.diff(ids) <= 0).any():
        raise CorruptionError(f"{path}: the sample ids do not increase")
    return LogitsFile(ids=ids, labels=labels, logits=logits, meta=meta)


def read_logits_meta(path: Path) -> dict[str, str]:
    """Return what a logits file says of itself, without reading the logits.

    Raises:
        CorruptionError: as `read_logits`.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as stream:
            return _meta(path, stream.metadata() or {})
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise CorruptionError(f"{path} is damaged: {error}") from error


def _hash(ids: np.ndarray, labels: np.ndarray, logits: np.ndarray) -> str:
    return atomic.sha256_bytes(b"".join(np.ascontiguousarray(array).tobytes() for array in (ids, labels, logits)))


def _meta(path: Path, metadata: dict[str, str]) -> dict[str, str]:
    if _META_KEY not in metadata:
        raise CorruptionError(f"{path} is not a logits file of this version; remove it, and `bandwise fuse` writes it")
    meta = json.loads(metadata[_META_KEY])
    if not (isinstance(meta, dict) and all(isinstance(value, str) for value in meta.values())):
        raise CorruptionError(f"{path} is damaged: what it says of itself is no mapping of texts")
    return meta
