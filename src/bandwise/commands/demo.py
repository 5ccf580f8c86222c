"""`bandwise demo`: the main job on the embedded photographs, beside its controls."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bandwise.commands.evaluate import results_text
from bandwise.commands.outcome import Outcome, percent
from bandwise.commands.parsing import core_count, parse
from bandwise.commands.run import run_config
from bandwise.recipes.catalog import find_recipe
from bandwise.report.html import render_report

_RECIPE, _CONTROL = "photos-sub4", "photos-baseline"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Four bands of 1,393 grocery photographs, four networks, their fusion, and one network on the whole image."""

    out: Path = Path("runs/demo")
    """Folder for both runs and the report."""
    jobs: int = field(default_factory=core_count)
    """Branches trained at once."""
    json: bool = False
    """Print one JSON object."""


def main(argv: Sequence[str]) -> Outcome:
    """Run the demo, or what is missing of it."""
    arguments = parse(Arguments, argv, "demo")
    results: dict[str, Any] = {}
    for name in (_RECIPE, _CONTROL):
        config = find_recipe(name).config
        results[name] = run_config(config, arguments.out / name, workers=core_count(), jobs=arguments.jobs)
    page = render_report([arguments.out / _RECIPE, arguments.out / _CONTROL], arguments.out / "report.html")
    baseline, fused = results[_CONTROL]["branches"][0]["top1"], results[_RECIPE]["fused"]["top1"]
    text = "\n".join(
        [
            results_text(results[_RECIPE]),
            f"{_CONTROL}: top-1 {percent(baseline)}, one network on the whole image",
            f"fused minus baseline: {100 * (fused - baseline):+.2f} points, one seed, n = {results[_RECIPE]['n_eval']}",
            f"report: {page}",
        ]
    )
    return Outcome({"report": str(page), "runs": results}, text)
