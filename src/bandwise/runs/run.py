"""The run folder: where every stage leaves its files, and who made them.

    RUN/run.json               resolved configuration, where the store is, provenance
    RUN/store/                 the sub-datasets (or anywhere else, shared by runs with the same split)
    RUN/branch-00/             checkpoints, metrics.jsonl, summary.json
    RUN/logits/<split>/        branch-00.safetensors: ids, labels, logits
    RUN/features/<split>/      branch-00.safetensors, only where a fusion head was asked for
    RUN/fusion.json  RUN/results.json  RUN/report.html  RUN/preview/

Stages talk through these files only.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bandwise.config import RunConfig, to_dict
from bandwise.config.configfile import config_from_dict, differences
from bandwise.errors import BandwiseError, CorruptionError, IncompatibleError, UsageError
from bandwise.files import atomic
from bandwise.files.documents import create_document, read_document, read_json
from bandwise.files.regular import sha256_file
from bandwise.files.schema import plain
from bandwise.progress import say
from bandwise.runs.provenance import environment

RUN_NAME = "run.json"
RUN_FORMAT = "bandwise-run"
RUN_VERSION = 1
_OURS = re.compile(r"store|preview|branch-\d\d+|\..*")
FREE_TRAINING = (
    "threads",
    "device",
    "cache",
    "checkpoint_steps",
    "checkpoint_minutes",
    "keep_checkpoints",
    "loader_workers",
)
"""What may change from one call of a training to the next: no sample, order or draw depends on it."""
_PLACES_HINT = (
    "initial weights that were moved are known again by what the branches here have started from; where none has, "
    "leave a link at their old place (ln -s NEW OLD)"
)


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

    The store is that of the run, or `path/store`, when None; it may lie anywhere, for its digest is what the branches
    know it by. The run has the configuration asked for, which may differ from `run.json` in the fields of
    `FREE_TRAINING`, and in places at which the same lies now, see `_with_places_of`. A run of another configuration,
    which another process may have begun this moment, is an `IncompatibleError` that lists the fields.
    """
    return _make_or_open(path, config, store_path)[0]


@contextmanager
def begun_run(path: Path, config: RunConfig, store_path: Path | None = None) -> Iterator[Run]:
    """Make or open a run as `create_run`; take it away again if the block is refused before anything is trained.

    Otherwise the next try, with a configuration that is possible, would find a run of another one. A run that was there
    before, or that another process has made meanwhile, stays.
    """
    run, is_new = _make_or_open(path, config, store_path)
    try:
        yield run
    except BandwiseError as error:
        if is_new and error.exit_code == UsageError.exit_code and not any(path.glob("branch-*/*")):
            (path / RUN_NAME).unlink(missing_ok=True)
            for folder in (*path.glob("branch-*"), path):
                with suppress(OSError):
                    folder.rmdir()
        raise


def _make_or_open(path: Path, config: RunConfig, store_path: Path | None) -> tuple[Run, bool]:
    """Return the run, and whether this call has made it."""
    marker = path / RUN_NAME
    strangers = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    # Asked for after the listing: the run that another process begins in between is one, whatever was listed of it.
    if marker.exists():
        return _same_run(path, config, store_path), False
    # These may be there before the run itself: by a split into RUN/store, by a run that was refused later, and branches
    # that were trained on another machine.
    if [name for name in strangers if not _OURS.fullmatch(name)]:
        raise UsageError(f"{path} is not empty and is no run of ours (it holds {strangers[:5]}); choose another --out")
    atomic.require_writable(path)
    content = {
        "format": RUN_FORMAT,
        "version": RUN_VERSION,
        "config": to_dict(config),
        "store": None if store_path is None else os.fspath(store_path.resolve()),
        "made_by": plain(environment()),
    }
    if not create_document(marker, content):
        # Another process has begun a run here since the look; it may be of another configuration.
        return _same_run(path, config, store_path), False
    return open_run(path), True


def _same_run(path: Path, config: RunConfig, store_path: Path | None) -> Run:
    marker, run = path / RUN_NAME, open_run(path)
    store = store_path or run.store_path
    free = {name: getattr(config.training, name) for name in FREE_TRAINING}
    like_now = replace(run.config, training=replace(run.config.training, **free))
    like_now = _with_places_of(config, like_now, path, store)
    changed = differences(to_dict(like_now), to_dict(config))
    if changed:
        trained = any(path.glob("branch-*/*"))
        moved = config.network.initial_checkpoint != like_now.network.initial_checkpoint
        raise IncompatibleError(
            f"{path} was made with another configuration:\n  "
            + "\n  ".join(changed)
            + "\nuse the same flags to resume it, or another --out"
            + ("" if trained else "; nothing is trained in it yet, so it may be removed")
            + (f"\n{_PLACES_HINT}" if moved else "")
        )
    if store.resolve() != run.store_path.resolve():
        say(f"note: the store of {path} is {store} in place of {run.store_path}; its digest decides")
    if other := differences(to_dict(run.config), to_dict(like_now)):
        say(f"note: otherwise than in {marker}: {', '.join(other)}; threads and device change the last bits")
    return replace(run, config=config, store_path=store)


def _with_places_of(new: RunConfig, old: RunConfig, run: Path, store: Path) -> RunConfig:
    """Return `old` with the places that `new` names, as far as the same lies there.

    - `data.data`: another way to the same place; or any other place, once the store holds groups. Then `split`, and
      `train` where it reads the images, compare what is there with the store and refuse other images. Likewise
      `data.reported`: a set to report on may be added later.
    - `network.initial_checkpoint`: another way to the same file; or a file of the content that a branch of the run has
      started from. The branches compare it once more.
    """
    if _same_place(old.data.data, new.data.data) or _begun(store):
        old = replace(old, data=replace(old.data, data=new.data.data, reported=new.data.reported))
    before, after = old.network.initial_checkpoint, new.network.initial_checkpoint
    if before and after and (_same_place(before, after) or _started_from(new, run, Path(after).expanduser())):
        old = replace(old, network=replace(old.network, initial_checkpoint=after))
    return old


def _same_place(old: str, new: str) -> bool:
    before, after = Path(old).expanduser(), Path(new).expanduser()
    return old == new or (before.exists() and after.exists() and before.samefile(after))


def _begun(store: Path) -> bool:
    """Say whether a split has finished something; a store of which nothing is finished follows its source."""
    return (store / "MANIFEST.json").exists() or any((store / "commits").glob("*.json"))


def _started_from(config: RunConfig, run: Path, weights: Path) -> bool:
    """Say whether a branch of the run that starts from a file has started from the content of this one."""
    files = [branch for branch in range(len(config.groups())) if config.source_of(branch) is None]
    known = _in_checkpoints(run, files, "initial_checkpoint", "sha256")
    return bool(known) and weights.is_file() and sha256_file(weights) in known


def trained_on(run: Run) -> set[str]:
    """Return the digests of the stores that the branches here were trained on; none where nothing is trained yet."""
    return _in_checkpoints(run.path, range(len(run.groups)), "store", "digest")


def _in_checkpoints(run: Path, branches: Iterable[int], section: str, key: str) -> set[str]:
    """Return what the checkpoints of some branches say, each different value once."""
    found = set()
    for path in (path for branch in branches for path in run.glob(f"branch-{branch:02d}/step-*/state.json")):
        # Whoever goes on from a damaged one, or verifies it, reports it.
        with suppress(CorruptionError, KeyError, TypeError):
            found.add(read_json(path)[section][key])
    return found


def open_run(path: Path, store: Path | None = None) -> Run:
    """Read a run folder, with its store at another place than `run.json` says where `store` is given.

    A `run.json` of a newer version is an `IncompatibleError`.
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
    written = content.get("store")
    if not (written is None or isinstance(written, str)):
        raise CorruptionError(f"{marker} is damaged: the store is {written!r}, which is no path")
    if store is not None:
        return Run(path, config, store.expanduser())
    return Run(path, config, path / "store" if written is None else Path(written))
