"""What a run is, read from its configuration alone: the method, the baseline, or one of the controls."""

from bandwise.config import RunConfig

LOW_RESOLUTION = "low-resolution control"


def is_baseline(config: RunConfig) -> bool:
    """Whether the run is one network on the whole image."""
    return config.split.stride == 1 and len(config.groups()) == 1


def describe(config: RunConfig) -> str:
    """Say in a few words what a run is."""
    groups, stride, transform = config.groups(), config.split.stride, config.split.transform
    count = len(groups)
    if stride == 1:
        return "one network on the whole image" if count == 1 else f"{count} networks on the whole image"
    if is_low_resolution(config, 0) and len(set(groups)) == 1:
        return f"{'one network' if count == 1 else f'{count} networks'} on the low-resolution band of stride {stride}"
    if count == 1:
        return f"{len(groups[0])} {transform} band{'s' if len(groups[0]) > 1 else ''} of stride {stride} in one network"
    if transform == "identity":
        return f"{count} phases of stride {stride} without a transform, a network each"
    if any(len(group) > 1 for group in groups):
        return f"{count} networks on groups of {transform} bands of stride {stride}"
    return f"{count} {transform} bands of stride {stride}, a network each"


def is_low_resolution(config: RunConfig, branch: int) -> bool:
    """Whether a branch sees only the mean of each block of pixels, which is the image made smaller."""
    has_mean = config.split.transform not in ("identity", "refft")
    return config.split.stride > 1 and has_mean and config.groups()[branch] == (0,)


def branch_name(config: RunConfig, branch: int) -> str:
    """Name a branch by its number and its bands; the low-resolution one is named as the control that it is."""
    bands = config.groups()[branch]
    if is_low_resolution(config, branch):
        return f"branch {branch}, which is the {LOW_RESOLUTION}"
    if config.split.stride == 1:
        return f"branch {branch} (whole image)"
    return f"branch {branch} (band{'s' if len(bands) > 1 else ''} {', '.join(map(str, bands))})"
