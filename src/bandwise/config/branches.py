"""The notation of bands (`0,3-5`) and of branches (`0;0,1;0,2`)."""

from bandwise.errors import UsageError

MAX_BRANCHES = 1024


def parse_bands(text: str, count: int) -> tuple[int, ...]:
    """Read a list of bands such as `all`, `0`, or `0,3-5`.

    Returns the bands in increasing order; each must be one of 0 to `count` - 1 and occur once.
    """
    if text == "all":
        return tuple(range(count))
    bands: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isascii() and first.isdigit() and (not dash or (last.isascii() and last.isdigit()))):
            raise UsageError(f"bands {text!r}: {part.strip()!r} is not a band; write for example 0,3-5 or all")
        low, high = int(first), int(last) if dash else int(first)
        if not low <= high < count:
            raise UsageError(f"bands {text!r}: {part.strip()!r} is outside 0 to {count - 1}")
        bands.extend(range(low, high + 1))
    if len(set(bands)) != len(bands):
        raise UsageError(f"bands {text!r}: a band stands twice")
    return tuple(sorted(bands))


def parse_branches(text: str, stored: tuple[int, ...], count: int) -> tuple[tuple[int, ...], ...]:
    """Read the bands of at most 1024 branches, separated by semicolons; `each` is one branch for every stored band."""
    if text == "each":
        return tuple((band,) for band in stored)
    groups = tuple(parse_bands(part.strip(), count) for part in text.split(";"))
    if len(groups) > MAX_BRANCHES:
        raise UsageError(f"branches has {len(groups)} groups; at most {MAX_BRANCHES} are allowed")
    return groups
