"""WebDataset shards: tars in which `KEY.jpg` and `KEY.cls` (or `KEY.json`) are one sample.

A picture is a member whose extension is a picture's; its label is the number or word in `KEY.cls`, else that under
"label" in `KEY.json`. The key is the name up to the first dot after the last slash. `classes.txt`, one name a line,
names the classes.
"""

import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa

from bandwise.errors import UsageError
from bandwise.sources.archives.classtars import require_picture_size, say_passed_over
from bandwise.sources.archives.index import indexed, load_index
from bandwise.sources.archives.shards import ShardContent, Shards, find_shards, index_shards
from bandwise.sources.archives.tar import Member, TarSource, members
from bandwise.sources.decoding.sniff import PICTURE_EXTENSIONS
from bandwise.sources.folder import Reported
from bandwise.sources.naming import examples
from bandwise.sources.reading import Region, decode_text, open_archive, read_text

CLASSES_FILE = "classes.txt"

_NUMBER = re.compile(r"-?[0-9]{1,10}")
_MAX_LABEL_BYTES = {b"cls": 256, b"json": 1 << 20}

_Sample = tuple[bytes, Member, int | str]


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
    passed_over: Counter[str] = Counter()
    batch = index_shards(shards, names, lambda path: _list_shard(path, passed_over))
    say_passed_over(passed_over, [])
    return batch


def _list_shard(path: Path, passed_over: Counter[str]) -> ShardContent:
    with open_archive(path) as region:
        found = _samples(region, os.fsencode(path.stem), passed_over)
    places = {
        "offset": [member.offset for _, member, _ in found],
        "size": [member.size for _, member, _ in found],
    }
    return ShardContent([name for name, _, _ in found], [label for _, _, label in found], places)


def _samples(region: Region, shard: bytes, passed_over: Counter[str]) -> list[_Sample]:
    """Return name, place and label of each picture of one shard."""
    pictures: dict[bytes, tuple[bytes, Member]] = {}
    labels: dict[bytes, dict[bytes, Member]] = {}
    for member in members(region, passed_over):
        folder, slash, base = member.name.rpartition(b"/")
        stem, _, suffix = base.partition(b".")
        key, suffix = folder + slash + stem, suffix.lower()
        if suffix in PICTURE_EXTENSIONS:
            if key in pictures:
                raise UsageError(
                    f"{region.where}: the sample {examples([key])} has two pictures; leave one of them out"
                )
            require_picture_size(region.where, member.name, member.size)
            pictures[key] = (suffix, member)
        elif suffix in _MAX_LABEL_BYTES:
            if suffix in labels.setdefault(key, {}):
                raise UsageError(f"{region.where} holds {examples([member.name])} twice")
            labels[key][suffix] = member
    for these, those, lacks in ((pictures, labels, "label (.cls or .json)"), (labels, pictures, "picture")):
        if lost := sorted(these.keys() - those.keys()):
            raise UsageError(f"{region.where}: {len(lost)} samples have no {lacks}: {examples(lost)}")
    return [
        (shard + b"/" + key + b"." + suffix, member, _label(region, labels[key]))
        for key, (suffix, member) in pictures.items()
    ]


def _label(region: Region, found: dict[bytes, Member]) -> int | str:
    suffix = b"cls" if b"cls" in found else b"json"
    member = found[suffix]
    where = f"{region.where}: {examples([member.name])}"
    if member.size > _MAX_LABEL_BYTES[suffix]:
        raise UsageError(f"{where} has {member.size} bytes; at most {_MAX_LABEL_BYTES[suffix]} are read")
    text = decode_text(region.read_at(member.offset, member.size), where).strip()
    label: Any = text
    if suffix == b"json":
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
