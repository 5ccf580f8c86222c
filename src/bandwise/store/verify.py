"""`bandwise verify`: a store is as it was written, or every file that is not is named and, where asked, repaired."""

from pathlib import Path
from typing import Any

from bandwise.errors import CorruptionError, UsageError
from bandwise.sources.source import Source
from bandwise.store.checks import FOREIGN, find_problems, unlisted_files
from bandwise.store.layout import SPLITS
from bandwise.store.reading.store import open_store
from bandwise.store.repair import repair_store
from bandwise.store.restore import restore_documents

_SHOWN = 20


def verify_store(path: Path, *, repair: bool = False, source: Source | None = None) -> dict[str, Any]:
    """Compare every byte of a store with its hashes, every row with the sample list, the manifest with its parts.

    Args:
        path: the store.
        repair: write broken documents again from the others, and compute broken groups again from the images.
        source: the images; not needed where only STORE.json, README.md or MANIFEST.json is damaged.

    Returns:
        What was checked and what was repaired, ready for JSON.

    Raises:
        UsageError: no store, or a repair that needs the images and does not know them.
        CorruptionError: something is damaged, missing or foreign; each file is named.
        IncompatibleError: a repair with another source, or with other library versions, than those of the store.
    """
    problems = find_problems(path)
    repaired: list[str] = []
    if repair and (broken := _broken(problems)):
        repaired = sorted(broken)
        restore_documents(path, broken)
        problems = find_problems(path)
        if broken := _broken(problems):
            if source is None:
                raise UsageError(
                    f"{path}: {', '.join(sorted(broken)[:_SHOWN])} can only be made again from the images that "
                    "the store was made from: say where they are with --data"
                )
            repair_store(path, source, broken)
            problems = find_problems(path)
    if problems:
        lines = [f"{name}: {what}" for name, what in sorted(problems.items())]
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        raise CorruptionError(
            f"{path}: {len(lines)} files are not as they were written:\n  " + "\n  ".join(lines[:_SHOWN] + more) + "\n"
            "run bandwise verify --repair to compute broken files again; move foreign files away"
        )
    store = open_store(path)
    files = store.manifest["files"]
    return {
        "store": str(path),
        "ok": True,
        "bands": list(store.bands),
        **{split: store.rows(split) for split in SPLITS},
        "files": len(files),
        "bytes": sum(facts["bytes"] for facts in files.values()),
        "unfinished": unlisted_files(path)[1],
        "repaired": repaired,
    }


def _broken(problems: dict[str, str]) -> frozenset[str]:
    return frozenset(name for name, what in problems.items() if what != FOREIGN)
