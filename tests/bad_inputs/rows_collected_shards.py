"""Shards as people have them, by the names they were filed under: exit code, words and counts of each."""

import gzip

import pyarrow as pa
from tests.bad_inputs.collected import (
    CLASSES,
    LACKS_REPORTED,
    POSITIONS,
    Collection,
    Files,
    captioned,
    frames,
    hub,
    read,
    refused,
    table,
    tar,
    wds,
)

OF_TEXT = pa.dictionary(pa.int8(), pa.string())


def some_with_dots(index: int) -> str:
    return f"photo.v2_{index:04d}" if index % 12 in (3, 4, 5) else f"photo_{index:04d}"


def linked() -> Files:
    """Return the cache of the hub, whose names lead to files that are called by their content."""
    files: Files = {}
    for name, content in hub(names=CLASSES).items():
        blob = f"blobs/{name.partition('.')[0]}"
        files |= {blob: content, f"snapshots/abc/data/{name}": f"../../../{blob}"}
    return files


SHARDS: dict[str, Collection] = {
    "131-hf-cache": refused(linked, "did you mean --data ", "/131-hf-cache/snapshots/abc?"),
    "141-code-labels": refused(
        lambda: wds(says=(2, 205, 123).__getitem__, key="{:05d}".format), "labels run to 205, but there are only 48"
    ),
    "192-double-ext": read(
        lambda: wds("train-0.tar", "val-0.tar", key=lambda n: f"{n:05d}.jpg" if n % 4 == 3 else f"{n:05d}"),
        classes=POSITIONS,
    ),
    "41b-wds-some-dots": refused(
        lambda: wds(key=some_with_dots),
        "the sample 'photo' has",
        "pictures: 'photo.v2_0003.jpg', 'photo.v2_0004.jpg'",
        "rename the files so that only the extension follows a dot",
    ),
    "42-wds-all-dots": read(lambda: wds(key="{}.05".format), classes=POSITIONS),
    "43-wds-named": read(lambda: wds(picture="input.jpg", label="output.cls"), classes=POSITIONS),
    "44-img2dataset": refused(
        lambda: {f"{shard:05d}.tar": captioned(12 * shard) for shard in range(3)},
        "shards are found by the split in their names: call those to train on as train-00000.tar",
    ),
    "45-wds-subfolders": read(
        lambda: (
            {f"train/shard-{shard:06d}.tar": tar(12, first=12 * shard) for shard in range(3)}
            | {"val/shard-000000.tar": tar(12, first=900)}
        ),
        classes=POSITIONS,
    ),
    "46-wds-gap": refused(
        lambda: {
            f"{name}.tar": tar(12, first=100 * n)
            for n, name in enumerate(("train-000000", "train-000001", "train-000003", "val-000000"))
        },
        "has 3 files train-*.tar up to number 3, but not train-000002.tar; fetch what is missing",
    ),
    "47-wds-gz": refused(
        lambda: {f"{name}.gz": gzip.compress(content) for name, content in wds().items()},
        "compressed shards are not read: decompress them once, for example with gunzip",
    ),
    "49-wds-one-based": refused(
        lambda: wds(says=lambda label: label + 1),
        "1 of 4 classes have no images in train: '0' (labels seem to begin at 1, and are positions from 0)",
    ),
    "50-wds-train-small": refused(
        lambda: wds() | {"train_small-000000.tar": tar(12)},
        "holds 2 families of shards for one split: train* (1 files), train_small* (1 files)",
    ),
    "61-hf-img-label": read(lambda: hub(image="img", names=CLASSES)),
    "62-hf-image-labels": read(lambda: hub(label="labels", names=CLASSES)),
    "63-hf-fine-label": read(lambda: hub(image="img", label="fine_label", names=CLASSES)),
    "64-hf-bool": read(lambda: hub(says=bool), counts=(29, 7, 12), classes=("False", "True")),
    "65-hf-float": read(lambda: hub(says=float), classes=POSITIONS),
    "67-hf-convert-layout": refused(
        lambda: {"default/train/0000.parquet": table(36), "default/validation/0000.parquet": table(12, first=900)},
        "did you mean --data ",
        "/67-hf-convert-layout/default?",
    ),
    "70-hf-save-to-disk": refused(
        lambda: {
            "dataset_dict.json": b"{}",
            **{
                f"{split}/{name}": b"{}" for split in ("train", "validation") for name in ("state.json", "data-0.arrow")
            },
        },
        "this is what `save_to_disk` of `datasets` writes; write shards in place of it: load_from_disk(",
    ),
    "71-pd-bytes": read(lambda: frames(plain=True), classes=POSITIONS),
    "72-pd-categorical": read(lambda: frames(says=CLASSES.__getitem__, kind=OF_TEXT)),
    "78-train-extra": refused(
        lambda: hub(names=CLASSES) | {"train_extra-00000-of-00001.parquet": table(12, first=500)},
        "holds 2 families of shards for one split: train* (1 files), train_extra* (1 files)",
    ),
    "80-unused-names": refused(
        lambda: hub(names=[*CLASSES, "dog", "eel"]), "2 of 5 classes have no images in train: 'dog', 'eel'"
    ),
    "81-pq-gap": refused(
        lambda: {
            f"{name}.parquet": table(12, first=100 * n, names=CLASSES)
            for n, name in enumerate(("train-0000", "train-0001", "train-0003", "val-0000"))
        },
        "has 3 files train-*.parquet up to number 3, but not train-0002.parquet; fetch what is missing",
    ),
    "84-polars-cat": read(lambda: frames(says=CLASSES.__getitem__, kind=pa.dictionary(pa.uint32(), pa.large_string()))),
    "shards to train on alone": read(
        lambda: {"train-000000.tar": tar(36)},
        "has no reported set",
        counts=(27, 9, 0),
        classes=POSITIONS,
        runs=[LACKS_REPORTED],
    ),
    "pictures by path alone": refused(lambda: hub(by_path=True), "holds paths of pictures and not the pictures"),
}
