"""Documents with their own hash: every byte of them is covered, and so is every line of a log of rows."""

import json
import os

import pytest

from bandwise.errors import CorruptionError
from bandwise.files.documents import SEAL, read_document, read_rows, seal, write_document, write_rows

CONTENT = {"b": [1, 2.5, None, True], "a": {"x": "text, ü", "y": -0.1}, "long": 2**70}
ROWS = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}, {"epoch": 3, "loss": 1e-7}]


def flips(content: bytes):
    for position in range(len(content)):
        for bit in range(8):
            changed = bytearray(content)
            changed[position] ^= 1 << bit
            yield bytes(changed)


def test_a_document_comes_back(tmp_path):
    write_document(tmp_path / "a.json", CONTENT)
    assert read_document(tmp_path / "a.json") == CONTENT
    assert json.loads((tmp_path / "a.json").read_text())[SEAL] == seal(CONTENT)[SEAL]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_every_flipped_bit_is_found(tmp_path, name):
    path = tmp_path / name
    if name == "a.json":
        write_document(path, CONTENT)
        read = read_document
    else:
        write_rows(path, ROWS)
        read = read_rows
    count = 0
    for changed in flips(path.read_bytes()):
        path.write_bytes(changed)
        with pytest.raises(CorruptionError, match=name):
            read(path)
        count += 1
    assert count > 1500


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + b"\n",
        lambda text: b" " + text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b'"text, \\u00fc"', '"text, ü"'.encode()),
        lambda text: text.replace(b'"a"', b'"a": 1, "a"'),
        lambda text: json.dumps({key: value for key, value in json.loads(text).items() if key != SEAL}).encode(),
        lambda text: json.dumps(json.loads(text)).encode(),
        lambda text: b"[]",
        lambda text: b'{"self_sha256": NaN}',
    ],
)
def test_other_bytes_with_the_same_meaning_are_damage_too(tmp_path, change):
    path = tmp_path / "a.json"
    write_document(path, CONTENT)
    good = path.read_bytes()
    path.write_bytes(change(good))
    assert path.read_bytes() != good
    with pytest.raises(CorruptionError, match=r"a\.json is damaged"):
        read_document(path)


def test_rows_come_back_and_depend_on_those_before(tmp_path):
    path = tmp_path / "a.jsonl"
    write_rows(path, ROWS)
    assert read_rows(path) == ROWS
    lines = path.read_bytes().splitlines(keepends=True)
    write_rows(path, ROWS[:2])
    assert path.read_bytes() == b"".join(lines[:2])
    for kept in ([0, 2], [1, 2], [1, 0, 2], [0, 0, 1, 2]):
        path.write_bytes(b"".join(lines[index] for index in kept))
        with pytest.raises(CorruptionError, match="does not match its own hash"):
            read_rows(path)


def test_no_rows_are_an_empty_file(tmp_path):
    write_rows(tmp_path / "a.jsonl", [])
    assert (tmp_path / "a.jsonl").read_bytes() == b""
    assert read_rows(tmp_path / "a.jsonl") == []


@pytest.mark.timeout(10)
@pytest.mark.parametrize("read", [read_document, read_rows])
def test_a_pipe_is_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(CorruptionError, match="is no file"):
        read(tmp_path / "a.json")
