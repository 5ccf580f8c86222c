"""`bandwise demo`: the main job on the embedded photographs, beside its controls."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bandwise.commands import flags
from bandwise.commands.store_source import source_of
from bandwise.commands.verb import Outcome, command, parse, percent, results_text, wrote
from bandwise.errors import UsageError
from bandwise.export.page import require_page, web_runtime, write_page
from bandwise.export.parity import pictures_of_run
from bandwise.launch.engines.processes import processes_or_none
from bandwise.launch.pipeline import run_together
from bandwise.machine import usable_cores
from bandwise.recipes.catalog import find_recipe
from bandwise.report.html import render_report
from bandwise.runs.run import open_run
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.store.reading.store import open_store

_RECIPE, _CONTROL = "photos-sub4", "photos-baseline"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Four bands of 1,393 grocery photographs, four networks, their fusion, and one network on the whole image."""

    out: Path = Path("runs/demo")
    """Folder for both runs and the report."""
    jobs: int = field(default_factory=usable_cores)
    """Branches trained at once."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "demo")
    # The control first: it takes as long as all branches together, so that two cores finish at the same time.
    names = (_CONTROL, _RECIPE)
    configs = {arguments.out / name: find_recipe(name).config for name in names}
    branches = sum(len(config.groups()) for config in configs.values())
    engine = processes_or_none(configs[arguments.out / _RECIPE].training, branches, arguments.jobs)
    found = run_together(configs, engine=engine, workers=usable_cores())
    # The photographs have a reported set.
    results = {name: each for name, each in zip(names, found, strict=True) if each is not None}
    report = render_report([arguments.out / _RECIPE, arguments.out / _CONTROL], arguments.out / "report.html")
    baseline, fused = results[_CONTROL].branches[0].top1, results[_RECIPE].fused.top1
    page, said = page_beside(arguments.out / _RECIPE, arguments.out / "page")
    text = "\n".join(
        [
            results_text(results[_RECIPE]),
            f"{_CONTROL}: top-1 {percent(baseline)}, one network on the whole image",
            f"fused minus baseline: {100 * (fused - baseline):+.2f} points, one seed, n = {results[_RECIPE].n_eval}",
            said,
            wrote(report, "predict", arguments.out / _RECIPE, "PICTURES"),
        ]
    )
    return Outcome(
        {
            "report": str(report),
            "page": page and str(page),
            "runs": {name: each.to_dict() for name, each in results.items()},
        },
        text,
    )


def page_beside(path: Path, out: Path) -> tuple[Path | None, str]:
    """Write the page of a run that classifies in the browser, unless it is there; say where it is, or what it lacks."""
    how = f"python3 -m http.server --bind 127.0.0.1 --directory {out}"
    if not (out / "model.json").exists():
        run = open_run(path)
        try:
            require_page(out)
            runtime = web_runtime()
            pictures = pictures_of_run(open_store(run.store_path), source_of(run.store_path, None, run.config.data))
            write_page(SpectralEnsemble.from_run(path), out, pictures, run.config.name, runtime)
        except UsageError as error:
            reason = str(error).partition("\n")[0]
            then = command("export", path, "--format", "page", "-o", out)
            return None, f"no page for the browser: {reason}; then: {then}"
    return out, f"page: {out}; {how}"
