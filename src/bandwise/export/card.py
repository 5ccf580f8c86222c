"""The card of a model: what it is, what it reaches and costs, how it is used, where it ends."""

from collections.abc import Sequence
from typing import Any

import yaml

from bandwise.errors import UsageError
from bandwise.export.preprocessing import preprocessing
from bandwise.report.notes import notes
from bandwise.report.page import Fold, Page, Section, page_to_markdown
from bandwise.report.tables import branch_table, cost_table, headline_table
from bandwise.report.verdict import comparisons, verdict
from bandwise.report.view import EvaluatedRun, RunView, describe
from bandwise.serving.ensemble import SpectralEnsemble

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
