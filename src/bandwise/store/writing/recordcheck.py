"""Whether a commit record holds what a record holds, before anything in it is believed.

A right seal only says that nobody altered the record since it was sealed; a store from elsewhere may have been sealed
with any content.
"""

import base64
import re
from typing import Any

from bandwise.store.writing.identity import Group

_HASH = re.compile(r"[0-9a-f]{64}")
_FACTS = {"bytes", "sha256", "footer_crc32", "rows"}


def well_formed(record: dict[str, Any], group: Group, bands: tuple[int, ...], names: set[str]) -> bool:
    """Say whether a record is one of this group and these bands.

    Args:
        record: the content of a sealed file.
        group: the group that its name says.
        bands: the bands that its name says.
        names: the band files of both.
    """
    try:
        keys = {str(band) for band in bands}
        base64.b64decode(record.get("hashes", ""), validate=True)
        return (
            record["split"] == group.split
            and record["group"] == group.index
            and record["ids"] == [group.ids.start, group.ids.stop]
            and record["bands"] == list(bands)
            and _count(record["rows"])
            and record["rows"] + len(record["bad"]) == len(group.ids)
            and set(record["files"]) == names
            and all(_file(facts, record["rows"]) for facts in record["files"].values())
            and all(_bad(sample, group) for sample in record["bad"])
            and all(_count(number) for number in record["notes"].values())
            and _hash(record["canvas_digest"])
            and record["digests"].keys() == record["statistics"].keys() == keys
            and all(_hash(digest) for digest in record["digests"].values())
            and len({_moments(part) for part in record["statistics"].values()}) == 1
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return False


def _count(value: object) -> bool:
    return type(value) is int and value >= 0


def _hash(value: object) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _file(facts: dict[str, Any], rows: int) -> bool:
    counted = all(_count(facts[key]) for key in _FACTS - {"sha256"})
    return facts.keys() == _FACTS and counted and facts["rows"] == rows and _hash(facts["sha256"])


def _bad(sample: dict[str, Any], group: Group) -> bool:
    texts = all(isinstance(sample[key], str) for key in ("path", "reason", "detail"))
    return type(sample["id"]) is int and sample["id"] in group.ids and texts


def _moments(part: dict[str, Any]) -> tuple[int, int, int]:
    """Return values, steps and colours, which all bands of a group have in common; ValueError for impossible ones."""
    sums, squares = part["sum"], part["sum_squares"]
    whole = all(type(number) is int for number in (*sums, *squares, part["count"], part["steps"]))
    if not whole or part["count"] < 0 or part["steps"] < 1 or len(sums) != len(squares) or min(squares, default=-1) < 0:
        raise ValueError(f"statistics {part!r}")
    if any(part["count"] * square < total**2 for total, square in zip(sums, squares, strict=True)):
        raise ValueError("a negative variance")
    return part["count"], part["steps"], len(sums)
