"""`python -m bandwise` is the `bandwise` command."""

import sys

from bandwise.cli import main

if __name__ == "__main__":
    sys.exit(main())
