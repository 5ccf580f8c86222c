"""The rows can fail: with one line of detection broken, the row that is about it does."""

import os

import pytest
from PIL import ImageFile
from tests.bad_inputs import test_rows, test_split_rows
from tests.bad_inputs.bench import check

BROKEN = {
    "S7": ("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True),
    "S8": ("bandwise.sources.decoding.decode.missing_part", lambda encoded: ""),
    "S18": ("bandwise.sources.decoding.decode.require_size", lambda width, height, most: None),
    "S21": ("bandwise.sources.walk.Walk._is_new", lambda self, folder: True),
    "S22": ("os.access", lambda path, mode: True),
    "S23": ("bandwise.store.writing.group._read", lambda work, path, size: work.source.read(path)),
    "S24": ("bandwise.store.writing.group.content_hash", lambda encoded: os.urandom(8)),
    "S32": ("bandwise.store.writing.split.require_store_folder", lambda source, out: None),
    "S34": ("fcntl.flock", lambda descriptor, operation: None),
    "S35": ("bandwise.store.writing.conversion.require_same", lambda what, stored, wanted: None),
    "S36": ("bandwise.store.writing.commits._files_present", lambda out, record: True),
    "S40": ("bandwise.store.writing.split.require_writable", lambda folder: folder.mkdir(exist_ok=True)),
    "T7": ("bandwise.checkpoints.folder.read_listed", lambda file, facts, record: file.read_bytes()),
    "T18": ("bandwise.training.trainer.check_store", lambda store, config: None),
    "E8": ("bandwise.serving.ensemble._require_run", lambda run, number, branch: None),
    "E9": ("bandwise.checkpoints.folder.read_listed", lambda file, facts, record: file.read_bytes()),
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("row", BROKEN)
def test_a_row_fails_when_what_it_is_about_is_broken(row, finished, tmp_path, monkeypatch):
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    monkeypatch.setattr(*BROKEN[row])
    with pytest.raises((AssertionError, KeyError)):
        check({**test_split_rows.ROWS, **test_rows.ROWS}[row], tmp_path, finished)
