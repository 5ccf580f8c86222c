"""What a command gives back: one object for `--json`, some lines for a person, and an exit code."""

from dataclasses import dataclass
from typing import Any

from bandwise.errors import TooManyBadInputs
from bandwise.runs.documents import Results, Scores


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one command."""

    result: dict[str, Any]
    """Printed as one JSON object with `--json`."""
    text: str
    """Printed otherwise."""
    exit_code: int = 0
    """0, or the code of a command that finished its work and still has something to report."""


def percent(fraction: float) -> str:
    """Write an accuracy as people read it: `71.23 %`."""
    return f"{100 * fraction:.2f} %"


def evaluation_outcome(results: Results, max_bad: int) -> Outcome:
    """Show results as a table; more unreadable images than allowed give exit code 3."""
    code = TooManyBadInputs.exit_code if results.n_total - results.n_eval > max_bad else 0
    return Outcome(results.to_dict(), results_text(results), code)


def results_text(results: Results) -> str:
    """Lay out the figures of one run for a terminal."""
    crops = "centre crop" if results.crops == 1 else f"{results.crops} crops (from {results.views})"
    lines = [
        f"{results.name}: {results.n_eval} of {results.n_total} reported images, {len(results.data.classes)} classes, "
        f"{crops}",
        _line(""),
    ]
    for entry in results.branches:
        bands = ",".join(map(str, entry.bands))
        note = "  (low-resolution control)" if results.config["split"]["stride"] > 1 and bands == "0" else ""
        lines.append(_line(f"branch {entry.branch}, bands {bands}", entry) + note)
    for rule, entry in results.rules.items():
        if rule != results.fusion.rule:
            lines.append(_line(f"fused, {rule}", entry))
    lines.append(_line(f"fused, {results.fusion.rule}", results.fused) + "  (the result)")
    best = results.reference.best_branch
    lines.append(f"  best branch on the holdout: {best.branch}, {percent(best.top1)} here")
    return "\n".join(lines)


def _line(name: str, scores: Scores | None = None) -> str:
    """Return a line of the table of results; without scores, its head."""
    # Here, so that commands without results do not wait for torch.
    from bandwise.evaluation.metrics import SCORES

    line = f"  {name:<22}"
    for score in SCORES:
        accuracy = score.kind == "accuracy"
        if scores is None:
            cell = score.name
        else:
            value = getattr(scores, score.key)
            cell = percent(value) if accuracy else f"{value:.3f}"
        line += f"{cell:>{9 if accuracy else 8}}"
    return line
