"""A commit record from a stranger: a right seal, wrong content. It counts as not there, and nothing else happens."""

import json
from pathlib import Path

import pytest
from tests.helpers.arrays import RandomSource
from tests.helpers.trees import tree

from bandwise.config import SplitConfig
from bandwise.errors import CorruptionError
from bandwise.files.documents import json_bytes, seal, without_seal
from bandwise.files.schema import plain
from bandwise.store.layout import SampleGroup, inside
from bandwise.store.manifest import CommitRecord, Manifest
from bandwise.store.verify import verify_store
from bandwise.store.writing.split import split_dataset

SOURCE = RandomSource(train=6, val=3, broken=frozenset({b"train/00002"}))
CONFIG = SplitConfig(canvas=8, holdout=0, bands="0,3")
RECORD = "commits/train-00000.bands-0_3.json"
GROUP = SampleGroup("train", 0, 1, range(6))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "store"
    split_dataset(SOURCE, CONFIG, out)
    return out


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


def test_a_forged_record_is_written_again(whole, tmp_path):
    out = tmp_path / "store"
    split_dataset(SOURCE, CONFIG, out)
    record = json.loads((out / RECORD).read_text())
    (out / "MANIFEST.json").unlink()
    (out / RECORD).write_bytes(json_bytes(seal({**without_seal(record), "digests": {"0": "z", "3": None}})))
    split_dataset(SOURCE, CONFIG, out)
    assert tree(out) == tree(whole)


@pytest.mark.parametrize("change", [{"files": 7}, {"files": {"README.md": None}}, {"bands": 3}, {"bands": ["0"]}])
def test_a_manifest_that_lists_nothing_is_named(whole, tmp_path, change):
    out = tmp_path / "store"
    split_dataset(SOURCE, CONFIG, out)
    manifest = without_seal(json.loads((out / "MANIFEST.json").read_text()))
    (out / "MANIFEST.json").write_bytes(json_bytes(seal({**manifest, **change})))
    with pytest.raises(CorruptionError, match=r"MANIFEST\.json is damaged: (files|bands)"):
        Manifest.read(out)
    with pytest.raises(CorruptionError, match=r"MANIFEST\.json"):
        verify_store(out)


def test_a_long_name_is_no_file_of_a_store(tmp_path):
    with pytest.raises(CorruptionError, match=r"x{200} leads out of the store"):
        inside(tmp_path, "x" * 5000)


def test_a_link_to_itself_is_damage(tmp_path):
    out = tmp_path / "store"
    split_dataset(SOURCE, CONFIG, out)
    (out / RECORD).unlink()
    (out / RECORD).symlink_to(Path(RECORD).name)
    with pytest.raises(CorruptionError, match=rf"{RECORD}: "):
        verify_store(out)
