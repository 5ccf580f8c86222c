"""Where a store may be written: never over the source, never into a folder that is not ours."""

import re
from pathlib import Path

from bandwise.errors import UsageError
from bandwise.files.locks import LOCK_NAME
from bandwise.sources.source import Source
from bandwise.store.layout import STORE_NAME

_OWN_LEFTOVER = re.compile(r"\.tmp-(clock|probe|STORE\.json)\.\d+\.[0-9a-f]{8}")


def require_own_place(source: Source, out: Path) -> None:
    """Check that `out` may become, or is, the folder of a store.

    Raises:
        UsageError: `out` is a file, overlaps the folder of the source, or holds files that are not ours.
    """
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
    """Check that `out` neither lies in the folder of the source nor holds it.

    Raises:
        UsageError: they overlap.
    """
    root: Path | None = getattr(source, "root", None)
    if root is None:
        return
    here, there = out.resolve(), root.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise UsageError(
            f"the output {out} and the images in {root} overlap; choose an output folder outside the source"
        )
