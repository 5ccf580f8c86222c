"""One independent seed for every use of randomness, so that no two branches, epochs or purposes share a stream."""

import hashlib
import json


def seed_for(run_seed: int, branch: int | None, purpose: str, epoch: int = 0) -> int:
    """Derive a seed: the first 63 bits of the SHA-256 of its four coordinates.

    Sums such as `seed + branch + epoch` collide; a hash of all coordinates does not.

    Args:
        run_seed: the seed of the run.
        branch: the branch, or None for what all branches share (the augmentation, so that all see the same crop).
        purpose: what is drawn, for example "init", "order", "dropout" or "augment".
        epoch: the pass over the data, for what is drawn anew in each.

    Returns:
        A number from 0 to 2**63 - 1.
    """
    coordinates = json.dumps(["bandwise", run_seed, branch, purpose, epoch])
    return int.from_bytes(hashlib.sha256(coordinates.encode("ascii")).digest()[:8], "big") >> 1
