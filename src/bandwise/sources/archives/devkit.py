"""What comes with ImageNet's archives: the classes, their words, and the class of each validation picture.

They are in the devkit, or in text files that others made from it. In these a byte-order mark, Windows line ends and
empty lines at the end do not matter; anything else that is not as it should be is refused with the number of the line.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bandwise.errors import UsageError
from bandwise.sources.archives.tar import members
from bandwise.sources.named.unpack import WrongContentError, gunzip
from bandwise.sources.reading import decode_text, memory_region, read_file, read_text

WORDNET_ID = re.compile(r"n[0-9]{8}")
ARCHIVE = "ILSVRC2012_devkit_t12.tar.gz"
FOLDER = "ILSVRC2012_devkit_t12"
GROUND_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"
META = "data/meta.mat"
VAL_SOLUTION = "LOC_val_solution.csv"
SYNSET_LABELS = "imagenet_2012_validation_synset_labels.txt"
WORDS = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")

_VALIDATION_PICTURE = re.compile(rb"ILSVRC2012_val_(\d{8})\.JPEG")
_MAX_ARCHIVE_BYTES = 64 << 20
_MAX_PLAIN_BYTES = 256 << 20

_FIELDS = ("ILSVRC2012_ID", "WNID", "words", "num_children")
_MAT_MATRIX, _MAT_COMPRESSED = 14, 15
_MAT_NUMBERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 9: "d", 12: "q", 13: "Q"}
_MAT_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16-le", 16: "utf-8", 17: "utf-16-le", 18: "utf-32-le"}
_MAT_CHAR_CLASS, _MAT_NUMBER_CLASSES = 4, range(6, 16)


@dataclass(frozen=True, slots=True)
class Labels:
    """The WordNet id of validation picture 1, 2, ...; all classes; words by WordNet id; and the file, for messages."""

    truth: list[str]
    wordnet_ids: frozenset[str]
    words: dict[str, str]
    where: str


def read_labels(root: Path) -> Labels:
    """Find the labels beside the archives: the devkit as an archive or unpacked, else one of two text files."""
    if (root / ARCHIVE).exists():
        return _from_devkit(_unpacked(root / ARCHIVE), str(root / ARCHIVE), _words_beside(root))
    if (root / FOLDER / META).exists():
        found = {name: _whole(root / FOLDER / name) for name in (GROUND_TRUTH, META)}
        return _from_devkit(found, str(root / FOLDER), _words_beside(root))
    for name, parse in ((VAL_SOLUTION, parse_val_solution), (SYNSET_LABELS, parse_synset_labels)):
        if (root / name).exists():
            truth, words = parse(read_text(root / name), str(root / name)), _words_beside(root)
            return Labels(truth, frozenset(truth), words, str(root / name))
    raise UsageError(
        f"{root} has no labels of the validation pictures; put {ARCHIVE} there (or {VAL_SOLUTION}, or {SYNSET_LABELS})"
    )


def numbered(where: str, names: Sequence[bytes], labels: Labels) -> np.ndarray:
    """Return the number, from 0, of each validation picture: those from 1 to that of the labels, each once."""
    matches = [_VALIDATION_PICTURE.fullmatch(name) for name in names]
    if wrong := [name for name, match in zip(names, matches, strict=True) if match is None]:
        raise UsageError(f"{where} holds {wrong[0]!r}; expected names such as ILSVRC2012_val_00000001.JPEG")
    numbers = np.array([int(match[1]) for match in matches if match], np.int64)
    if len(numbers) != len(labels.truth):
        raise UsageError(
            f"{where} holds {len(numbers)} pictures, but {labels.where} has labels for {len(labels.truth)}: "
            "they do not belong together, or one of them is not complete"
        )
    if lost := set(range(1, len(numbers) + 1)) - set(numbers.tolist()):
        raise UsageError(f"{where} holds {len(numbers)} pictures, but not number {min(lost)}")
    return numbers - 1


def find_words(root: Path) -> dict[str, str]:
    """Return the words of WordNet ids from the devkit or a text beside the archives; empty where there is neither."""
    if (root / ARCHIVE).exists() or (root / FOLDER / META).exists():
        return read_labels(root).words
    return _words_beside(root)


def _words_beside(root: Path) -> dict[str, str]:
    for name in WORDS:
        if (root / name).exists():
            return parse_words(read_text(root / name), str(root / name))
    return {}


def _unpacked(archive: Path) -> dict[str, bytes]:
    """Return the two files of the packed devkit, in memory."""
    try:
        region = memory_region(gunzip(_whole(archive), _MAX_PLAIN_BYTES), str(archive))
    except WrongContentError as error:
        raise UsageError(f"{archive}: {error}; fetch it again") from error
    found: dict[str, bytes] = {}
    for name, offset, size in members(region):
        for wanted in (GROUND_TRUTH, META):
            if f"/{name.decode('latin-1')}".endswith(f"/{wanted}"):
                found[wanted] = region.read_at(offset, size)
    if missing := {GROUND_TRUTH, META} - found.keys():
        raise UsageError(f"{archive} lacks {' and '.join(sorted(missing))}; fetch it again")
    return found


def _whole(path: Path) -> bytes:
    if not path.is_file():
        raise UsageError(f"{path} is missing, or no regular file")
    if path.stat().st_size > _MAX_ARCHIVE_BYTES:
        raise UsageError(f"{path} has {path.stat().st_size} bytes; a devkit has at most {_MAX_ARCHIVE_BYTES}")
    return read_file(bytes(path))


def _from_devkit(found: dict[str, bytes], where: str, words_beside: dict[str, str]) -> Labels:
    try:
        synsets = read_synsets(found[META])
    except ValueError as error:
        raise UsageError(f"{where}: {META}: {error}") from error
    by_id: dict[int, str] = {}
    words: dict[str, str] = {}
    # Inner nodes of the hierarchy have ids too, above those of the classes.
    for synset in (each for each in synsets if each["num_children"] == 0):
        number, wordnet_id, text = synset["ILSVRC2012_ID"], synset["WNID"], synset["words"]
        if not isinstance(number, float) or not isinstance(wordnet_id, str):
            raise UsageError(f"{where}: {META}: a synset without ILSVRC2012_ID or WNID")
        if not WORDNET_ID.fullmatch(wordnet_id) or int(number) in by_id or wordnet_id in words:
            raise UsageError(f"{where}: {META}: {wordnet_id!r} (id {number:g}) is no WordNet id, or stands twice")
        by_id[int(number)] = wordnet_id
        words[wordnet_id] = text if isinstance(text, str) else ""
    truth = parse_ground_truth(decode_text(found[GROUND_TRUTH], where), f"{where}: {GROUND_TRUTH}")
    for line, number in enumerate(truth, 1):
        if number not in by_id:
            raise UsageError(
                f"{where}: {GROUND_TRUTH}, line {line}: there is no class {number}; {META} has 1 to {len(by_id)}"
            )
    known = {wordnet_id: text for wordnet_id, text in words.items() if text}
    return Labels([by_id[number] for number in truth], frozenset(words), {**words_beside, **known}, where)


def parse_ground_truth(text: str, where: str) -> list[int]:
    """Read the devkit's ground truth: one ILSVRC2012 id a line, in the order of the picture numbers."""
    return [int(match[0]) for _, match in _lines(text, where, r"[0-9]{1,8}", "an id")]


def parse_synset_labels(text: str, where: str) -> list[str]:
    """Read `imagenet_2012_validation_synset_labels.txt`: one WordNet id a line, in the order of the picture numbers."""
    return [match[0] for _, match in _lines(text, where, WORDNET_ID.pattern, "a WordNet id")]


def parse_val_solution(text: str, where: str) -> list[str]:
    """Read Kaggle's `LOC_val_solution.csv`: `ImageId,PredictionString` with the WordNet id first in the second column.

    The pictures may come in any order; none may be missing or repeated.
    """
    form = r"(ILSVRC2012_val_(\d{8})(?:\.JPEG)?),(n[0-9]{8})(?: .*)?"
    found: dict[int, str] = {}
    for line, match in _lines(text, where, form, "a picture and its WordNet id", head="ImageId,"):
        if int(match[2]) in found:
            raise UsageError(f"{line}: {match[1]} stands there for the second time")
        found[int(match[2])] = match[3]
    if missing := set(range(1, len(found) + 1)) - found.keys():
        raise UsageError(f"{where} has {len(found)} pictures, but not number {min(missing)}")
    return [found[number] for number in sorted(found)]


def parse_words(text: str, where: str) -> dict[str, str]:
    """Read lines of a WordNet id and its words, as in `LOC_synset_mapping.txt` and WordNet's `words.txt`."""
    words: dict[str, str] = {}
    for line, match in _lines(text, where, r"(n[0-9]{8})[ \t](.+)", "a WordNet id and its words"):
        if match[1] in words:
            raise UsageError(f"{line}: {match[1]} stands there for the second time")
        words[match[1]] = match[2].strip()
    return words


def _lines(text: str, where: str, form: str, expected: str, head: str = "") -> Iterator[tuple[str, re.Match[str]]]:
    """Yield where each line stands and its match; all but a first one that begins with `head` must be of this form."""
    for number, line in enumerate(text.rstrip().split("\n"), 1):
        content = line.strip()
        if number == 1 and head and content.startswith(head):
            continue
        match = re.fullmatch(form, content)
        if match is None:
            raise UsageError(f"{where}, line {number}: {content[:60]!r} is not {expected}")
        yield f"{where}, line {number}", match


def class_names(wordnet_ids: list[str], words: dict[str, str]) -> tuple[str, ...]:
    """Return the name of each class: its WordNet id, and the first of its words where they are known.

    The id comes first and is always there, because words repeat: ImageNet-1K has two kinds of crane.
    """
    return tuple(
        f"{name} {words[name].partition(',')[0].strip()}" if name in words else name for name in sorted(wordnet_ids)
    )


def read_synsets(content: bytes) -> list[dict[str, str | float | None]]:
    """Read `meta.mat`: id, WordNet id, words and number of children of every node; None where a field is empty.

    This is as much of "MAT-File Format" (MathWorks), level 5 on a little-endian machine, as the devkit needs: one
    variable, an array of structures of text and numbers. Every length is checked against what is there; a `ValueError`
    says what is not as it should be.
    """
    if len(content) < 128 or content[126:128] != b"IM":
        raise ValueError("it is no MATLAB file of level 5")
    try:
        for kind, data in _mat_elements(content[128:]):
            if kind == _MAT_COMPRESSED:
                plain = zlib.decompressobj().decompress(data, _MAX_PLAIN_BYTES)
                if len(plain) == _MAX_PLAIN_BYTES:
                    raise ValueError(f"a variable has more than {_MAX_PLAIN_BYTES} bytes")
                kind, data = next(_mat_elements(plain))
            parts = list(_mat_elements(data)) if kind == _MAT_MATRIX else []
            if len(parts) > 4 and parts[2][1] == b"synsets":
                return _mat_rows(parts[3][1], parts[4][1], [_mat_value(part) for _, part in parts[5:]])
    except (struct.error, zlib.error, UnicodeDecodeError, StopIteration, IndexError) as error:
        raise ValueError(f"the MATLAB file is damaged: {error}") from error
    raise ValueError("it holds no array of structures 'synsets'")


def _mat_elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield type and data of each element."""
    position = 0
    while position + 8 <= len(content):
        kind, size = struct.unpack_from("<II", content, position)
        start = position + 8
        if kind >> 16:
            # A small element: size and type share four bytes, the data are the next four.
            kind, size, start = kind & 0xFFFF, kind >> 16, position + 4
        end = start + size
        if end > len(content) or (start == position + 4 and size > 4):
            raise ValueError(f"an element of {size} bytes does not fit into the file")
        yield kind, content[start:end]
        position = end if kind == _MAT_COMPRESSED else end + -(end - position) % 8


def _mat_rows(
    width: bytes, packed_names: bytes, values: list[str | float | None]
) -> list[dict[str, str | float | None]]:
    (length,) = struct.unpack("<i", width)
    fields = [packed_names[at : at + length] for at in range(0, len(packed_names), max(1, length))]
    names = [field.partition(b"\0")[0].decode("latin-1") for field in fields]
    if missing := set(_FIELDS) - set(names):
        raise ValueError(f"synsets has no field {', '.join(sorted(missing))}; it has {', '.join(names)}")
    if len(values) % len(names):
        raise ValueError(f"synsets has {len(values)} values for elements of {len(names)} fields")
    rows = (values[at : at + len(names)] for at in range(0, len(values), len(names)))
    return [{name: value for name, value in zip(names, row, strict=True) if name in _FIELDS} for row in rows]


def _mat_value(data: bytes) -> str | float | None:
    parts = list(_mat_elements(data))
    if len(parts) < 4:
        return None
    (kind, content), matrix_class = parts[3], parts[0][1][0]
    if matrix_class == _MAT_CHAR_CLASS and kind in _MAT_TEXTS:
        return content.decode(_MAT_TEXTS[kind])
    if matrix_class in _MAT_NUMBER_CLASSES and kind in _MAT_NUMBERS and content:
        return float(struct.unpack_from("<" + _MAT_NUMBERS[kind], content)[0])
    return None
