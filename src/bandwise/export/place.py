"""Where an export goes: a folder or a file that is complete or absent, and that takes the place of nothing."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from bandwise.errors import UsageError
from bandwise.files import atomic


def require_free(out: Path) -> None:
    """Refuse a place where something is, before the work; an empty folder is nothing."""
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise UsageError(f"{out} exists; remove it, or name another --out")
    atomic.require_writable(out.absolute().parent)


def commit_export(out: Path, content: Mapping[str, bytes | Path]) -> None:
    """Write a folder of files, by their names in it, in the order of `content`; a path is a file to copy."""
    require_free(out)

    def write(folder: Path) -> None:
        for name, own in content.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(own, Path):
                shutil.copyfile(own, path)
            else:
                path.write_bytes(own)

    atomic.commit_folder(out, write)
