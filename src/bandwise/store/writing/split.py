"""The entry point of splitting: checks the request, takes the lock and runs the conversion."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bandwise.config import SplitConfig
from bandwise.errors import UsageError
from bandwise.files.atomic import require_writable
from bandwise.files.locks import folder_lock
from bandwise.progress import say
from bandwise.sources.samples import freeze_samples
from bandwise.sources.source import Source
from bandwise.store.writing.conversion import Conversion
from bandwise.store.writing.place import require_own_place

_LONGEST_S = 86_400


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
    started = time.monotonic()
    require_own_place(source, out)
    samples = freeze_samples(source, config, allow_empty_class)
    conversion = Conversion(source, config, out, samples)
    if dry_run:
        return conversion.plan()
    require_writable(out)
    with folder_lock(out):
        written = conversion.run(
            workers=workers,
            max_bad=max_bad,
            stop=stop or (lambda: False),
            decode_timeout=decode_timeout,
            allow_empty_class=allow_empty_class,
        )
    summary = conversion.summary(written)
    if written:
        _tell(summary)
    return {**summary, "wall_s": round(time.monotonic() - started, 3)}


def _tell(summary: dict[str, Any]) -> None:
    """Say what a user should know of the pictures, whatever command split them."""
    if bad := summary["bad"]:
        reasons = Counter(sample["reason"] for sample in bad).most_common()
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons)
        name, count, of = summary["worst_class"]
        say(
            f"WARNING: {len(bad)} pictures were skipped, in every band: {listed}; most in class {name!r} ({count} of "
            f"{of}); the manifest names them"
        )
    twice = summary["duplicates"]
    if twice and twice["pictures"]:
        say(
            f"WARNING: {twice['pictures']} pictures stand there more than once, in {twice['sets']} sets of equal "
            f"files; {twice['across_splits']} sets lie across train, holdout and val, {twice['across_classes']} across "
            f"classes; the first have the ids {twice['examples'][0]}. All are kept"
        )
