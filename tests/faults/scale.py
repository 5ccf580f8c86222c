"""How much of the fault suite runs: a small share by default, all of it with BANDWISE_FAULTS=full."""

import os

FULL = os.environ.get("BANDWISE_FAULTS") == "full"


def share(full: int, small: int) -> int:
    """Return the number for this run: `full` under `make faults`, else `small`."""
    return full if FULL else small
