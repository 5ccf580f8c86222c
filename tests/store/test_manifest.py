"""A manifest or a commit record from a stranger, with a right seal and wrong content, is refused."""

import json
from pathlib import Path

import pytest
from tests.helpers.arrays import RandomSource
from tests.helpers.trees import tree

from bandwise.config import SplitConfig
from bandwise.errors import BandwiseError, CorruptionError, IncompatibleError
from bandwise.files.documents import json_bytes, seal, without_seal
from bandwise.files.schema import plain
from bandwise.store.layout import SampleGroup
from bandwise.store.manifest import CommitRecord
from bandwise.store.reading.store import open_store
from bandwise.store.verify import verify_store
from bandwise.store.writing.split import split_dataset

SOURCE = RandomSource(train=6, val=3, broken=frozenset({b"train/00002"}))
CONFIG = SplitConfig(canvas=8, holdout=0, bands="0,3")
MANIFEST, RECORD = "MANIFEST.json", "commits/train-00000.bands-0_3.json"
GROUP = SampleGroup("train", 0, 1, range(6))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "store"
    split_dataset(SOURCE, CONFIG, out)
    return out


def forge(path: Path, **changes: object) -> None:
    """Change some keys of a document, and seal it again."""
    path.write_bytes(json_bytes(seal({**without_seal(json.loads(path.read_text())), **changes})))


def parse(record: dict) -> CommitRecord:
    return CommitRecord.parse(record, Path("THE RECORD"), GROUP, (0, 3), channels=3)


def test_a_real_record_is_believed(whole):
    content = json.loads((whole / RECORD).read_text())
    assert plain(parse(content)) == without_seal(content)


@pytest.mark.parametrize("bad", [None, -1, 1.5, "x", [], {}, [None], {"0": None}], ids=repr)
def test_no_part_of_a_record_can_be_anything_else(whole, bad):
    record = json.loads((whole / RECORD).read_text())
    file = "band-00/train-00000-of-00001.parquet"
    places = [
        *[(key,) for key in ("split", "group", "ids", "bands", "rows", "files", "digests", "statistics")],
        *[("files", file), ("files", file, "bytes"), ("files", file, "sha256"), ("files", file, "rows")],
        *[("canvas_digest",), ("digests", "0"), ("statistics", "3"), ("statistics", "3", "sum"), ("bad", 0)],
        *[("statistics", "0", key) for key in ("count", "steps", "sum_squares")],
        *[("bad", 0, "id"), ("hashes",)],
    ]
    for place in places:
        changed = json.loads(json.dumps(record))
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = bad
        if place == ("hashes",) and bad is None:
            # As in a record of an early version.
            continue
        with pytest.raises(CorruptionError, match=rf"THE RECORD (is|lacks) .*{place[0]}"):
            parse(changed)


def test_a_forged_record_is_written_again(whole, store):
    (store / MANIFEST).unlink()
    forge(store / RECORD, digests={"0": "z", "3": None})
    split_dataset(SOURCE, CONFIG, store)
    assert tree(store) == tree(whole)


def test_a_newer_format_is_refused(store):
    forge(store / MANIFEST, version=[2, 0])
    with pytest.raises(IncompatibleError, match="format version 2; this bandwise reads version 1"):
        open_store(store)


def mutations(value: object, path: tuple = ()) -> list[tuple]:
    """Return the path of every value in a nested document."""
    if isinstance(value, dict):
        inner = [found for key, part in value.items() for found in mutations(part, (*path, key))]
    elif isinstance(value, list):
        inner = [found for index, part in enumerate(value[:2]) for found in mutations(part, (*path, index))]
    else:
        inner = []
    return [*([path] if path else []), *inner]


HOSTILE = (None, -1, 2**62, 1.5, "../../etc/passwd", [], {})


def test_a_hostile_manifest_only_raises_our_errors(store):
    """Every value of it is replaced by hostile ones, one at a time."""
    manifest = without_seal(json.loads((store / MANIFEST).read_text()))
    # Of several alike, one.
    wanted = {
        "files": ((), ("samples.parquet",), ("band-03/train-00000-of-00001.parquet",)),
        "statistics": ((), ("3",)),
    }
    skipped = ("versions", "source", "pixels", "notes")
    paths = [
        path
        for path in mutations(manifest)
        if path[0] not in skipped and (path[0] not in wanted or path[1:2] in wanted[path[0]])
    ]
    refused = 0
    for number, path in enumerate(paths):
        # Each value by three of them, all of them at places of each kind.
        for value in (HOSTILE * 2)[number % len(HOSTILE) :][:3]:
            changed = json.loads(json.dumps(manifest))
            place = changed
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
            (store / MANIFEST).write_bytes(json_bytes(seal(changed)))
            try:
                opened = open_store(store)
                opened.ids("train")
                opened.band_bytes(0)
            except BandwiseError:
                refused += 1
    assert refused > len(paths) / 2


def test_a_manifest_cannot_name_files_outside(store, tmp_path):
    (tmp_path / "secret").write_text("x")
    files = json.loads((store / MANIFEST).read_text())["files"]
    forge(store / MANIFEST, files={**files, "../secret": {"bytes": 1, "sha256": "0" * 64}})
    with pytest.raises(CorruptionError, match=r"\.\./secret: .*is not a file name of a store"):
        verify_store(store)


def test_a_wrong_manifest_with_a_right_seal_is_noticed(store):
    statistics = json.loads((store / MANIFEST).read_text())["statistics"]
    statistics["0"]["mean"][0] += 1
    forge(store / MANIFEST, statistics=statistics)
    open_store(store)
    with pytest.raises(
        CorruptionError, match=r"MANIFEST\.json: does not follow from the commit records: self_sha256, stat"
    ):
        verify_store(store)
