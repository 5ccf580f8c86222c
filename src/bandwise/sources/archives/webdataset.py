"""WebDataset shards: tars in which `KEY.jpg` and `KEY.cls` (or `KEY.json`) are one sample.

The key is the name up to the first dot after the last slash, as WebDataset has it, and what follows is a field. The
picture is the field whose extension is a picture's (`jpg`, or the only one such as `input.jpg`); its label is the
number or word in the field `cls`, else that under "label" in `json`. `classes.txt`, one name a line, names the classes.
"""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from bandwise.errors import UsageError
from bandwise.progress import say
from bandwise.sources.archives.classtars import require_picture_size, say_passed_over
from bandwise.sources.archives.index import indexed, load_index
from bandwise.sources.archives.shards import ShardContent, Shards, find_shards, index_shards, shard_name
from bandwise.sources.archives.tar import Member, TarSource, members
from bandwise.sources.decoding.sniff import PICTURE_EXTENSIONS
from bandwise.sources.naming import Reported, examples, some
from bandwise.sources.reading import Region, decode_text, open_archive, read_text

CLASSES_FILE = "classes.txt"

_NUMBER = re.compile(r"-?[0-9]{1,10}")
_MAX_LABEL_BYTES = {b"cls": 256, b"json": 1 << 20}


def open_webdataset(root: Path, *, reported: Reported = "auto") -> TarSource:
    """Open a folder of `train-*.tar` and `val-*.tar` (or `validation-*`, `test-*`)."""
    shards = find_shards(root, ".tar", reported)
    classes_file = shards.root / CLASSES_FILE
    text = read_text(classes_file) if classes_file.exists() else ""
    names = [line.strip() for line in text.rstrip().split("\n")] if text else None
    key = {"kind": "webdataset", "train": len(shards.train), "names": names}
    index = indexed(key, shards.files, lambda: _build(shards, names))
    classes, fingerprint = load_index(index).facts["classes"], shards.fingerprint("webdataset")
    return TarSource(shards.root, shards.root.name, shards.files, tuple(classes), index, fingerprint)


def _build(shards: Shards, names: list[str] | None) -> pa.RecordBatch:
    passed_over, unused = Counter[str](), _Unused()
    batch = index_shards(shards, names, lambda path: _list_shard(path, passed_over, unused))
    say_passed_over(passed_over, [])
    unused.say(shards.root)
    return batch


def _list_shard(path: Path, passed_over: Counter[str], unused: "_Unused") -> ShardContent:
    """Find name, label and place of each picture of one shard."""
    shard, names = shard_name(path), list[bytes]()
    labels: list[int | str] = []
    places: list[tuple[int, int]] = []
    without: dict[str, list[bytes]] = {"label (.cls or .json)": [], "picture": []}
    with open_archive(path) as region:
        for key, fields in _fields_by_key(region, passed_over, unused).items():
            picture = _picture_field(region.where, key, fields)
            label = _label_field(fields, picture or b"")
            if picture and label:
                _, offset, size = fields[picture]
                require_picture_size(region.where, fields[picture].name, size)
                names.append(shard + b"/" + key + b"." + picture)
                labels.append(_label(region, fields[label], label))
                places.append((offset, size))
            elif picture or label:
                without["label (.cls or .json)" if picture else "picture"].append(key)
            for field, member in fields.items():
                if field not in (picture, label):
                    unused.add(field, member.name)
        for lacks, keys in without.items():
            if keys:
                raise UsageError(f"{region.where}: {len(keys)} samples have no {lacks}: {examples(keys)}")
    offsets, sizes = zip(*places, strict=True) if places else ((), ())
    return ShardContent(names, labels, {"offset": offsets, "size": sizes})


class _Unused:
    """Counts the members that are neither a picture nor its label by their field, with the first name of each."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._first: dict[bytes, bytes] = {}

    def add(self, field: bytes, name: bytes) -> None:
        self._counts[field] += 1
        self._first.setdefault(field, name)

    def say(self, root: Path) -> None:
        if self._counts:
            common = self._counts.most_common()
            named = some(f"{count} such as {examples([self._first[field]])}" for field, count in common)
            say(f"note: {self._counts.total()} members of the shards in {root} are used for nothing: {named}")


def _fields_by_key(region: Region, passed_over: Counter[str], unused: _Unused) -> dict[bytes, dict[bytes, Member]]:
    samples: dict[bytes, dict[bytes, Member]] = {}
    for member in members(region, passed_over):
        folder, slash, base = member.name.rpartition(b"/")
        stem, _, field = base.partition(b".")
        if not stem or not field:
            unused.add(base, member.name)
            continue
        key, field = folder + slash + stem, field.lower()
        if field not in samples.setdefault(key, {}):
            samples[key][field] = member
        elif _kind(field) in PICTURE_EXTENSIONS:
            raise UsageError(f"{region.where}: the sample {examples([key])} has two pictures; leave one of them out")
        elif _kind(field) in _MAX_LABEL_BYTES:
            raise UsageError(f"{region.where} holds {examples([member.name])} twice")
        else:
            unused.add(field, member.name)
    return samples


def _kind(field: bytes) -> bytes:
    """Return what follows the last dot of a field: `jpg` of `jpg` and of `input.jpg`."""
    return field.rpartition(b".")[2]


def _picture_field(where: str, key: bytes, fields: dict[bytes, Member]) -> bytes | None:
    """Choose the field `jpg` before `seg.jpg`; the only one of the second form counts too.

    Several of the second form are most probably several samples whose names hold dots, and so is one beside `jpg` that
    has a label of its own: they are refused, for all but one of these pictures would be lost.
    """
    pictures = [field for field in fields if _kind(field) in PICTURE_EXTENSIONS]
    plain = [field for field in pictures if field == _kind(field)]
    if len(plain) > 1:
        raise UsageError(f"{where}: the sample {examples([key])} has two pictures; leave one of them out")
    if len(pictures) > 1 and (not plain or any(_own_label(fields, field) for field in {*pictures} - {*plain})):
        raise UsageError(
            f"{where}: the sample {examples([key])} has {len(pictures)} pictures: "
            f"{examples([fields[field].name for field in pictures])}. The key of a sample ends at the first dot of its "
            "file names: rename the files so that only the extension follows a dot, or leave all but one picture out"
        )
    return next(iter([*plain, *pictures]), None)


def _label_field(fields: dict[bytes, Member], picture: bytes) -> bytes | None:
    """Choose the label that is named as the picture is, or else the only one of its kind, .cls before .json."""
    if own := _own_label(fields, picture):
        return own
    for kind in _MAX_LABEL_BYTES:
        found = [field for field in fields if _kind(field) == kind]
        if len(found) == 1:
            return found[0]
    return None


def _own_label(fields: dict[bytes, Member], picture: bytes) -> bytes | None:
    stem = picture.removesuffix(_kind(picture))
    return next((stem + kind for kind in _MAX_LABEL_BYTES if stem + kind in fields), None)


def _label(region: Region, member: Member, field: bytes) -> int | str:
    kind = _kind(field)
    where = f"{region.where}: {examples([member.name])}"
    if member.size > _MAX_LABEL_BYTES[kind]:
        raise UsageError(f"{where} has {member.size} bytes; at most {_MAX_LABEL_BYTES[kind]} are read")
    text = decode_text(region.read_at(member.offset, member.size), where).strip()
    label: Any = text
    if kind == b"json":
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{where} is no JSON: {error}") from error
        label = content.get("label") if isinstance(content, dict) else None
        if not isinstance(label, int | str) or isinstance(label, bool):
            raise UsageError(f'{where} has no number or word under "label"')
    if isinstance(label, str) and len(label) < 11 and _NUMBER.fullmatch(label):
        return int(label)
    if label == "":
        raise UsageError(f"{where} is empty; a number or a word is needed")
    return label
