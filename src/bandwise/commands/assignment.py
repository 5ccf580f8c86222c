"""`bandwise plan ... --machines FILE [--script FOLDER]`: which machine trains which branch."""

from pathlib import Path

from bandwise.commands.verb import Outcome
from bandwise.config import RunConfig
from bandwise.errors import UsageError
from bandwise.files.schema import plain
from bandwise.launch.machines import Assignment, Share, assign, read_machines, write_scripts
from bandwise.launch.plan import Setting


def assignment_outcome(config: RunConfig, setting: Setting, machines: Path | None, script: Path | None) -> Outcome:
    """Assign the branches of a configuration, and write the scripts where asked."""
    if machines is None:
        raise UsageError("--script writes what --machines has assigned; give --machines FILE too")
    found = assign(config, setting, read_machines(machines))
    written = [] if script is None or found.left else write_scripts(config, found, script)
    text = _text(config, found)
    if written:
        text += f"\nwritten: {', '.join(map(str, written))}"
    return Outcome({**plain(found), "scripts": [str(path) for path in written]}, text)


def _text(config: RunConfig, found: Assignment) -> str:
    width = max(len(share.machine) for share in found.shares)
    lines = [
        f"{config.name}: {len(config.groups())} branches on {sum(bool(share.branches) for share in found.shares)} of "
        f"{len(found.shares)} machines, done in {found.days:.1f} days",
        *(f"  {share.machine:<{width}}  {_row(share)}" for share in found.shares),
    ]
    if found.left:
        lines.append(f"  on no machine: branches {', '.join(map(str, found.left))}; nothing was written")
    if found.accumulation is not None:
        lines.append(
            f"  with --grad-accum-steps {found.accumulation}, on all machines alike, some that are idle could take part"
        )
    return "\n".join(lines)


def _row(share: Share) -> str:
    if share.why_idle is not None:
        return f"idle: {share.why_idle}"
    branches = ", ".join(map(str, share.branches))
    return (
        f"branches {branches}: {share.hours:.1f} h of training, done after {share.days:.1f} days, "
        f"{share.disk_gb:.1f} GB of disk, {share.step_gb:.1f} GB a step"
    )
