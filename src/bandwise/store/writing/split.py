"""The entry point of splitting: checks the request and the folder, takes the lock and runs the conversion."""

import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bandwise.config import SplitConfig
from bandwise.errors import UsageError
from bandwise.files.atomic import require_writable
from bandwise.files.locks import LOCK_NAME, folder_lock
from bandwise.progress import say
from bandwise.sources.decoding.decode import FEW_BITS, UNIFORM
from bandwise.sources.samples import SampleList, freeze_samples
from bandwise.sources.source import Source
from bandwise.store.layout import SPLITS, STORE_NAME
from bandwise.store.writing.conversion import Conversion, Options

_LONGEST_S = 86_400
_WITHOUT_CONTENT = {
    UNIFORM: "look at some of them: icons on a transparent ground may need another --background",
    FEW_BITS: "give --depth 12, or what they use",
}
_OWN_LEFTOVER = re.compile(r"\.tmp-(clock|probe|STORE\.json)\.\d+\.[0-9a-f]{8}")


def split_dataset(
    source: Source,
    config: SplitConfig,
    out: Path,
    *,
    workers: int = 1,
    max_bad: int | None = None,
    allow_empty_class: bool = False,
    dry_run: bool = False,
    stop: Callable[[], bool] | None = None,
    decode_timeout: float = 0.0,
    share: tuple[int, int] | None = None,
    found: Callable[[SampleList], None] | None = None,
) -> dict[str, Any]:
    """Write a store, finish one that was interrupted, or add bands to one.

    Args:
        source: the images.
        config: how to split them; `config.bands` says which bands to write.
        out: folder of the store; new, empty, or a store of the same split.
        workers: processes; the bytes do not depend on it.
        max_bad: unreadable images allowed; by default 100 or one in ten thousand, whichever is more.
        allow_empty_class: accept a class without images.
        dry_run: only say what would be written.
        stop: asked often; when it says true, the work stops with everything finished kept.
        decode_timeout: seconds for the decoding of one picture, which is then skipped; a decoder that crashes skips its
            picture too. 0 sets no limit, and one worker then works in this process.
        share: write only the groups of one share, such as (2, 8), the second of eight, and no manifest; with the files
            of all shares in one folder another call without it makes the store.
        found: called with the sample list before the first picture is decoded.

    Returns:
        What was done, ready for JSON.

    Raises:
        UsageError: the options or the folders cannot be used.
        TooManyBadInputs: more unreadable images than allowed; finished groups are kept.
        LockedError: another process writes to `out`.
        NoSpaceError: the disk is full; finished groups are kept.
        IncompatibleError: `out` holds another split, or the source has changed.
        Preempted: `stop` said true.
    """
    if workers < 1:
        raise UsageError(f"workers is {workers}; it must be at least 1")
    if max_bad is not None and max_bad < 0:
        raise UsageError(f"max_bad is {max_bad}; it must be at least 0")
    if not 0 <= decode_timeout <= _LONGEST_S:
        raise UsageError(f"decode_timeout is {decode_timeout:g} s; it must be at least 0 and at most {_LONGEST_S}")
    if config.codec == "webp" and source.channels not in (1, 3):
        raise UsageError(f"--codec webp holds 1 or 3 channels and {source.name} has {source.channels}; use zstd")
    started = time.monotonic()
    require_store_folder(source, out)
    samples = freeze_samples(source, config, allow_empty_class)
    if found is not None:
        found(samples)
    conversion = Conversion(source, config, out, samples)
    options = Options(
        workers=workers,
        max_bad=max_bad,
        stop=stop or (lambda: False),
        decode_timeout=decode_timeout,
        allow_empty_class=allow_empty_class,
        share=share,
    )
    if dry_run:
        return conversion.plan(share)
    require_writable(out)
    with folder_lock(out):
        written = conversion.run(options)
    summary = conversion.summary(written) if share is None else conversion.summary_of_share(written, share)
    if written and share is None:
        _report(summary)
    return {**summary, "wall_s": round(time.monotonic() - started, 3)}


def _report(summary: dict[str, Any]) -> None:
    """Warn of skipped and of duplicate pictures, whatever command split them."""
    if bad := summary["bad"]:
        reasons = Counter(sample["reason"] for sample in bad).most_common()
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons)
        name, count, of = summary["worst_class"]
        say(
            f"WARNING: {len(bad)} pictures were skipped, in every band: {listed}; most in class {name!r} ({count} of "
            f"{of}); the manifest names them"
        )
    pictures = sum(summary[split] for split in SPLITS)
    for note, remedy in _WITHOUT_CONTENT.items():
        if 2 * (count := summary["notes"].get(note, 0)) > pictures:
            say(f"WARNING: {count} of {pictures} pictures have {note}; {remedy}")
    duplicates = summary["duplicates"]
    if duplicates and duplicates["pictures"]:
        pictures, sets = duplicates["pictures"], duplicates["sets"]
        say(
            f"WARNING: {pictures} pictures stand there more than once, in {sets} sets of equal files; "
            f"{duplicates['across_splits']} sets lie across train, holdout and val, {duplicates['across_classes']} "
            f"across classes; the first have the ids {duplicates['examples'][0]}. All are kept"
        )


def require_store_folder(source: Source, out: Path) -> None:
    """Check that `out` may become, or is, the folder of a store."""
    require_apart(source, out)
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{out} is not a folder; choose another output folder")
    foreign = sorted(
        path.name for path in out.iterdir() if path.name != LOCK_NAME and not _OWN_LEFTOVER.fullmatch(path.name)
    )
    # Asked for after the listing: the store that another process begins in between is one, whatever was listed of it.
    if (out / STORE_NAME).is_file():
        return
    if foreign:
        shown = ", ".join(foreign[:5]) + (", ..." if len(foreign) > 5 else "")
        raise UsageError(f"{out} is not empty and not a store (it holds {shown}); choose another output folder")


def require_apart(source: Source, out: Path) -> None:
    """Check that `out` neither lies in the folder of the source nor holds it."""
    root = source.root
    if root is None:
        return
    here, there = out.resolve(), root.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise UsageError(
            f"the output {out} and the images in {root} overlap; choose an output folder outside the source"
        )
