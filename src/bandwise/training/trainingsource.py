"""The images that a store was made from, opened again for training on augmented pictures."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from bandwise.config import DataConfig
from bandwise.errors import IncompatibleError
from bandwise.files.atomic import explain_full_disk, temporary_path
from bandwise.sources.columns import Names, PickedNames, pieces
from bandwise.sources.resolve import open_source
from bandwise.sources.samples import SampleList, freeze_samples
from bandwise.sources.source import Source
from bandwise.store.layout import SAMPLES_NAME
from bandwise.store.origin import read_otherwise
from bandwise.store.reading.store import Store
from bandwise.store.samplefile import read_samples


def open_training_source(data: DataConfig, store: Store, folder: Path) -> tuple[Source, Names]:
    """Open the source of a store, and find the names of its training images.

    Listing the images takes as much memory as the split did, for a moment; the names then lie in a file without a name
    in `folder`, which is mapped.

    Args:
        data: where the images are.
        store: what was made from them.
        folder: the branch folder, or any other that can be written to.

    Returns:
        The source, and the names of the training images, by id.

    Raises:
        UsageError: there is no such source.
        IncompatibleError: it is not the one that the store was made from, or has changed since; the message says how.
        NoSpaceError: the disk is full.
    """
    source = open_source(data)
    if changed := read_otherwise(store, source):
        raise IncompatibleError(
            f"{data.data} is not what the store {store.path} was made from:\n  "
            + "\n  ".join(changed)
            + "\nname that source with --data (augment.at image reads it), or split again"
        )
    samples = freeze_samples(source, store.config, allow_empty_class=True)
    if samples.sha256() != store.manifest.samples.sha256:
        stored = read_samples(store.path / SAMPLES_NAME, store.classes)
        raise IncompatibleError(
            f"{data.data} has changed since the store {store.path} was made from it: {_difference(stored, samples)}; "
            "put it back as it was, or split again elsewhere"
        )
    train = samples.range("train")
    assert train.start == 0
    return source, _mapped(samples.paths[: train.stop], folder)


def _difference(stored: SampleList, now: SampleList) -> str:
    if stored.classes != now.classes:
        return f"it had {len(stored.classes)} classes and has {len(now.classes)}, or others"
    before, after = set(stored.paths), set(now.paths)
    found = [
        f"{len(names)} images {what}, for example {os.fsdecode(min(names))!r}"
        for what, names in (("are gone", before - after), ("are new", after - before))
        if names
    ]
    if found:
        return " and ".join(found)
    if list(stored.paths) == list(now.paths):
        for what, old, new in (("bytes", stored.sizes, now.sizes), ("as its class", stored.labels, now.labels)):
            if len(other := np.flatnonzero(old != new)):
                first = int(other[0])
                shown = os.fsdecode(stored.paths[first])
                return f"{len(other)} images differ, for example {shown!r} had {old[first]} {what} and has {new[first]}"
    return "its images are drawn into train and holdout otherwise"


def _mapped(names: Names | PickedNames, folder: Path) -> Names:
    """Move names to a mapped file, whose pages the system may drop; the file goes when the process does."""
    path = temporary_path(folder / "names.arrow")
    try:
        with explain_full_disk(path), path.open("wb") as stream:
            end = np.zeros(1, np.int64)
            stream.write(end.data)
            for here in pieces(len(names)):
                ends = end[-1] + np.cumsum(names[here].lengths())
                stream.write(ends.data)
                end = ends
            for here in pieces(len(names)):
                stream.write(names[here].packed().joined())
        content, offsets = pa.memory_map(str(path)).read_buffer(), (len(names) + 1) * end.itemsize
        buffers = [None, content.slice(0, offsets), content.slice(offsets)]
        return Names(pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(names), buffers, null_count=0))
    finally:
        path.unlink(missing_ok=True)
