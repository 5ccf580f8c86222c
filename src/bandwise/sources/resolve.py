"""From `--data` to a source: a known name first, else a folder."""

from pathlib import Path

from bandwise.config import DataConfig
from bandwise.errors import UsageError
from bandwise.sources.folder import FolderSource
from bandwise.sources.named import available, open_named
from bandwise.sources.nearest import nearest
from bandwise.sources.samples import Source


def open_source(config: DataConfig) -> Source:
    """Open the images that the configuration names; a named set is fetched on first use.

    `--source auto` takes a known name before a folder of the same name; write `./photos` for the folder.

    Raises:
        UsageError: it is neither a name nor a folder, or the folder cannot be used.
        CorruptionError: a named set is not complete on disk.
        NoSpaceError: the disk is full.
    """
    known = available()
    if config.source == "named" or (config.source == "auto" and config.data in known):
        if config.reported == "val":
            raise UsageError(
                f"--reported val: the set {config.data!r} reports on its test images; leave --reported out"
            )
        return open_named(config.data)
    if config.source == "auto" and not Path(config.data).expanduser().exists():
        raise UsageError(
            f"--data {config.data!r} is neither a folder nor a known set{nearest(config.data, known)}; "
            f"known sets: {', '.join(known)}"
        )
    return FolderSource(Path(config.data), config.reported, follow_symlinks=config.follow_symlinks)
