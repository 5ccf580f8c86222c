"""What `bandwise recipes` says of cost and result, made from the recorded results."""

import json
from collections.abc import Sequence

from bandwise.runs.documents import Results
from tools.cost import STARTED_FROM, Machines
from tools.recorded import Recorded, seeds, top1


def expected_json(results: Recorded) -> str:
    """Return cost and expected result of every recorded recipe as JSON text, sorted by name."""
    found = {name: {"cost": _cost(name, runs), "expected": _expected(runs)} for name, runs in sorted(results.items())}
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _cost(name: str, runs: Sequence[Results]) -> str:
    before = f", after the training of {STARTED_FROM[name]}" if name in STARTED_FROM else ""
    machines = Machines({name: runs})
    time = machines.training_time(runs)
    return f"{time} to train all branches on {machines.names}{before}" if time else "training time not measured"


def _expected(runs: Sequence[Results]) -> str:
    text = f"top-1 {top1(runs, 'fused')}"
    if runs[0].fusion.rule != "head" and (with_head := top1(runs, "head")):
        text += f", with a head {with_head}"
    return f"{text} (seed{'s' if len(runs) > 1 else ''} {seeds(runs)}; {runs[0].n_eval:,} images)"
