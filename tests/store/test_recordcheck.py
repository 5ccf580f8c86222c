"""A commit record from a stranger: a right seal, wrong content. It counts as not there, and nothing else happens."""

import json
from pathlib import Path

import pytest
from tests.store.arrays import RandomSource
from tests.store.trees import tree

from bandwise.config import SplitConfig
from bandwise.errors import CorruptionError
from bandwise.files.documents import json_bytes, seal, without_seal
from bandwise.store.layout import inside
from bandwise.store.verify import verify_store
from bandwise.store.writing.documents import read_manifest
from bandwise.store.writing.identity import Group
from bandwise.store.writing.recordcheck import well_formed
from bandwise.store.writing.split import split_dataset

SOURCE = RandomSource(train=6, val=3, broken=frozenset({b"train/00002"}))
CONFIG = SplitConfig(canvas=8, holdout=0, bands="0,3")
RECORD = "commits/train-00000.bands-0_3.json"
GROUP = Group("train", 0, 1, range(6))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "store"
    split_dataset(SOURCE, CONFIG, out)
    return out


def believed(record: dict) -> bool:
    names = {f"band-0{band}/train-00000-of-00001.parquet" for band in (0, 3)}
    return well_formed(record, GROUP, (0, 3), names)


def test_a_real_record_is_believed(whole):
    assert believed(json.loads((whole / RECORD).read_text()))


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
        # The one thing that a text may be replaced by: the hashes are checked where they are used.
        assert not believed(changed) or (place == ("hashes",) and bad == "x"), place


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
    with pytest.raises(CorruptionError, match=r"MANIFEST\.json does not describe a store: impossible value for"):
        read_manifest(out)
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
