"""`bandwise reconstruct STORE`: invert the stored bands and compare with the images they came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from bandwise.commands import flags
from bandwise.commands.store_source import source_of
from bandwise.commands.verb import Outcome, parse
from bandwise.store.reconstruct import reconstruct_store


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Invert the stored bands in float and print the PSNR against the canvas images."""

    store: Annotated[Path, tyro.conf.Positional]
    """Folder of the store; it must hold all bands."""
    data: str | None = None
    """Where the source is now; needed for a store made from a folder."""
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    arguments = parse(Arguments, argv, "reconstruct")
    result = reconstruct_store(arguments.store, source_of(arguments.store, arguments.data))
    psnr = result["psnr_db"]
    text = (
        f"{result['n']} images: PSNR mean {psnr['mean']:.2f} dB, min {psnr['min']:.2f} dB; "
        f"clipped values {result['clipped_fraction']:.2%}"
    )
    return Outcome(result, text)
