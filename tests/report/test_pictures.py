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


def test_no_preview_is_reported(tmp_path):
    assert galleries(tmp_path) == ((), "No preview was written for this run.")


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "sub/x.png", "picture.svg", 7, "linked.png"])
def test_names_that_leave_the_folder_are_refused(preview, name):
    (preview.parent.parent / "secret.png").write_bytes((preview / "sample-0.png").read_bytes())
    (preview / "linked.png").symlink_to(preview / "sample-0.png")
    content = read_document(preview / "preview.json")
    content["pictures"][1]["file"] = name
    write_document(preview / "preview.json", content)
    shown, missing = galleries(preview)
    assert shown == ()
    assert ("is a link" if name == "linked.png" else "which is no picture beside it") in missing


@pytest.mark.parametrize("listed", [None, {}, ["sample-0.png"], [{"file": "sample-0.png"}]])
def test_an_impossible_index_is_reported(preview, listed):
    write_document(preview / "preview.json", {"pictures": listed})
    assert galleries(preview)[1].startswith("The preview could not be read")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("preview.json", b"not json", "The preview could not be read"),
        ("sample-0-band-00.png", b"<svg onload=alert(1)>", "is not a PNG picture"),
        ("sample-0-band-00.png", None, "sample-0-band-00.png is altered"),
    ],
)
def test_damage_is_reported(preview, name, content, message):
    path = preview / name
    path.write_bytes(path.read_bytes() + b"\0" if content is None else content)
    assert message in galleries(preview)[1]


def test_a_page_does_not_grow_without_bound(preview, monkeypatch):
    size = len(galleries(preview)[0][0].tiles[0].uri)
    monkeypatch.setattr(pictures, "_LARGEST_TOTAL_BYTES", size + 10)
    shown, missing = galleries(preview)
    assert [len(gallery.tiles) for gallery in shown] == [1]
    assert missing.startswith("Only the first pictures are shown")
