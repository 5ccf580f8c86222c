"""What to do about a folder whose layout is not read: the one command or rename that mends it, where it can be seen."""

from itertools import islice
from pathlib import Path

from bandwise.sources.decoding.sniff import PICTURE_EXTENSIONS, extension
from bandwise.sources.naming import SPLIT_WORDS

# As far as one looks for what is meant: so many folders of a level, so many levels down.
_LOOKED_AT, _DEPTH = 300, 4


def advice(root: Path) -> str:
    """Return the one command or rename that mends a layout, where it can be seen, as an addition to a message."""
    looks = (_saved_to_disk, _backslashes, _packed, _unnamed_shards, _nested, _without_classes, _deeper)
    return next((f"; {text}" for look in looks if (text := look(root))), "")


def _nested(root: Path) -> str:
    """Find the folder that is meant further down, as archives and repositories have one around theirs."""
    if _splits(root):
        return ""
    level = [root]
    for _ in range(_DEPTH):
        level = list(islice((child for folder in level for child in _folders(folder)), _LOOKED_AT))
        if found := [folder for folder in level if "train" in _splits(folder) or _has_train_shards(folder)]:
            return f"did you mean --data {found[0]}?"
    alone = _folders(root)
    if len(alone) == 1 and len(_folders(alone[0])) > 1:
        return f"did you mean --data {alone[0]}?"
    return ""


def _deeper(root: Path) -> str:
    """Find class folders that lie in folders of their own."""
    top = _splits(root).get("train", root)
    groups = [folder for folder in _folders(top) if _folders(folder) and not _has_pictures(folder)]
    if not groups or not any(_has_pictures(child) for child in _folders(groups[0])):
        return ""
    places = sorted(_splits(root).values()) or [root]
    return f"class folders lie one level too deep: {' && '.join(f'mv {place}/*/* {place}/' for place in places)}"


def _without_classes(root: Path) -> str:
    """Find pictures of a split that lie in no class folder."""
    splits = _splits(root)
    if "train" not in splits:
        return ""
    if _has_pictures(splits["train"]) and not _folders(splits["train"]):
        beside = [folder.name for folder in _folders(root) if folder not in splits.values() and _has_pictures(folder)]
        if beside:
            return f"if train is a class as {beside[0]!r} is, put all class folders into a folder {root}/train/"
        return "pictures of one class belong into a folder of its name, or a table into the folder (see --labels)"
    if flat := [folder for split, folder in splits.items() if split != "train" and _has_pictures(folder)]:
        return (
            f"the pictures in {flat[0]} have no class, so nothing can be scored on them: move that folder out of "
            f"{root} (`bandwise predict` classifies its pictures), or put them into class folders"
        )
    return ""


def _backslashes(root: Path) -> str:
    if not any("\\" in path.name for path in _children(root)):
        return ""
    return "names hold backslashes, as an archive packed on Windows gives them: unpack it with `7z x` or `bsdtar -xf`"


def _packed(root: Path) -> str:
    ends = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
    if not any(path.name.endswith(ends) for path in _children(root)):
        return ""
    return f"compressed shards are not read: decompress them once, for example with gunzip {root}/*.tar.gz"


def _unnamed_shards(root: Path) -> str:
    first = next((path.name for path in _children(root) if path.suffix in (".tar", ".parquet")), "")
    if not first:
        return ""
    return (
        f"shards are found by the split in their names: call those to train on as train-{first}, and others val-{first}"
    )


def _saved_to_disk(root: Path) -> str:
    if not any((root / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return ""
    return (
        "this is what `save_to_disk` of `datasets` writes; write shards in place of it: "
        f'load_from_disk("{root}")["train"].to_parquet("shards/train-00000-of-00001.parquet"), and so on'
    )


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in islice(folder.iterdir(), 100 * _LOOKED_AT) if not path.name.startswith("."))
    except OSError:
        return []


def _folders(folder: Path) -> list[Path]:
    return [path for path in _children(folder) if path.is_dir()]


def _splits(folder: Path) -> dict[str, Path]:
    return {SPLIT_WORDS[path.name.lower()]: path for path in _folders(folder) if path.name.lower() in SPLIT_WORDS}


def _has_pictures(folder: Path) -> bool:
    return any(extension(bytes(path)) in PICTURE_EXTENSIONS for path in _children(folder))


def _has_train_shards(folder: Path) -> bool:
    shards = [path for place in (folder, folder / "data") for path in _children(place)]
    return any(path.suffix in (".parquet", ".tar") and path.name.startswith("train") for path in shards)
