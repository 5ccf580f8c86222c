"""What `split` would see of a source, in seconds and with no store written: the list, and a look at some pictures."""

import hashlib
from collections import Counter, defaultdict
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


def inspect(source: Source, config: SplitConfig, most: int) -> dict[str, Any]:
    """List a source, and read and decode `most` of its pictures, evenly spread, as `split` would.

    Returns:
        What was found, ready for JSON: how it is read, pictures by class and split, what the pictures are that were
        looked at, which would be skipped and why, and which are the same file.
    """
    listing = Listing.of(source.entries())
    train, val = (counts_of(listing.labels[part], len(source.classes)).tolist() for part in (~listing.val, listing.val))
    chosen = np.unique(np.linspace(0, len(listing) - 1, min(most, len(listing))).astype(int)).tolist()
    formats, modes, notes = Counter[str](), Counter[str](), Counter[str]()
    sides: list[int] = []
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
            sides.append(min(content.shape[:2]))
        elif size := size_of(content, source.channels):
            formats["NumPy" if is_array(content) else "TIFF"] += 1
            modes[f"{source.channels} channels"] += 1
            sides.append(min(size))
        else:
            with open_picture(content) as picture:
                formats[picture.format or "unknown"] += 1
                modes[picture.mode] += 1
                sides.append(min(picture.size))
    sets = [indices for indices in same.values() if len(indices) > 1]
    return {
        "name": source.name,
        "kind": source.fingerprint.get("kind", "unknown"),
        "classes": {name: {"train": train[label], "val": val[label]} for label, name in enumerate(source.classes)},
        "train": sum(train),
        "val": sum(val),
        "looked_at": len(chosen),
        "formats": dict(formats.most_common()),
        "modes": dict(modes.most_common()),
        "short_sides": {"least": min(sides), "median": int(median(sides)), "most": max(sides)} if sides else {},
        "notes": dict(notes.most_common()),
        "skipped": {reason: len(names) for reason, names in skipped.items()},
        "skipped_examples": {reason: names[:_EXAMPLES] for reason, names in skipped.items()},
        "duplicates": {
            "sets": len(sets),
            "across_splits": sum(len(set(listing.val[indices].tolist())) > 1 for indices in sets),
            "examples": [[_shown(listing.names[index]) for index in indices] for indices in sets[:_EXAMPLES]],
        },
    }


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
