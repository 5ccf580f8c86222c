"""Pictures come from the preview folder and from nowhere else."""

import base64
import shutil
from pathlib import Path

import pytest

from bandwise.files.documents import read_document, write_document
from bandwise.report import pictures
from bandwise.report.pictures import galleries


@pytest.fixture
def preview(tmp_path, two_runs):
    return Path(shutil.copytree(two_runs[0] / "preview", tmp_path / "run" / "preview"))


def test_each_sample_has_its_canvas_and_its_bands(preview):
    shown, missing = galleries(preview)
    assert missing == ""
    assert [len(gallery.tiles) for gallery in shown] == [5, 5]
    tile = shown[0].tiles[0]
    assert (tile.width, tile.height, tile.caption) == (64, 64, "canvas, 256 pixels")
    assert shown[0].caption == "carrot & co"
    assert "class carrot & co" in tile.alt
    assert base64.b64decode(tile.uri.partition(",")[2]) == (preview / "sample-0.png").read_bytes()


def test_no_preview_is_said(tmp_path):
    assert galleries(tmp_path) == ((), "No preview was written for this run.")


def change(preview, **fields):
    index = preview / "preview.json"
    content = read_document(index)
    content["pictures"][1] |= fields
    write_document(index, content)


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "sub/x.png", "picture.svg", 7])
def test_names_that_leave_the_folder_are_refused(preview, name):
    (preview.parent.parent / "secret.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    change(preview, file=name)
    shown, missing = galleries(preview)
    assert shown == ()
    assert "which is no picture beside it" in missing


def test_a_link_is_refused(preview):
    (preview / "linked.png").symlink_to(preview / "sample-0.png")
    change(preview, file="linked.png")
    assert "is a link" in galleries(preview)[1]


def test_a_file_that_is_no_png_is_refused(preview):
    (preview / "sample-0-band-00.png").write_text("<svg onload=alert(1)>")
    assert "is not a PNG picture" in galleries(preview)[1]


@pytest.mark.parametrize("listed", [None, {}, ["sample-0.png"], [{"file": "sample-0.png"}]])
def test_an_impossible_index_is_said(preview, listed):
    write_document(preview / "preview.json", {"pictures": listed})
    assert galleries(preview)[1].startswith("The preview could not be read")


def test_a_damaged_index_is_said(preview):
    (preview / "preview.json").write_text("not json")
    assert galleries(preview)[1].startswith("The preview could not be read")


def test_an_altered_picture_is_said(preview):
    path = preview / "sample-0-band-00.png"
    path.write_bytes(path.read_bytes() + b"\0")
    assert "sample-0-band-00.png is altered" in galleries(preview)[1]


def test_a_page_does_not_grow_without_bound(preview, monkeypatch):
    size = len(galleries(preview)[0][0].tiles[0].uri)
    monkeypatch.setattr(pictures, "_LARGEST_TOTAL_BYTES", size + 10)
    shown, missing = galleries(preview)
    assert [len(gallery.tiles) for gallery in shown] == [1]
    assert missing.startswith("Only the first pictures are shown")
