"""Folders and shards as people have them, through `bandwise split`: exit code, words and counts."""

import pytest
from tests.bad_inputs import rows_content, rows_guidance, rows_layouts, rows_shards, rows_tables
from tests.bad_inputs.bench import check

ROWS = {**rows_layouts.ROWS, **rows_shards.ROWS, **rows_content.ROWS, **rows_tables.ROWS, **rows_guidance.ROWS}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("row", ROWS)
def test_row(row, tmp_path):
    check(ROWS[row], tmp_path)


# Each row with what it is about taken away.
BROKEN = {
    "names of splits": ("bandwise.sources.folder.SPLIT_WORDS", {"train": "train", "val": "val", "test": "test"}),
    "what a run will lack": ("bandwise.commands.split._say_what_was_found", lambda *_: None),
    "folders called like splits": ("bandwise.sources.folder.split_like", lambda name: False),
    "pictures without class folders": ("bandwise.sources.walk._TABLES", ()),
    "hidden folders": ("bandwise.sources.walk.Walk._is_hidden", lambda self, entry, path: entry.name[:1] in b"._"),
    "class names": ("bandwise.sources.folder.require_distinct", lambda where, names: None),
    "a set of the same name": ("bandwise.sources.resolve.require_one_meaning", lambda data: None),
    "pictures by their content": ("bandwise.sources.walk.begins_like_a_picture", lambda start: False),
    "folders of shards": ("bandwise.sources.resolve._SHARDS", {}),
    "missing shards": ("bandwise.sources.archives.shards._require_all_numbers", lambda files: None),
    "merged sets": ("bandwise.sources.archives.shards._require_one_family", lambda files: None),
    "pictures without content": ("bandwise.store.writing.split._WITHOUT_CONTENT", {}),
    "tables of labels": ("bandwise.sources.resolve._folder_or_table", lambda path: "folder"),
    "tables of spreadsheets": ("codecs.BOM_UTF16_LE", b"none"),
    "numbers in JSON": ("bandwise.sources.table._as_text", lambda where, column, value: str(value)),
    "pictures elsewhere": ("bandwise.sources.table._out_of_reach", lambda *_: ""),
    "bad tables of labels": ("bandwise.sources.table._matched", lambda *_: []),
    "layouts that are not read": ("bandwise.sources.walk.advice", lambda root: ""),
    "labels that are no positions": ("bandwise.sources.samples._require_every_class", lambda *_: None),
    "dots in keys": ("bandwise.sources.archives.webdataset._kind", lambda field: field),
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("row", ROWS)
def test_a_row_fails_without_what_it_is_about(row, tmp_path, monkeypatch):
    monkeypatch.setattr(*BROKEN[row])
    # A set of that name is not fetched for a control.
    monkeypatch.setattr("bandwise.sources.resolve.open_named", lambda name: pytest.fail(name))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(ROWS[row], tmp_path)
