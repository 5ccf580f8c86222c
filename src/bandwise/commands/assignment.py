"""`bandwise plan ... --machines FILE`: which machine trains which branch, and which division of the work is better."""

from pathlib import Path
from typing import Any

from bandwise.commands.verb import Outcome
from bandwise.config import RunConfig
from bandwise.errors import UsageError
from bandwise.files.schema import plain
from bandwise.launch.advise import Advice, Division, advise
from bandwise.launch.machines import Assignment, Share, assign, read_machines, write_scripts
from bandwise.launch.plan import Setting
from bandwise.recipes.catalog import compared_divisions

_PAGE = "docs/evidence.md"


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


def advice_outcome(config: RunConfig, setting: Setting, machines: Path | None) -> Outcome:
    """Compare the divisions of the work on these machines."""
    if machines is None:
        raise UsageError("--advise compares what fits on your machines; describe them with --machines FILE")
    found = advise(config, setting, read_machines(machines), compared_divisions())
    return Outcome({**plain(found), "page": _PAGE}, _advice_text(found))


def _advice_text(found: Advice) -> str:
    names, whats = (max(len(getattr(each, key)) for each in found.divisions) for key in ("name", "what"))
    whole = found.divisions[0].macs
    lines = [f"{each.name:<{names}}  {each.what:<{whats}}  {_division_row(each, whole)}" for each in found.divisions]
    lines.append(found.verdict)
    if found.evidence:
        lines += [f"measured, see {_PAGE}:", *(f"  {_compared(each)}" for each in found.evidence)]
    return "\n".join(lines)


def _division_row(each: Division, whole: float) -> str:
    if each.assignment is None or each.why_not is not None:
        return f"does not fit: {each.why_not}"
    busy = [share for share in each.assignment.shares if share.branches]
    step, disk = max(share.step_gb for share in busy), max(share.disk_gb for share in busy)
    cost = f", {each.macs / whole:.2f} times the cost of whole" if whole else ""
    return f"{each.assignment.days:.3g} days on {len(busy)}, {step:.1f} GB a step, {disk:.1f} GB of disk{cost}"


def _compared(each: dict[str, Any]) -> str:
    head = "" if each["with_head"] is None else f", with a head on both {each['with_head']:+.2f}"
    return (
        f"{each['first']} minus {each['second']}, equal cost {each['cost']}: {each['points']:+.2f} points{head} "
        f"({' and '.join(each['recipes'])}; seeds: {each['seeds']})"
    )
