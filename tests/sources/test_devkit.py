"""The MATLAB file of the devkit against what scipy writes and reads; label and word files, with bad lines (S30)."""

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io
from tests.sources.imagenet import NUMBERS, WORDS, meta_mat

from bandwise.errors import UsageError
from bandwise.sources import reading
from bandwise.sources.archives.devkit import (
    class_names,
    parse_ground_truth,
    parse_synset_labels,
    parse_val_solution,
    parse_words,
    read_synsets,
)
from bandwise.sources.reading import decode_text, read_text

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


ROWS = "ILSVRC2012_val_00000002,n01440764 1 2 3 4\nILSVRC2012_val_00000001,n01443537 1 2 3 4\n"


def test_label_files():
    assert parse_ground_truth("490\n361\r\n8\n\n", "x") == [490, 361, 8]
    assert parse_ground_truth(decode_text(b"\xef\xbb\xbf1\r\n2\r\n", "x"), "x") == [1, 2]
    assert parse_synset_labels("n01440764\nn01443537", "x") == ["n01440764", "n01443537"]
    for header in ("", "ImageId,PredictionString\n"):
        assert parse_val_solution(header + ROWS, "x") == ["n01443537", "n01440764"]
    words = parse_words("n01440764 tench, Tinca tinca\nn01443537\tgoldfish\n", "x")
    assert words == {"n01440764": "tench, Tinca tinca", "n01443537": "goldfish"}
    assert class_names(["n02012849", "n01440764"], words) == ("n01440764 tench", "n02012849")


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (parse_ground_truth, "1\n\n3\n", "x, line 2: '' is not an id"),
        (parse_ground_truth, "1\n-2\n", "x, line 2: '-2' is not an id"),
        (parse_ground_truth, "\u0661\n", "x, line 1: '\u0661' is not an id"),
        (parse_ground_truth, "1" * 5000, "x, line 1: '1{60}' is not an id"),
        (parse_synset_labels, "n01440764\nn0144\n", "x, line 2: 'n0144' is not a WordNet id"),
        (parse_val_solution, ROWS + "cat.jpg,n01440764\n", "x, line 3: 'cat.jpg,n01440764' is not a picture and its"),
        (parse_val_solution, ROWS + "ILSVRC2012_val_00000003,tench\n", "x, line 3: .* is not a picture and its"),
        (parse_val_solution, ROWS + ROWS, "x, line 3: ILSVRC2012_val_00000002 stands there for the second time"),
        (parse_val_solution, ROWS.replace("2,", "5,"), "x has 2 pictures, but not number 2"),
        (parse_words, "n01440764 a\nn01440764 b\n", "x, line 2: n01440764 stands there for the second time"),
        (parse_words, "n01440764a\n", "x, line 1: 'n01440764a' is not a WordNet id and its words"),
        (parse_words, "n01440764\n", "x, line 1: 'n01440764' is not a WordNet id and its words"),
        (parse_words, "tench n01440764\n", "x, line 1: 'tench n01440764' is not a WordNet id and its words"),
    ],
)
def test_s30_what_is_refused(parse, text, words):
    with pytest.raises(UsageError, match=words):
        parse(text, "x")


def test_files(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfn1")
    assert read_text(tmp_path / "a.txt") == "n1"
    (tmp_path / "a.txt").write_bytes(b"ab\xff")
    with pytest.raises(UsageError, match=r"a.txt is no UTF-8 text: invalid start byte at byte 2"):
        read_text(tmp_path / "a.txt")
    monkeypatch.setattr(reading, "MAX_TEXT_BYTES", 2)
    with pytest.raises(UsageError, match=r"a.txt has 3 bytes; a text of labels has at most 2"):
        read_text(tmp_path / "a.txt")
