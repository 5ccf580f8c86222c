"""`bandwise verify RUN`: a run is as it was written, or every file that is not is named and, where asked, mended."""

from pathlib import Path
from typing import Any

from bandwise.errors import BandwiseError, CorruptionError, UsageError
from bandwise.launch.check import Findings, check_run, store_of
from bandwise.launch.repair import repair_run
from bandwise.runs.run import RUN_NAME
from bandwise.sources.source import Source
from bandwise.store.verify import SoundFiles, find_problems, verify_store

_SHOWN = 20


def verify_run(path: Path, *, repair: bool = False, source: Source | None = None) -> dict[str, Any]:
    """Check every file of a run and the store behind it.

    A repair reads every file of the store once, and what it writes once more; the files of the run are read again only
    if some were mended.

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
    if not (path / RUN_NAME).exists():
        raise UsageError(f"{path} is no run (it has no {RUN_NAME})")
    # The store first: what was computed from it is compared with it.
    sound = SoundFiles()
    repaired = _repair_store(store_of(path), source, sound) if repair else []
    found = check_run(path, sound)
    if repair and found.problems:
        repaired += repair_run(path, found, source)
        found = check_run(path, sound)
    if found.problems or found.store_problems:
        raise CorruptionError(_report(path, found, repaired, repair))
    return {"run": str(path), "ok": True, **found.checked, "notes": found.notes, "repaired": repaired}


def _repair_store(store: Path, source: Source | None, sound: SoundFiles) -> list[str]:
    try:
        if not find_problems(store, sound):
            return []
    except UsageError:
        # It is not here, which is no damage.
        return []
    except BandwiseError:
        # The repair says why it cannot be done.
        pass
    try:
        done = verify_store(store, repair=True, source=source, sound=sound)["repaired"]
    except (UsageError, CorruptionError) as error:
        return [f"{store}: not repaired: {error}"]
    return [f"{store / name}: repaired" for name in done]


def _report(path: Path, found: Findings, repaired: list[str], repair: bool) -> str:
    problems = {name: problem.what for name, problem in found.problems.items()}
    problems |= {f"store/{name}": what for name, what in found.store_problems.items()}
    lines = [f"{name}: {what}" for name, what in sorted(problems.items())]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    text = f"{path}: {len(lines)} files are not as they were written:\n  " + "\n  ".join(lines[:_SHOWN] + more)
    if repaired:
        text += "\nwhat was done:\n  " + "\n  ".join(repaired)
    if not repair:
        return f"{text}\nrun bandwise verify --repair to mend what can be computed again"
    return f"{text}\nwhat is named above could not be mended: copy good files there, or make them again"
