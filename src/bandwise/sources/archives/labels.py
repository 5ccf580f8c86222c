"""Text files that come with ImageNet: labels of the validation pictures, and the words of a WordNet id.

A byte-order mark, Windows line ends and empty lines at the end do not matter; anything else that is not as it should be
is refused with the number of the line.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from bandwise.errors import UsageError
from bandwise.sources.reading import read_file

MAX_TEXT_BYTES = 64 << 20
WORDNET_ID = re.compile(r"n[0-9]{8}")

_VALIDATION_NAME = re.compile(r"ILSVRC2012_val_(\d{8})(?:\.JPEG)?")


def read_text(path: Path) -> str:
    """Return a text file of UTF-8 that is not too large."""
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise UsageError(f"{path} has {path.stat().st_size} bytes; a text of labels has at most {MAX_TEXT_BYTES}")
    return decode_text(read_file(bytes(path)), str(path))


def decode_text(content: bytes, where: str) -> str:
    """Decode UTF-8, with or without a byte-order mark; anything else is a `UsageError`."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is no UTF-8 text: {error.reason} at byte {error.start}") from error


def parse_ground_truth(text: str, where: str) -> list[int]:
    """Read the devkit's ground truth: one ILSVRC2012 id a line, in the order of the picture numbers."""
    return [int(line) if _is_number(line) else _bad(where, number, line, "an id") for number, line in _lines(text)]


def parse_synset_labels(text: str, where: str) -> list[str]:
    """Read `imagenet_2012_validation_synset_labels.txt`: one WordNet id a line, in the order of the picture numbers."""
    return [
        line if WORDNET_ID.fullmatch(line) else _bad(where, number, line, "a WordNet id")
        for number, line in _lines(text)
    ]


def parse_val_solution(text: str, where: str) -> list[str]:
    """Read Kaggle's `LOC_val_solution.csv`: `ImageId,PredictionString` with the WordNet id first in the second column.

    Returns:
        One WordNet id a picture, in the order of the picture numbers; none may be missing or repeated.
    """
    found: dict[int, str] = {}
    for number, line in _lines(text):
        if number == 1 and line.startswith("ImageId,"):
            continue
        name, _, prediction = line.partition(",")
        match, wordnet_id = _VALIDATION_NAME.fullmatch(name), prediction.partition(" ")[0]
        if match is None or not WORDNET_ID.fullmatch(wordnet_id):
            _bad(where, number, line, "a picture and its WordNet id")
        if int(match[1]) in found:
            raise UsageError(f"{where}, line {number}: {name} stands there for the second time")
        found[int(match[1])] = wordnet_id
    if missing := set(range(1, len(found) + 1)) - found.keys():
        raise UsageError(f"{where} has {len(found)} pictures, but not number {min(missing)}")
    return [found[number] for number in sorted(found)]


def parse_words(text: str, where: str) -> dict[str, str]:
    """Read lines of a WordNet id and its words, as in `LOC_synset_mapping.txt` and WordNet's `words.txt`."""
    words: dict[str, str] = {}
    for number, line in _lines(text):
        wordnet_id, text_after = line[:9], line[9:].strip()
        if not WORDNET_ID.fullmatch(wordnet_id) or line[9:10] not in (" ", "\t") or not text_after:
            _bad(where, number, line, "a WordNet id and its words")
        if wordnet_id in words:
            raise UsageError(f"{where}, line {number}: {wordnet_id} stands there for the second time")
        words[wordnet_id] = text_after
    return words


def class_names(wordnet_ids: list[str], words: dict[str, str]) -> tuple[str, ...]:
    """Return the name of each class: its WordNet id, and the first of its words where they are known.

    The id comes first and is always there, because words repeat: ImageNet-1K has two kinds of crane.
    """
    return tuple(
        f"{name} {words[name].partition(',')[0].strip()}" if name in words else name for name in sorted(wordnet_ids)
    )


def _lines(text: str) -> Iterator[tuple[int, str]]:
    yield from ((number, line.strip()) for number, line in enumerate(text.rstrip().split("\n"), 1))


def _is_number(line: str) -> bool:
    return line.isascii() and line.isdigit() and len(line) < 9


def _bad(where: str, number: int, line: str, expected: str) -> NoReturn:
    raise UsageError(f"{where}, line {number}: {line[:60]!r} is not {expected}")
