"""Names and headers on disk."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bandwise.config import format_bands, parse_bands
from bandwise.errors import CorruptionError
from bandwise.store.layout import COMMITS_NAME, commit_file, inside, parse_commit_file, record_header


@pytest.mark.parametrize("side", [1, 9, 56, 128, 999, 1024, 4096])
@pytest.mark.parametrize("channels", [1, 3])
def test_pillow_opens_a_record_behind_its_header(side, channels):
    header = record_header(side, channels, "uint8")
    rows = np.arange(side * channels, dtype=np.uint8)
    pixels = np.broadcast_to(rows.reshape(1, side, channels), (side, side, channels))
    picture = Image.open(io.BytesIO(header + pixels.tobytes()))
    assert len(header) >= 16
    assert picture.mode == ("RGB" if channels == 3 else "L")
    assert np.array_equal(np.asarray(picture).reshape(pixels.shape), pixels)


def test_the_header_of_the_measured_layout():
    assert record_header(56, 3, "uint8") == b"P6    56 56 255\n"
    assert record_header(56, 3, "float16") == b""


@given(st.sets(st.integers(0, 63), min_size=1))
def test_band_notation_and_record_names_are_read_back(bands):
    chosen = tuple(sorted(bands))
    assert parse_bands(format_bands(chosen), 64) == chosen
    name = commit_file("train", 12, chosen, 64)
    assert parse_commit_file(name, 64) == ("train", 12, chosen)
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._/-")


@pytest.mark.parametrize(
    "name",
    ["train-00000.bands-0-3.json", "train-0.json", "train-00000.bands-3_0.json", "train-00000.bands-4.json", "x.json"],
)
def test_other_names_are_no_records(name):
    assert parse_commit_file(f"{COMMITS_NAME}/{name}", 4) is None


@pytest.mark.parametrize(
    "name", ["../up", "/etc/passwd", "a/../../b", "A.parquet", "a b", "", "a\n", "link/x", "x" * 5000]
)
def test_names_that_lead_out_are_refused(tmp_path, name):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "link").symlink_to(tmp_path)
    with pytest.raises(CorruptionError, match=r"not a file name|leads out"):
        inside(tmp_path / "store", name)
    assert inside(tmp_path / "store", "band-00/x.parquet") == tmp_path / "store" / "band-00" / "x.parquet"
