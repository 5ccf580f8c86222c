"""What the ILSVRC2012 devkit says: the classes, their words, and the class of each validation picture."""

from dataclasses import dataclass
from pathlib import Path

from bandwise.errors import UsageError
from bandwise.sources.archives import labels as labelfiles
from bandwise.sources.archives.archivefile import memory_region
from bandwise.sources.archives.matfile import read_structs
from bandwise.sources.archives.tarindex import members
from bandwise.sources.named.fetch import WrongContentError
from bandwise.sources.named.unpack import gunzip
from bandwise.sources.reading import read_file

ARCHIVE = "ILSVRC2012_devkit_t12.tar.gz"
FOLDER = "ILSVRC2012_devkit_t12"
GROUND_TRUTH = "data/ILSVRC2012_validation_ground_truth.txt"
META = "data/meta.mat"
VAL_SOLUTION = "LOC_val_solution.csv"
SYNSET_LABELS = "imagenet_2012_validation_synset_labels.txt"
WORDS = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")

_MAX_ARCHIVE_BYTES = 64 << 20
_MAX_PLAIN_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of the validation pictures.

    Attributes:
        truth: WordNet id of picture 1, 2, ...
        wordnet_ids: all classes, where the file says so; else those of the pictures.
        words: by WordNet id, where they are known.
        where: the file, for messages.
    """

    truth: list[str]
    wordnet_ids: frozenset[str]
    words: dict[str, str]
    where: str


def read_labels(root: Path) -> Labels:
    """Find the labels beside the archives: the devkit as an archive or unpacked, else one of two text files.

    Raises:
        UsageError: there is nothing of the kind, or it is damaged or contradicts itself.
    """
    if (root / ARCHIVE).exists():
        return _from_devkit(_unpacked(root / ARCHIVE), str(root / ARCHIVE), _words_beside(root))
    if (root / FOLDER / META).exists():
        found = {name: _whole(root / FOLDER / name) for name in (GROUND_TRUTH, META)}
        return _from_devkit(found, str(root / FOLDER), _words_beside(root))
    for name, parse in (
        (VAL_SOLUTION, labelfiles.parse_val_solution),
        (SYNSET_LABELS, labelfiles.parse_synset_labels),
    ):
        if (root / name).exists():
            truth, words = parse(labelfiles.read_text(root / name), str(root / name)), _words_beside(root)
            return Labels(truth, frozenset(truth), words, str(root / name))
    raise UsageError(
        f"{root} has no labels of the validation pictures; put {ARCHIVE} there (or {VAL_SOLUTION}, or {SYNSET_LABELS})"
    )


def find_words(root: Path) -> dict[str, str]:
    """Return the words of WordNet ids from the devkit or a text beside the archives; empty where there is neither.

    Raises:
        UsageError: the file is damaged.
    """
    if (root / ARCHIVE).exists() or (root / FOLDER / META).exists():
        return read_labels(root).words
    return _words_beside(root)


def _words_beside(root: Path) -> dict[str, str]:
    for name in WORDS:
        if (root / name).exists():
            return labelfiles.parse_words(labelfiles.read_text(root / name), str(root / name))
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
        synsets = read_structs(found[META], "synsets", ("ILSVRC2012_ID", "WNID", "words", "num_children"))
    except ValueError as error:
        raise UsageError(f"{where}: {META}: {error}") from error
    by_id: dict[int, str] = {}
    words: dict[str, str] = {}
    # Inner nodes of the hierarchy have ids too, above those of the classes.
    for synset in (each for each in synsets if each["num_children"] == 0):
        number, wordnet_id, text = synset["ILSVRC2012_ID"], synset["WNID"], synset["words"]
        if not isinstance(number, float) or not isinstance(wordnet_id, str):
            raise UsageError(f"{where}: {META}: a synset without ILSVRC2012_ID or WNID")
        if not labelfiles.WORDNET_ID.fullmatch(wordnet_id) or int(number) in by_id or wordnet_id in words:
            raise UsageError(f"{where}: {META}: {wordnet_id!r} (id {number:g}) is no WordNet id, or stands twice")
        by_id[int(number)] = wordnet_id
        words[wordnet_id] = text if isinstance(text, str) else ""
    truth = labelfiles.parse_ground_truth(
        labelfiles.decode_text(found[GROUND_TRUTH], where), f"{where}: {GROUND_TRUTH}"
    )
    for line, number in enumerate(truth, 1):
        if number not in by_id:
            raise UsageError(
                f"{where}: {GROUND_TRUTH}, line {line}: there is no class {number}; {META} has 1 to {len(by_id)}"
            )
    known = {wordnet_id: text for wordnet_id, text in words.items() if text}
    return Labels([by_id[number] for number in truth], frozenset(words), {**words_beside, **known}, where)
