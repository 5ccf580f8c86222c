"""README.md of a store: the data-set card by which `load_dataset(STORE, "band-03")` and the hub show every band."""

import json
import re
from collections.abc import Collection

from bandwise.store.layout import SPLITS, band_folder
from bandwise.store.manifest import Identity

# Control characters, lone surrogates, and the line separators and marks that YAML gives a meaning.
_NOT_PRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def build_card(identity: Identity, bands: tuple[int, ...], splits: Collection[str]) -> str:
    """Return the card of a store with these finished bands, and files in these splits."""
    config = identity.split
    side = config.canvas // config.stride
    lines = ["---", "task_categories:", "- image-classification", "tags:", "- bandwise", "- sub-band", "configs:"]
    for band in bands:
        lines += [f"- config_name: {band_folder(band)}", "  data_files:"]
        lines += [
            line
            for split in SPLITS
            if split in splits
            for line in (f"  - split: {split}", f"    path: {band_folder(band)}/{split}-*.parquet")
        ]
    lines.append("dataset_info:")
    for position, band in enumerate(bands):
        lines += [f"- config_name: {band_folder(band)}", *_features(identity, first=position == 0)]
    lines += [
        "---",
        "",
        f"# {_plain(identity.source.get('name', 'images'))} in {config.stride**2} sub-bands",
        "",
        f"Made by bandwise: every image was cut to its central square, resized to {config.canvas} pixels and split",
        f"by a {config.transform} transform with stride {config.stride} into {config.stride**2}",
        f"sub-bands of {side} x {side} pixels. Row i of a split is the same image in every band.",
        f'`load_dataset(FOLDER, "{band_folder(bands[0])}")` reads one band; `samples.parquet` names the images,',
        "`MANIFEST.json` states scale, offset, mean and standard deviation of every band, and the libraries that",
        "made the pixels.",
        "",
    ]
    return "\n".join(lines)


def _features(identity: Identity, *, first: bool) -> list[str]:
    if not first:
        return ["  features: *features"]
    picture = identity.split.storage == "uint8"
    lines = ["  features: &features", "  - name: id", "    dtype: int64", "  - name: label", "    dtype:"]
    lines += ["      class_label:", "        names:"]
    lines += [f"          '{label}': {_quoted(name)}" for label, name in enumerate(identity.classes)]
    lines.append("  - name: image")
    if picture:
        return [*lines, "    dtype: image"]
    return [
        *lines,
        "    struct:",
        "    - name: bytes",
        "      dtype: binary",
        "    - name: path",
        "      dtype: string",
    ]


def _plain(text: str) -> str:
    return _NOT_PRINTABLE.sub("\ufffd", text)


def _quoted(text: str) -> str:
    """Write text as a YAML double-quoted scalar; JSON's form of printable text is one."""
    return json.dumps(_plain(text), ensure_ascii=False)
