"""JSON of ours: every byte of a document is covered by its hash, every line of a log; nothing but a file is read."""

import json
import os

import pytest

from bandwise.errors import CorruptionError
from bandwise.files.arrays import read_arrays
from bandwise.files.documents import (
    SEAL,
    json_bytes,
    read_document,
    read_json,
    read_rows,
    seal,
    write_document,
    write_rows,
)
from bandwise.files.regular import read_bytes, sha256_file

CONTENT = {"b": [1, 2.5, None, True], "a": {"x": "text, ü", "y": -0.1}, "long": 2**70}
ROWS = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}, {"epoch": 3, "loss": 1e-7}]


def test_a_document_comes_back(tmp_path):
    write_document(tmp_path / "a.json", CONTENT)
    assert read_document(tmp_path / "a.json") == CONTENT
    assert json.loads((tmp_path / "a.json").read_text())[SEAL] == seal(CONTENT)[SEAL]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_a_flipped_bit_in_any_byte_is_found(tmp_path, name):
    path = tmp_path / name
    write, content, read = (
        (write_document, CONTENT, read_document) if name == "a.json" else (write_rows, ROWS, read_rows)
    )
    write(path, content)
    good = path.read_bytes()
    for place, byte in enumerate(good):
        path.write_bytes(good[:place] + bytes([byte ^ 1 << place % 8]) + good[place + 1 :])
        with pytest.raises(CorruptionError, match=name):
            read(path)


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


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1, "a": 2}', b"\xff\xfe", b"[" * 100_000])
def test_damaged_json_is_named(tmp_path, content):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(CorruptionError, match=r"x\.json is damaged"):
        read_json(path)


def test_json_has_one_form_and_no_nan():
    assert json_bytes({"b": 1, "a": [1.5]}) == b'{\n  "a": [\n    1.5\n  ],\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_bytes({"a": float("nan")})


@pytest.mark.timeout(20)
@pytest.mark.parametrize("read", [read_json, read_document, read_rows, read_arrays, sha256_file])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link to itself", "device", "nothing"])
def test_what_is_no_file_is_damage_and_not_waited_for(tmp_path, read, kind):
    path = tmp_path / "a.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind != "nothing":
        path.symlink_to(path if kind == "link to itself" else "/dev/zero")
    with pytest.raises(CorruptionError, match=r"a\.json is (no file|missing)"):
        read(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    (tmp_path / "a.json").write_bytes(b"[0]")
    with pytest.raises(CorruptionError, match="has 3 bytes; at most 2 are read"):
        read_bytes(tmp_path / "a.json", max_bytes=2)
