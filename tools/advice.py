"""What `bandwise plan --advise` says of two divisions of the work, made from the recorded results."""

import json
import statistics

from tools.comparisons import difference
from tools.recorded import Recorded

COMPARED = (
    ("bands", "whole", "in all", "imagewoof-sub4-lean", "imagewoof-whole"),
    ("bands", "whole", "in all", "cifar10-sub4-long", "cifar10-baseline-long"),
    ("bands", "whole", "in all", "photos-sub4", "photos-baseline"),
    ("bands", "whole seeds", "of a node", "imagewoof-sub4", "imagewoof-whole4"),
    ("bands", "joint", "in all", "cifar10-sub4", "cifar10-joint4-long"),
    ("bands", "joint seeds", "in all", "cifar10-sub4", "cifar10-joint4-seeds"),
    ("context", "bands", "in all", "cifar10-context4", "cifar10-sub4"),
    ("context", "bands", "in all", "imagewoof-context4", "imagewoof-sub4"),
    ("context", "whole", "in all", "cifar10-context4-long", "cifar10-baseline-long"),
)
"""Two divisions by their names in `launch/advise.py`, what of their cost is equal, and the recipes that show it."""


def advice_json(results: Recorded) -> str:
    """Return the comparisons that are recorded as JSON text."""
    found = []
    for first, second, cost, own, other in COMPARED:
        plain = difference(results, (own, "fused"), (other, "fused"))
        head = difference(results, (own, "head"), (other, "head"))
        if plain is not None:
            found.append(
                {
                    "first": first,
                    "second": second,
                    "cost": cost,
                    "recipes": [own, other],
                    "points": round(statistics.mean(plain.points), 2),
                    "with_head": None if head is None else round(statistics.mean(head.points), 2),
                    "seeds": len(plain.points),
                }
            )
    return json.dumps(found, indent=2) + "\n"
