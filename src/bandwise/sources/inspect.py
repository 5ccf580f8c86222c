"""What `split` would see of a source, in seconds and with no store written: the list, and a look at some pictures."""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from bandwise.config import SplitConfig
from bandwise.sources.columns import counts_of
from bandwise.sources.decoding.badimage import BadImage
from bandwise.sources.decoding.decode import decode_canvas, open_picture
from bandwise.sources.decoding.multiband import size_of
from bandwise.sources.decoding.sniff import is_array
from bandwise.sources.source import Listing, Source

_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Inspection:
    """A source as it is listed, and as so many of its pictures are."""

    name: str
    kind: str
    classes: dict[str, tuple[int, int]]
    """Training and reported pictures of each."""
    looked_at: int
    formats: Counter[str]
    modes: Counter[str]
    sizes: list[tuple[int, int]]
    notes: Counter[str]
    skipped: dict[str, list[str]]
    """Names by reason."""
    duplicates: list[list[str]]
    """Names of pictures that are the same file."""
    across_splits: int

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        sides = [min(size) for size in self.sizes]
        return {
            "name": self.name,
            "kind": self.kind,
            "classes": {name: {"train": train, "val": val} for name, (train, val) in self.classes.items()},
            "train": sum(train for train, _ in self.classes.values()),
            "val": sum(val for _, val in self.classes.values()),
            "looked_at": self.looked_at,
            "formats": dict(self.formats.most_common()),
            "modes": dict(self.modes.most_common()),
            "short_sides": {"least": min(sides), "median": int(median(sides)), "most": max(sides)} if sides else {},
            "notes": dict(self.notes.most_common()),
            "skipped": {reason: len(names) for reason, names in self.skipped.items()},
            "skipped_examples": {reason: names[:_EXAMPLES] for reason, names in self.skipped.items()},
            "duplicates": {
                "sets": len(self.duplicates),
                "across_splits": self.across_splits,
                "examples": self.duplicates[:_EXAMPLES],
            },
        }


def inspect(source: Source, config: SplitConfig, most: int) -> Inspection:
    """List a source, and read and decode `most` of its pictures, evenly spread, as `split` would."""
    listing = Listing.of(source.entries())
    train, val = (counts_of(listing.labels[part], len(source.classes)).tolist() for part in (~listing.val, listing.val))
    chosen = np.unique(np.linspace(0, len(listing) - 1, min(most, len(listing))).astype(int)).tolist()
    formats, modes, notes = Counter[str](), Counter[str](), Counter[str]()
    sizes: list[tuple[int, int]] = []
    skipped: dict[str, list[str]] = defaultdict(list)
    same: dict[bytes, list[int]] = defaultdict(list)
    for index in chosen:
        content = source.read(listing.names[index])
        encoded = content if isinstance(content, bytes) else content.tobytes()
        same[hashlib.sha256(encoded).digest()].append(index)
        try:
            notes.update(decode_canvas(content, listing.names[index], source.channels, config)[1])
        except BadImage as error:
            skipped[error.reason].append(_shown(listing.names[index]))
            continue
        if isinstance(content, np.ndarray):
            formats["pixels"] += 1
            sizes.append((content.shape[1], content.shape[0]))
        elif facts := size_of(content, source.channels):
            formats["NumPy" if is_array(content) else "TIFF"] += 1
            modes[f"{source.channels} channels"] += 1
            sizes.append(facts)
        else:
            with open_picture(content) as picture:
                formats[picture.format or "unknown"] += 1
                modes[picture.mode] += 1
                sizes.append(picture.size)
    sets = [indices for indices in same.values() if len(indices) > 1]
    return Inspection(
        name=source.name,
        kind=source.fingerprint.get("kind", "unknown"),
        classes=dict(zip(source.classes, zip(train, val, strict=True), strict=True)),
        looked_at=len(chosen),
        formats=formats,
        modes=modes,
        sizes=sizes,
        notes=notes,
        skipped=dict(skipped),
        duplicates=[[_shown(listing.names[index]) for index in indices] for indices in sets],
        across_splits=sum(len({bool(listing.val[index]) for index in indices}) > 1 for indices in sets),
    )


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
