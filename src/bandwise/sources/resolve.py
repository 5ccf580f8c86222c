"""From `--data` and `--source` to a source; left on auto, a known name comes first, then what the folder looks like."""

from pathlib import Path

from bandwise.config import DataConfig
from bandwise.errors import UsageError
from bandwise.progress import say
from bandwise.sources.folder import open_folder
from bandwise.sources.named.catalog import available, open_named, reported_kind, similar_name
from bandwise.sources.naming import SPLIT_WORDS
from bandwise.sources.source import Source

# What reads archives is imported where it is needed: a named set or a folder does without these modules.

_SHARDS = {"parquet": ".parquet", "webdataset": ".tar"}
_EXPECTABLE = {"imagenet1k": ("ilsvrc2012",), "imagenet21k": ("fall11", "winter21")}


def open_source(config: DataConfig) -> Source:
    """Open the images that the configuration names; a named set is fetched on first use.

    `--source auto` takes a known name before a folder of the same name, and says so; write `./photos` for the folder.

    Raises:
        UsageError: it is neither a name nor a place, or what is there cannot be used.
        CorruptionError: a named set is not complete on disk.
        NoSpaceError: the disk is full.
    """
    path = Path(config.data).expanduser()
    kind = _look(config, path) if config.source == "auto" else config.source
    if config.expect not in ("any", *_EXPECTABLE.get(kind, ())):
        kinds = [name for name, expectable in _EXPECTABLE.items() if config.expect in expectable]
        raise UsageError(
            f"--expect {config.expect} is about --source {' or '.join(kinds)}; {config.data!r} is read as {kind}"
        )
    if kind in _EXPECTABLE and not path.exists():
        from bandwise.sources.archives import imagenet1k, imagenet21k

        how_to_get = imagenet1k.HOW_TO_GET if kind == "imagenet1k" else imagenet21k.HOW_TO_GET
        raise UsageError(
            f"--data {config.data!r} does not exist. {how_to_get}; for Parquet or WebDataset shards, add "
            "--source parquet or --source webdataset"
        )
    what = reported_kind(config.data) if kind == "named" else "validation"
    own = "test" if what == "test" else "val"
    if kind in ("named", *_EXPECTABLE) and config.reported not in ("auto", own):
        raise UsageError(
            f"--reported {config.reported}: the set {config.data!r} reports on its {what} images; leave --reported out"
        )
    if kind == "named":
        return open_named(config.data)
    if kind == "table":
        return _open_table(config, path)
    if kind == "folder":
        return open_folder(path, config.reported, follow_symlinks=config.follow_symlinks)
    return _open_archives(config, path, kind)


def _open_table(config: DataConfig, path: Path) -> Source:
    from bandwise.sources.table import FOUND_BY_NAME, Columns, find_tables, open_table

    if not path.is_dir():
        raise UsageError(f"{path} is no folder; give the folder of the pictures")
    # A table is named as the user sees it, or as it lies in the folder of the pictures.
    given = [each for each in (Path(config.labels).expanduser(), path / config.labels) if each.is_file()]
    tables = given[:1] if config.labels else find_tables(path)
    if not tables:
        what = f"--labels {config.labels}" if config.labels else " or ".join(FOUND_BY_NAME)
        raise UsageError(f"there is no {what}, here or in {path}; name the table of labels with --labels")
    columns = Columns(config.name_column, config.label_column, config.split_column)
    return open_table(path, tables, columns, config.reported, follow_symlinks=config.follow_symlinks)


def require_one_meaning(data: str) -> None:
    """Refuse what a user typed where it is the name of a set and that of something in this folder."""
    if data in available() and Path(data).exists():
        raise UsageError(
            f"--data {data!r} is the name of a set, and ./{data} is in this folder too: give --data ./{data} for what "
            "is here, or add --source named for the set"
        )


def _open_archives(config: DataConfig, path: Path, kind: str) -> Source:
    from bandwise.sources.archives.imagenet1k import open_imagenet1k
    from bandwise.sources.archives.imagenet21k import open_imagenet21k
    from bandwise.sources.archives.parquet import open_parquet
    from bandwise.sources.archives.webdataset import open_webdataset

    if kind == "imagenet1k":
        return open_imagenet1k(path, expect=config.expect)  # type: ignore[reportArgumentType]
    if kind == "imagenet21k":
        return open_imagenet21k(path, expect=config.expect, seed=config.val_seed)  # type: ignore[reportArgumentType]
    if kind == "webdataset":
        return open_webdataset(path, reported=config.reported)
    return open_parquet(
        path, reported=config.reported, image_column=config.image_column, label_column=config.label_column
    )


def _look(config: DataConfig, path: Path) -> str:
    """Say what kind of source `--data` is."""
    if config.labels:
        return "table"
    known = available()
    if config.data in known:
        if path.exists():
            say(f"note: {config.data!r} is the set of that name, not ./{config.data} in this folder")
        return "named"
    if not path.exists():
        raise UsageError(
            f"--data {config.data!r} is neither a folder nor a known set{similar_name(config.data)}; "
            f"known sets: {', '.join(known)}"
        )
    from bandwise.sources.archives import imagenet1k, imagenet21k
    from bandwise.sources.archives.shards import shard_files, split_of

    if path.name in (*imagenet21k.OUTER_ARCHIVES, imagenet21k.DOWNLOADED):
        return "imagenet21k"
    # Class folders beside the archives they were unpacked from are read as folders, as they always were.
    if not path.is_dir():
        return "folder"
    if imagenet1k.find_kaggle(path):
        return "imagenet1k"
    train = next((child for child in _folders(path) if child.name.lower() == "train"), None)
    if train is not None:
        kinds = [kind for kind, suffix in _SHARDS.items() if any(train.glob(f"*{suffix}")) and not _folders(train)]
        return kinds[0] if kinds else _folder_or_table(path)
    if (path / imagenet1k.TRAIN_ARCHIVE).exists():
        return "imagenet1k"
    if any((path / name).exists() for name in (*imagenet21k.OUTER_ARCHIVES, imagenet21k.DOWNLOADED)):
        return "imagenet21k"
    for kind, suffix in _SHARDS.items():
        if any(split_of(shard) == "train" for shard in shard_files(path, suffix)):
            return kind
    return _folder_or_table(path)


def _folder_or_table(path: Path) -> str:
    """Say `table` of a folder with a table of labels and at most one class folder."""
    from bandwise.sources.table import find_tables

    top = next((child for child in _folders(path) if child.name.lower() == "train"), path)
    classes = [child for child in _folders(top) if child.name.lower() not in SPLIT_WORDS]
    return "table" if len(classes) < 2 and find_tables(path) else "folder"


def _folders(path: Path) -> list[Path]:
    """Return the visible folders in a folder; none where it cannot be read, which opening it will say."""
    try:
        return [child for child in path.iterdir() if child.is_dir() and not child.name.startswith(".")]
    except OSError:
        return []
