"""The reader of MATLAB files against what scipy writes and reads, and damaged files."""

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io
from tests.sources.imagenet import NUMBERS, WORDS, meta_mat

from bandwise.sources.archives.matfile import read_structs

FIELDS = ("ILSVRC2012_ID", "WNID", "words", "num_children")


@pytest.mark.parametrize("compressed", [False, True])
def test_the_same_as_scipy(compressed):
    content = meta_mat(compressed=compressed)
    expected = scipy.io.loadmat(io.BytesIO(content), squeeze_me=True)["synsets"]
    found = read_structs(content, "synsets", FIELDS)
    assert len(found) == 10
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == {name: theirs[name] for name in FIELDS}
    by_id = {row["ILSVRC2012_ID"]: row["WNID"] for row in found if row["num_children"] == 0}
    assert by_id == {float(number): wordnet_id for wordnet_id, number in NUMBERS.items()}
    assert {row["words"] for row in found} >= set(WORDS.values())


@pytest.mark.parametrize(
    "kind", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64]
)
def test_numbers_of_every_kind_and_texts(kind):
    rows = np.array(
        [(kind(77), "\u00e9t\u00e9 \u4e2d", [], "")], dtype=[("n", object), ("t", object), ("e", object), ("s", object)]
    )
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"v": rows})
    (row,) = read_structs(stream.getvalue(), "v", ("n", "t", "e", "s"))
    assert (row["n"], row["t"]) == (77.0, "\u00e9t\u00e9 \u4e2d")
    assert row["e"] is None
    assert not row["s"]


def test_files_of_big_endian_machines():
    """Written by hand: one structure with one field, the number 3 in a small element."""

    def element(kind, data):
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    def matrix(matrix_class, name, *parts):
        flags = element(6, struct.pack(">II", matrix_class, 0))
        return element(14, flags + element(5, struct.pack(">ii", 1, 1)) + element(1, name) + b"".join(parts))

    number = matrix(6, b"", struct.pack(">HHB3x", 1, 2, 3))
    names = struct.pack(">HHi", 4, 5, 8) + element(1, b"id\0\0\0\0\0\0")
    content = b"MATLAB".ljust(124) + struct.pack(">H", 0x0100) + b"MI" + matrix(2, b"s", names, number)
    assert read_structs(content, "s", ("id",)) == [{"id": 3.0}]


def test_what_is_not_there():
    content = meta_mat()
    with pytest.raises(ValueError, match="it holds no array of structures 'nothing'"):
        read_structs(content, "nothing", FIELDS)
    with pytest.raises(ValueError, match="other is no array of structures"):
        read_structs(content, "other", FIELDS)
    with pytest.raises(ValueError, match=r"synsets has no field colour; it has ILSVRC2012_ID, WNID"):
        read_structs(content, "synsets", ("colour",))
    for other in (b"", b"x" * 200, content[:100]):
        with pytest.raises(ValueError, match="it is no MATLAB file of level 5"):
            read_structs(other, "synsets", FIELDS)


@pytest.mark.parametrize("compressed", [False, True])
def test_every_cut_and_many_changed_bytes_raise_value_errors_only(compressed):
    content = meta_mat(compressed=compressed)
    for length in range(128, len(content), 97):
        with pytest.raises(ValueError, match=r"damaged|no array|does not fit|values for"):
            read_structs(content[:length], "synsets", FIELDS)
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        changed = bytearray(content)
        changed[int(random.integers(128, len(content)))] = int(random.integers(256))
        try:
            read_structs(bytes(changed), "synsets", FIELDS)
        except ValueError:
            refused += 1
    assert refused > 20


def test_a_bomb_is_not_inflated(monkeypatch):
    monkeypatch.setattr("bandwise.sources.archives.matfile._MAX_BYTES", 1 << 16)
    bomb = zlib.compress(bytes(1 << 20))
    content = b"MATLAB".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + struct.pack("<II", 15, len(bomb)) + bomb
    with pytest.raises(ValueError, match="a variable has more than 65536 bytes"):
        read_structs(content, "synsets", FIELDS)
