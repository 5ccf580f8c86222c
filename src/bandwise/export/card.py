"""The cards of a model and of a published store: what it is, how it was made and is used, where it ends.

That of a model also has what it reaches and costs.
"""

from collections.abc import Sequence
from typing import Any

import yaml

from bandwise.config import format_bands
from bandwise.errors import UsageError
from bandwise.export.graph import preprocessing
from bandwise.report.notes import notes
from bandwise.report.page import Fold, Page, Section, Table, page_to_markdown
from bandwise.report.tables import branch_table, cost_table, headline_table
from bandwise.report.units import amount
from bandwise.report.verdict import comparisons, verdict
from bandwise.report.view import EvaluatedRun, RunView, describe
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.store.layout import SPLITS, band_folder
from bandwise.store.manifest import Manifest

_TAGS = ["image-classification", "ensemble", "sub-band", "dct", "bandwise"]
PATENT = (
    "The method is that of Liu, Wang, Yuan and Han, Spectral Tensor Layers for Communication-Free Distributed Deep "
    "Learning, IEEE TNNLS 2024 (doi:10.1109/TNNLS.2024.3394861). A published patent application (US 2026/0030512 A1) "
    "describes it; find out what that means for you before you use the model commercially."
)
_SNIPPET = """\
from bandwise import SpectralEnsemble, predict_paths

ensemble = SpectralEnsemble.from_pretrained({place!r})
for row in predict_paths(ensemble, ["picture.jpg"]):
    print(row.path, row.classes[0].name, row.classes[0].probability)"""


_DATA_SNIPPET = """\
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


def model_card(
    view: RunView, controls: Sequence[RunView], ensemble: SpectralEnsemble, place: str, licence: str | None
) -> str:
    """Return the card of a run as Markdown, behind the fields that a hub reads.

    `place` is what `from_pretrained` takes in the snippet; `licence` is that of the weights, left out when None.
    """
    assert view.config is not None
    evaluated = isinstance(view, EvaluatedRun)
    what = describe(view.config)
    sections = [*(_results(view, controls) if evaluated else ()), *_use(ensemble, place)]
    limits = [*(notes(view, controls) if evaluated else ["This model was not scored on reported images."]), PATENT]
    page = Page(
        title=view.name,
        subtitle=f"{what[0].upper()}{what[1:]}: {view.config.network.model}, {view.trained}, "
        f"{len(ensemble.classes)} classes. Trained and fused with Bandwise.",
        statements=tuple(verdict(view, comparisons(view, controls))) if evaluated else (),
        cards=(),
        sections=(*sections, Section("limits", "Limits", paragraphs=tuple(limits))),
        footer="Figures with their environment are in results.json; every file is listed with its SHA-256 in "
        "bandwise.json.",
    )
    fields = {**({"license": licence} if licence else {}), **_fields(view)}
    return f"---\n{yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)}---\n\n{page_to_markdown(page)}"


def _results(view: EvaluatedRun, controls: Sequence[RunView]) -> list[Section]:
    tables = (headline_table(view, controls), *((branch_table(view),) if view.is_fused else ()))
    data = view.results.data
    text = (
        f"{data.name}: {data.n_train} images were trained on, {data.n_holdout} held back for the fusion, "
        f"{view.results.n_eval} reported; {data.skipped} could not be used."
    )
    return [
        Section("result", "Results", tables=tables),
        Section("cost", "Cost", tables=(cost_table([view, *controls], None),)),
        Section("data", "Data", paragraphs=(text,)),
    ]


def _use(ensemble: SpectralEnsemble, place: str) -> list[Section]:
    steps = preprocessing(ensemble)["steps"]
    return [
        Section("use", "Use", folds=(Fold("In Python", text=_SNIPPET.format(place=place)),)),
        Section("labels", "Labels", paragraphs=(", ".join(ensemble.classes) + ".",)),
        Section("preprocessing", "Preprocessing", paragraphs=tuple(f"{step[0].upper()}{step[1:]}." for step in steps)),
    ]


def _fields(view: RunView) -> dict[str, Any]:
    fields: dict[str, Any] = {"library_name": "bandwise", "pipeline_tag": "image-classification", "tags": _TAGS}
    if isinstance(view, EvaluatedRun):
        scores, name = view.headline, view.results.data.name
        values = {"accuracy": scores.top1, "top-5 accuracy": scores.top5, "nll": scores.nll, "ece": scores.ece}
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"name": name, "type": name},
            "metrics": [{"type": kind, "value": round(value, 6)} for kind, value in values.items()],
        }
        fields["model-index"] = [{"name": view.name, "results": [result]}]
    return fields


def require_evaluable(views: Sequence[RunView]) -> None:
    """Refuse controls that cannot be read: their figures would be missing from the card."""
    for view in views:
        if view.damage or view.config is None:
            raise UsageError("; ".join((*view.damage, *view.problems)))


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
    snippet = _DATA_SNIPPET.format(repository=repository, band=band_folder(manifest.bands[0]))
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
            Section("use", "Use", folds=(Fold("Train, or read", text=snippet),)),
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
