"""Fields of a configuration that only say where something lies, which may lie elsewhere by the next call."""

import contextlib
from dataclasses import replace
from pathlib import Path

from bandwise.config import RunConfig
from bandwise.errors import CorruptionError
from bandwise.files.documents import read_json
from bandwise.files.regular import sha256_file

HINT = (
    "initial weights that were moved are known again by what the branches here have started from; where none has, "
    "leave a link at their old place (ln -s NEW OLD)"
)


def with_places_of(new: RunConfig, old: RunConfig, run: Path, store: Path) -> RunConfig:
    """Return the configuration of a run with the places of another one, as far as the same lies there.

    - `data.data`: another way to the same place; or any other place, once the store holds groups. Then `split`, and
      `train` where it reads the images, compare what is there with the store and refuse other images.
    - `network.initial_checkpoint`: another way to the same file; or a file of the content that a branch of the run has
      started from. The branches compare it once more.

    Args:
        new: what is asked for now.
        old: what the run was made by.
        run: the run folder.
        store: the store of the run.
    """
    if _same(old.data.data, new.data.data) or _begun(store):
        old = replace(old, data=replace(old.data, data=new.data.data))
    before, after = old.network.initial_checkpoint, new.network.initial_checkpoint
    if before and after and (_same(before, after) or _started_from(new, run, Path(after).expanduser())):
        old = replace(old, network=replace(old.network, initial_checkpoint=after))
    return old


def _same(old: str, new: str) -> bool:
    before, after = Path(old).expanduser(), Path(new).expanduser()
    return old == new or (before.exists() and after.exists() and before.samefile(after))


def _begun(store: Path) -> bool:
    """Say whether a split has finished something; a store of which nothing is finished follows its source."""
    return (store / "MANIFEST.json").exists() or any((store / "commits").glob("*.json"))


def _started_from(config: RunConfig, run: Path, weights: Path) -> bool:
    """Say whether a branch of the run that starts from a file has started from the content of this one."""
    known = set()
    files = [branch for branch in range(len(config.groups())) if config.source_of(branch) is None]
    for path in (path for branch in files for path in run.glob(f"branch-{branch:02d}/step-*/state.json")):
        # The training reports a damaged one.
        with contextlib.suppress(CorruptionError, KeyError, TypeError):
            known.add(read_json(path)["initial_checkpoint"]["sha256"])
    return bool(known) and weights.is_file() and sha256_file(weights) in known
