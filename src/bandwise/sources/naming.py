"""Names of classes and files: which may stand beside each other, and how messages show them."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Literal

from bandwise.errors import UsageError

Reported = Literal["auto", "val", "test", "none"]
"""What `--reported` may be."""

SPLIT_WORDS = {"train": "train", "validation": "val", "valid": "val", "val": "val", "test": "test"}
"""What a folder or the shards of a split are called, in any case, and the split that it is."""

_SPLIT_LIKE = re.compile(
    r"(train(ing)?|test(ing)?|val|valid(ation)?)([-_ .]?(set|data|dataset|images?|imgs?|pictures?|pics?|photos?))*",
    re.IGNORECASE,
)


def split_like(name: str) -> bool:
    """Say whether a folder is called like a split, and not like a class: `train_images`, `Testing`."""
    return _SPLIT_LIKE.fullmatch(name) is not None


def some(texts: Iterable[str], most: int = 5) -> str:
    """Join the first texts; dots stand for the others."""
    shown = list(islice(texts, most + 1))
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")


def examples(paths: list[bytes]) -> str:
    """Name up to five of the paths, printable whatever their bytes are."""
    return some(repr(os.fsdecode(path)) for path in sorted(paths))


def choose_reported(
    present: Sequence[Literal["val", "test"]], reported: Reported, *, lacks: str, has_both: str
) -> Literal["val", "test"] | None:
    """Return the split to report on, of those that are there; the two texts are the errors where there is no choice."""
    if reported == "none":
        return None
    if reported != "auto":
        if reported not in present:
            raise UsageError(lacks)
        return reported
    if len(present) == 2:
        raise UsageError(has_both)
    return present[0] if present else None


def require_distinct(where: str, names: Iterable[str]) -> None:
    """Refuse names that some file systems or people cannot tell apart: equal but for case, blanks or Unicode form."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[_folded(name)].append(name)
    for same in alike.values():
        if len(same) > 1:
            raise UsageError(
                f"{where} has class folders that differ only in case, blanks or Unicode form: "
                f"{', '.join(ascii(name) for name in sorted(same))}; merge or rename them"
            )


def require_same(where: str, train: Iterable[str], reported_folder: str, reported: Iterable[str]) -> None:
    """Check that the training and the reported images have the same classes."""
    only_train, only_reported = set(train) - set(reported), set(reported) - set(train)
    if not only_train and not only_reported:
        return
    folded = {_folded(name): name for name in only_train}
    for name in sorted(only_reported):
        if twin := folded.get(_folded(name)):
            raise UsageError(
                f"{where}: class {twin!a} of train/ is spelled {name!a} in {reported_folder}/ "
                "(case, blanks or Unicode form); rename one"
            )
    raise UsageError(
        f"{where}: the classes of train/ and {reported_folder}/ differ; "
        f"only in train/: {some(map(repr, sorted(only_train)), 10) or 'none'}; "
        f"only in {reported_folder}/: {some(map(repr, sorted(only_reported)), 10) or 'none'}"
    )


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(unicodedata.normalize("NFC", name).casefold().split()))
