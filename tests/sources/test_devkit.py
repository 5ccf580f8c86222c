"""The reader of the devkit's MATLAB file against what scipy writes and reads, and damaged files."""

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io
from tests.sources.imagenet import NUMBERS, WORDS, meta_mat

from bandwise.sources.archives.devkit import read_synsets

FIELDS = ("ILSVRC2012_ID", "WNID", "words", "num_children")


@pytest.mark.parametrize("compressed", [False, True])
def test_the_same_as_scipy(compressed):
    content = meta_mat(compressed=compressed)
    expected = scipy.io.loadmat(io.BytesIO(content), squeeze_me=True)["synsets"]
    found = read_synsets(content)
    assert len(found) == 10
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == {name: theirs[name] for name in FIELDS}
    by_id = {row["ILSVRC2012_ID"]: row["WNID"] for row in found if row["num_children"] == 0}
    assert by_id == {float(number): wordnet_id for wordnet_id, number in NUMBERS.items()}
    assert {row["words"] for row in found} >= set(WORDS.values())


@pytest.mark.parametrize("number", [77, 777, 77_777, 77.5])
def test_numbers_of_every_width_and_texts(number):
    """MATLAB and scipy store a whole number in as few bytes as it needs."""
    rows = np.array(
        [(number, "n1", "\u00e9t\u00e9 \u4e2d", 0, [])], dtype=[(name, object) for name in (*FIELDS, "gloss")]
    )
    (row,) = read_synsets(saved(rows))
    assert row == {"ILSVRC2012_ID": number, "WNID": "n1", "words": "\u00e9t\u00e9 \u4e2d", "num_children": 0}
    rows["words"][0] = []
    assert read_synsets(saved(rows))[0]["words"] is None


def saved(rows, name="synsets"):
    stream = io.BytesIO()
    scipy.io.savemat(stream, {name: rows})
    return stream.getvalue()


def test_what_is_not_there():
    rows = np.array([(1, "n1")], dtype=[(name, object) for name in FIELDS[:2]])
    with pytest.raises(ValueError, match=r"synsets has no field num_children, words; it has ILSVRC2012_ID, WNID"):
        read_synsets(saved(rows))
    with pytest.raises(ValueError, match="it holds no array of structures 'synsets'"):
        read_synsets(saved(rows, "other"))
    content = meta_mat()
    for other in (b"", b"x" * 200, content[:100]):
        with pytest.raises(ValueError, match="it is no MATLAB file of level 5"):
            read_synsets(other)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_is_cut_off(compressed):
    content = meta_mat(compressed=compressed)
    for length in range(128, len(content), 97):
        with pytest.raises(ValueError, match=r"damaged|no array|does not fit|values for"):
            read_synsets(content[:length])


def test_a_bomb_is_not_inflated(monkeypatch):
    monkeypatch.setattr("bandwise.sources.archives.devkit._MAX_PLAIN_BYTES", 1 << 16)
    bomb = zlib.compress(bytes(1 << 20))
    content = b"MATLAB".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + struct.pack("<II", 15, len(bomb)) + bomb
    with pytest.raises(ValueError, match="a variable has more than 65536 bytes"):
        read_synsets(content)
