"""A manifest from a stranger: a right seal, wrong content."""

import json

import pytest
from tests.helpers.arrays import RandomSource

from bandwise.config import SplitConfig
from bandwise.errors import BandwiseError, CorruptionError, IncompatibleError
from bandwise.files.documents import SEAL, json_bytes, seal, write_json
from bandwise.store.reading.store import open_store
from bandwise.store.verify import verify_store
from bandwise.store.writing.split import split_dataset

MANIFEST = "MANIFEST.json"


def test_a_newer_format_is_refused(store):
    manifest = json.loads((store / MANIFEST).read_text())
    del manifest[SEAL]
    write_json(store / MANIFEST, seal({**manifest, "version": [2, 0]}))
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


def test_a_hostile_manifest_only_raises_our_errors(tmp_path):
    """A stranger's manifest has a correct seal; every value of it is replaced by every hostile one, one at a time."""
    store = tmp_path / "store"
    split_dataset(RandomSource(train=6, val=3), SplitConfig(canvas=8, holdout=0, bands="0-1"), store)
    manifest = json.loads((store / MANIFEST).read_text())
    del manifest[SEAL]
    refused = 0
    paths = [path for path in mutations(manifest) if not {"versions", "source", "pixels", "notes"} & {path[0]}]
    paths = [
        path
        for path in paths
        if path[0] != "files" or path[1:2] in ((), ("samples.parquet",), ("band-01/train-00000-of-00001.parquet",))
    ]
    paths = [path for path in paths if path[0] != "statistics" or path[1:2] in ((), ("1",))]
    for path in paths:
        for value in HOSTILE:
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
    assert refused > len(paths)


def test_a_manifest_cannot_name_files_outside(store, tmp_path):
    (tmp_path / "secret").write_text("x")
    manifest = json.loads((store / MANIFEST).read_text())
    del manifest[SEAL]
    manifest["files"]["../secret"] = {"bytes": 1, "sha256": "0" * 64}
    write_json(store / MANIFEST, seal(manifest))
    with pytest.raises(CorruptionError, match=r"\.\./secret: .*is not a file name of a store"):
        verify_store(store)


def test_a_wrong_manifest_with_a_right_seal_is_noticed(store):
    manifest = json.loads((store / MANIFEST).read_text())
    del manifest[SEAL]
    manifest["statistics"]["0"]["mean"][0] += 1
    write_json(store / MANIFEST, seal(manifest))
    open_store(store)
    with pytest.raises(
        CorruptionError, match=r"MANIFEST\.json: does not follow from the commit records: self_sha256, stat"
    ):
        verify_store(store)
