"""`bandwise reproduce RESULT.json`: repeat a recorded result from the configuration in it, and compare every figure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, own_store, parse, percent, require_out, wrote
from bandwise.config.configfile import config_from_dict, differences
from bandwise.errors import CorruptionError, UsageError
from bandwise.launch.evaluate import evaluate_run
from bandwise.launch.pipeline import run
from bandwise.runs.documents import read_results
from bandwise.runs.run import open_run

_EXIT_DIFFERENT = 1
_COMPARED = ("n_eval", "chance", "branches", "fused", "fusion", "rules", "reference", "leave_one_out", "answers")
# Time is never the same twice, and the bytes of a store may change with the version of the compressor.
_LEFT_OUT = ("wall_s", "cpu_s", "store_bytes", "feature_bytes", "feature_bytes_total")
_SHOWN = 10
# The number of cores changes no bit: the threads of a branch are part of the configuration.
_DECIDE_BITS = ("processor", "machine", "accelerator")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Repeat a recorded result and compare. On the same machine and versions a CPU gives the same digits."""

    result: Annotated[Path, tyro.conf.Positional]
    """A JSON of `results/`."""
    out: Path | None = None
    """Run folder of the repetition; an interrupted one continues."""
    store: flags.SharedStore = None
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "reproduce")
    out = require_out(arguments.out)
    results = read_results(arguments.result)
    if results.crops != 1:
        raise UsageError(f"{arguments.result} is a result of {results.crops} crops; name one of the centre crop")
    recorded = results.to_dict()
    try:
        config = config_from_dict(results.config)
    except UsageError as error:
        raise CorruptionError(f"{arguments.result} does not hold a valid configuration: {error}") from error
    store = own_store(arguments.store)
    repeated = run(config, out, store=store)
    if repeated is None:
        raise UsageError(f"{arguments.result} is of --reported none and of a set that was added later; name its store")
    found = repeated.to_dict()
    if "head" in recorded["rules"]:
        found = evaluate_run(open_run(out), with_head=True).to_dict()
    changed = list(differing(recorded, found))
    summary = {
        "recorded": recorded["fused"]["top1"],
        "repeated": found["fused"]["top1"],
        "different": changed,
        "environment": other_environment(recorded, found),
    }
    # Results of earlier versions do not say which images they are of.
    if recorded["data"].get("digest", found["data"]["digest"]) != found["data"]["digest"]:
        summary["environment"].append("data: the store is of other images, classes or pixels")
    top1 = f"top-1 recorded {percent(summary['recorded'])}, repeated {percent(summary['repeated'])}"
    last = wrote(out, "report", out)
    if not changed:
        return Outcome(summary, f"{recorded['name']}: {top1}; every figure is equal to the last digit\n{last}")
    more = f"\n  and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    text = f"{recorded['name']}: {top1}; {len(changed)} figures differ:\n  " + "\n  ".join(changed[:_SHOWN]) + more
    return Outcome(summary, f"{text}\n{_expected(summary['environment'])}\n{last}", _EXIT_DIFFERENT)


def other_environment(recorded: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """List what the bits of a training depend on beside its configuration and is not as it was recorded."""

    def deciding(environment: dict[str, Any]) -> dict[str, Any]:
        hardware = environment["hardware"]
        return {"versions": environment["versions"], **{name: hardware.get(name) for name in _DECIDE_BITS}}

    return differences(deciding(recorded["environment"]), deciding(found["environment"]))


def _expected(other: Sequence[str]) -> str:
    if not other:
        return "processor and versions are those of the record, so the digits should be equal: something is wrong"
    return (
        "equal digits are promised for the same images, processor and versions only; here other than recorded:\n  "
        + "\n  ".join(other)
    )


def differing(recorded: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    """Yield every figure of a recorded result that the repetition does not have exactly; sizes and times are left out.

    A figure that only the repetition has is new in the program and no difference.
    """
    for key in _COMPARED:
        if key in recorded:
            yield from _differing(key, recorded[key], found.get(key))


def _differing(where: str, recorded: Any, found: Any) -> Iterator[str]:
    if isinstance(recorded, dict) and isinstance(found, dict):
        for key in sorted(recorded.keys() - set(_LEFT_OUT)):
            yield from _differing(f"{where}.{key}", recorded[key], found.get(key))
    elif isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        for place, (before, after) in enumerate(zip(recorded, found, strict=True)):
            yield from _differing(f"{where}[{place}]", before, after)
    elif recorded != found:
        yield f"{where}: {recorded!r} -> {found!r}"
