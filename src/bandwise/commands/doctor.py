"""`bandwise doctor`: what this machine has, whether our promises hold on it, and what is not bit-repeatable."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, parse
from bandwise.doctor.examine import examine


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Examine this machine: versions, devices, the file system of a folder, a training that is killed and resumed.

    Exit code 0 where everything works, 1 where something does not; each problem comes with its remedy.
    """

    folder: Path = Path()
    """Where stores and runs are to be; nothing is left there."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "doctor")
    found = examine(arguments.folder.expanduser())
    return Outcome(found, _text(found), 0 if found["ok"] else 1)


def _text(found: dict[str, Any]) -> str:
    machine = found["machine"]
    shared = machine["shared_memory_bytes"]
    lines = [f"{name:<16} {version}" for name, version in found["environment"]["versions"].items()]
    lines += [
        f"{'processor':<16} {found['environment']['hardware']['processor']}, {machine['cores']} cores",
        f"{'memory':<16} {machine['memory_available_bytes'] / 1e9:.1f} GB available",
        f"{'shared memory':<16} {'none' if shared is None else f'{shared / 1e9:.1f} GB'}",
        f"{'accelerators':<16} {', '.join(device['name'] for device in machine['devices']) or 'none'}",
        f"{'folder':<16} {found['folder']['path']}, {machine['free_bytes'] / 1e9:.1f} GB free",
        *(f"  {name:<22} {what}" for name, what in found["folder"]["probes"].items()),
    ]
    for device, test in found["self_test"].items():
        lines.append(f"self-test on {device}")
        lines += [f"  {name:<22} {_word(value)}" for name, value in test.items()]
    lines += ["not bit-repeatable", *(f"  {what}" for what in found["not_repeatable"])]
    lines += [f"note: {note}" for note in found["notes"]]
    lines += [f"PROBLEM: {problem['what']}; {problem['remedy']}" for problem in found["problems"]]
    lines.append("this machine is ready" if found["ok"] else f"{len(found['problems'])} problems")
    return "\n".join(lines)


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
