"""What `bandwise recipes` says of cost and result, made from the recorded results."""

import json
from typing import Any

from tools.comparisons import STARTED_FROM
from tools.machines import letters_of, named, training_time
from tools.statistics import Results, score_of, seed_of, spread


def expected_json(results: Results) -> str:
    """Return cost and expected result of every recorded recipe as JSON text, sorted by name."""
    found = {name: {"cost": _cost(name, runs), "expected": _expected(runs)} for name, runs in sorted(results.items())}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _cost(name: str, runs: list[dict[str, Any]]) -> str:
    before = f", after the training of {STARTED_FROM[name]}" if name in STARTED_FROM else ""
    letters = letters_of({"": runs})
    time = training_time(runs, letters)
    return f"{time} to train all branches on {named(letters)}{before}" if time else "training time not measured"


def _expected(runs: list[dict[str, Any]]) -> str:
    said = f"top-1 {spread([100 * run['fused']['top1'] for run in runs])} %"
    heads = [score_of(run, "head") for run in runs]
    if runs[0]["fusion"]["rule"] != "head" and None not in heads:
        said += f", with a head {spread([100 * head['top1'] for head in heads if head])} %"
    seeds = ", ".join(str(seed_of(run)) for run in runs)
    return f"{said} (seed{'s' if len(runs) > 1 else ''} {seeds}; {runs[0]['n_eval']:,} images)"
