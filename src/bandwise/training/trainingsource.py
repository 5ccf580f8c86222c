"""The images that a store was made from, opened again for training on augmented pictures."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bandwise.atomic import explain_full_disk, json_bytes, temporary_path
from bandwise.config import DataConfig
from bandwise.configfile import differences
from bandwise.errors import IncompatibleError
from bandwise.sources.names import Names
from bandwise.sources.resolve import open_source
from bandwise.sources.samples import SampleList, Source, freeze_samples
from bandwise.store.format import Store
from bandwise.store.layout import SAMPLES_NAME


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
    # The name of a folder changes where the folder moves; the sample list is compared anyway.
    made_from, facts = (
        {**each, "name": ""} for each in (store.manifest["source"], json.loads(json_bytes(source.fingerprint)))
    )
    if changed := differences(made_from, facts):
        raise IncompatibleError(
            f"{data.data} is not what the store {store.path} was made from:\n  "
            + "\n  ".join(changed)
            + "\nname that source with --data (augment.at image reads it), or split again"
        )
    samples = freeze_samples(source, store.config, allow_empty_class=True)
    if samples.sha256() != store.manifest["samples"]["sha256"]:
        stored = SampleList.from_table(pq.read_table(store.path / SAMPLES_NAME), store.classes)
        raise IncompatibleError(
            f"{data.data} has changed since the store {store.path} was made from it: {_difference(stored, samples)}; "
            "put it back as it was, or split again elsewhere"
        )
    train = samples.range("train")
    assert train.start == 0
    return source, _mapped(Names.of(samples.paths)[: train.stop], folder)


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


def _mapped(names: Names, folder: Path) -> Names:
    """Move names to a mapped file, whose pages the system may drop; the file goes when the process does."""
    path = temporary_path(folder / "names.arrow")
    batch = pa.RecordBatch.from_arrays([names.array], names=["name"])
    try:
        with (
            explain_full_disk(path),
            pa.OSFile(str(path), "wb") as stream,
            pa.ipc.new_file(stream, batch.schema) as writer,
        ):
            writer.write_batch(batch)
        return Names(pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0).column("name"))
    finally:
        path.unlink(missing_ok=True)
