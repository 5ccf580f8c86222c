"""The card of a published store: what is in it, how it was made, how it is used, where it ends."""

from typing import Any

import yaml

from bandwise.config import format_bands
from bandwise.export.card import PATENT
from bandwise.report.page import Fold, Page, Section, Table, page_to_markdown
from bandwise.report.units import amount
from bandwise.store.layout import SPLITS, band_folder
from bandwise.store.manifest import Manifest

_SNIPPET = """\
bandwise train photos-sub4 --out RUN --store hf://datasets/{repository}

from datasets import load_dataset
bands = load_dataset({repository!r}, {band!r})"""
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
_LARGEST = "10M<n<100M"


def data_card(manifest: Manifest, own: str, repository: str, licence: str | None) -> str:
    """Return the card of a store as Markdown, behind the fields that a hub reads.

    Args:
        manifest: of the store.
        own: the card that lies in the store, whose fields say which files are which band and split.
        repository: where it is published, OWNER/NAME.
        licence: of the pictures, left out when None.
    """
    name = str(manifest.source.get("name", "images"))
    rows = sum(facts.rows for facts in manifest.splits.values())
    size = next((tag for limit, tag in _SIZES if rows < limit), _LARGEST)
    about = {"pretty_name": f"{name} in {manifest.band_count} sub-bands", "size_categories": [size]}
    about |= {"license": licence} if licence else {}
    config, side = manifest.split, manifest.split.canvas // manifest.split.stride
    page = Page(
        title=f"{name} in {manifest.band_count} sub-bands",
        subtitle=f"{rows} images of {len(manifest.classes)} classes, each cut to its central square, resized to "
        f"{config.canvas} pixels and split by {config.transform} with stride {config.stride} into sub-bands "
        f"of {side} x {side} pixels. Row i of a split is the same image in every band. Made by Bandwise.",
        statements=(),
        cards=(),
        sections=(
            Section("bands", "Bands", tables=(_bands(manifest),)),
            Section("images", "Images", paragraphs=_left_out(manifest), tables=(_images(manifest),)),
            Section("use", "Use", folds=(Fold("Train, or read", text=_snippet(manifest, repository)),)),
            Section("labels", "Labels", paragraphs=(", ".join(manifest.classes) + ".",)),
            Section("preprocessing", "Preprocessing", paragraphs=_made(manifest)),
            Section("limits", "Limits", paragraphs=(*_limits(licence), PATENT)),
        ),
        footer="MANIFEST.json lists every file with its size and SHA-256; samples.parquet names the image behind every "
        "row.",
    )
    _, fields, _ = own.split("---\n", 2)
    # The fields of the store stay as they are: its anchors keep the classes of many bands short.
    return f"---\n{yaml.safe_dump(about, sort_keys=False, allow_unicode=True)}{fields}---\n\n{page_to_markdown(page)}"


def _snippet(manifest: Manifest, repository: str) -> str:
    return _SNIPPET.format(repository=repository, band=band_folder(manifest.bands[0]))


def _bands(manifest: Manifest) -> Table:
    def row(band: int) -> tuple[str, ...]:
        own = [facts.bytes for name, facts in manifest.files.items() if name.startswith(f"{band_folder(band)}/")]
        values = manifest.statistics[band]
        means, spreads = (", ".join(f"{value:.1f}" for value in part) for part in (values.mean, values.std))
        return str(band), band_folder(band), str(len(own)), amount(sum(own), "B"), means, spreads

    return Table(
        caption=f"Bands {format_bands(manifest.bands)} of {manifest.band_count}",
        head=("band", "configuration", "files", "size", "mean", "standard deviation"),
        rows=tuple(map(row, manifest.bands)),
        text_columns=frozenset({0, 1}),
        note="Mean and standard deviation are of the stored values over the training images, by colour.",
    )


def _images(manifest: Manifest) -> Table:
    words = dict(zip(SPLITS, ("trained on", "held back for the fusion", "reported"), strict=True))
    facts = manifest.splits
    return Table(
        caption="Images by split",
        head=("split", "is", "images", "stored"),
        rows=tuple((split, words[split], str(facts[split].samples), str(facts[split].rows)) for split in SPLITS),
        text_columns=frozenset({0, 1}),
    )


def _left_out(manifest: Manifest) -> tuple[str, ...]:
    found: dict[str, Any] = {"could not be read and are in no band": len(manifest.bad)}
    if manifest.duplicates is not None:
        found["are byte for byte copies of another one, which are kept"] = manifest.duplicates.pictures
    return tuple(f"{count} images {what}." for what, count in found.items())


def _made(manifest: Manifest) -> tuple[str, ...]:
    config, pixels = manifest.split, manifest.pixels
    stored = "rounded to bytes, never clipped" if config.storage == "uint8" else "16 bit floats"
    return (
        f"Decoded by {pixels['decoder']}; {pixels['box']}; {pixels['resampler']}.",
        f"Stored values are {stored}, as {config.codec}; scale and offset of every band are in MANIFEST.json.",
        "Libraries: " + ", ".join(f"{name} {version}" for name, version in sorted(manifest.versions.items())) + ".",
    )


def _limits(licence: str | None) -> tuple[str, ...]:
    rights = (
        "The rights in the images are those of their source; this card states no licence for them."
        if licence is None
        else f"The images are under the licence {licence}, as whoever published them states."
    )
    return (
        rights,
        "What lies outside the central square of an image is not stored, and canvases larger than the image are "
        "interpolated.",
    )
