"""`python -m tools [NAME ...]`: write the generated tables and charts, all or some, from `results/`."""

import argparse
import sys
from collections.abc import Sequence

from bandwise.errors import BandwiseError
from tools.blocks import BLOCKS, ROOT


def main(argv: Sequence[str] | None = None) -> int:
    """Write or print the blocks, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BLOCKS)}; all when left out")
    parser.add_argument("--print", action="store_true", help="print them and write nothing")
    arguments = parser.parse_args(argv)
    if unknown := [name for name in arguments.names if name not in BLOCKS]:
        parser.error(f"{', '.join(unknown)}: choose from {', '.join(BLOCKS)}")
    try:
        for name in arguments.names or BLOCKS:
            block = BLOCKS[name]
            text = block.make(ROOT / "results")
            if arguments.print:
                print(text, end="")
            else:
                block.write(text)
                print(f"wrote {name} to {block.path}")
    except BandwiseError as error:
        print(f"tools: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
