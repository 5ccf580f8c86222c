"""`bandwise export RUN`: what a user takes away."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from bandwise.commands import flags
from bandwise.commands.verb import Outcome, parse, require_out
from bandwise.export.bundle import write_bundle
from bandwise.runs.run import open_run


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write the classifier of a run in a form to keep, to publish or to use elsewhere."""

    run: flags.RunFolder
    format: Literal["bundle"] = "bundle"
    """bundle: weights, split, fusion, figures and card, for `predict` and `SpectralEnsemble.from_pretrained`."""
    out: Annotated[Path | None, arg(aliases=["-o"])] = None
    """Where to write; nothing may be there yet."""
    controls: tuple[Path, ...] = ()
    """With bundle: runs that the card compares this one with."""
    license: str | None = None
    """With bundle: licence of the weights, for the card, such as mit."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "export")
    out = require_out(arguments.out)
    written = write_bundle(open_run(arguments.run), out, arguments.controls, arguments.license)
    text = (
        f"wrote {written.path}: {written.bytes / 1e6:.1f} MB in {len(written.files)} files\n"
        f"next: bandwise predict {written.path} PICTURES"
    )
    return Outcome({"path": str(written.path), "bytes": written.bytes, "files": list(written.files)}, text)
