"""`bandwise verify RUN`: a run is as it was written, or every file that is not is named and, where asked, mended."""

from pathlib import Path
from typing import Any

from bandwise.errors import CorruptionError, UsageError
from bandwise.launch.check import Findings, check_run
from bandwise.launch.repair import repair_run
from bandwise.runs.run import open_run
from bandwise.sources.source import Source
from bandwise.store.verify import verify_store

_SHOWN = 20


def verify_run(path: Path, *, repair: bool = False, source: Source | None = None) -> dict[str, Any]:
    """Check every file of a run and the store behind it.

    Args:
        path: the run.
        repair: mend what can be mended, see `repair_run`; the store too, where `source` is known or not needed.
        source: the images.

    Returns:
        What was checked and what was repaired, ready for JSON.

    Raises:
        UsageError: no run.
        CorruptionError: something is damaged and was not mended; each file is named, and so is what was mended.
        LockedError: a repair of a branch that is being trained.
    """
    found = check_run(path)
    repaired: list[str] = []
    if repair and (found.problems or found.store_problems):
        if found.store_problems:
            repaired += _repair_store(path, source)
            found = check_run(path)
        repaired += repair_run(path, found, source)
        found = check_run(path)
    if found.problems or found.store_problems:
        raise CorruptionError(_told(path, found, repaired, repair))
    return {"run": str(path), "ok": True, **found.checked, "notes": found.notes, "repaired": repaired}


def _repair_store(path: Path, source: Source | None) -> list[str]:
    store = open_run(path).store_path if (path / "run.json").exists() else path / "store"
    try:
        return [f"{store / name}: repaired" for name in verify_store(store, repair=True, source=source)["repaired"]]
    except (UsageError, CorruptionError) as error:
        return [f"{store}: not repaired: {error}"]


def _told(path: Path, found: Findings, repaired: list[str], repair: bool) -> str:
    problems = found.problems | {f"store/{name}": what for name, what in found.store_problems.items()}
    lines = [f"{name}: {what}" for name, what in sorted(problems.items())]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    said = f"{path}: {len(lines)} files are not as they were written:\n  " + "\n  ".join(lines[:_SHOWN] + more)
    if repaired:
        said += "\nwhat was done:\n  " + "\n  ".join(repaired)
    if not repair:
        return said + "\nrun bandwise verify --repair to mend what can be computed again"
    return said + "\nwhat is named above could not be mended: copy good files there, or make them again"
