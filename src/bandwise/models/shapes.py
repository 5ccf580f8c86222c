"""The side of the map that convolutions and pools leave, by arithmetic, and the error where nothing is left."""

from torch import nn

from bandwise.errors import UsageError

_SEARCH_LIMIT = 1024


def map_side(layers: nn.Sequential, side: int) -> int:
    """Return the side in pixels of the square map behind `layers`; zero or less where the map is used up.

    Layers other than `Conv2d` and `MaxPool2d` keep the size. Dilation is 1 and pools round down.
    """
    for layer in layers:
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d)):
            side = (side + 2 * _first(layer.padding) - _first(layer.kernel_size)) // _first(layer.stride) + 1
            if side < 1:
                return side
    return side


def require_map_side(name: str, layers: nn.Sequential, side: int) -> int:
    """Return `map_side`, at least 1.

    Raises:
        UsageError: the input is too small; the message names the smallest side that fits.
    """
    left = map_side(layers, side)
    if left < 1:
        least = next(least for least in range(side + 1, _SEARCH_LIMIT) if map_side(layers, least) >= 1)
        raise UsageError(
            f"{name} cannot take an input of {side}x{side} px: its pools leave nothing; "
            f"the least is {least} px, so use a larger crop, a smaller stride or another network"
        )
    return left


def _first(value: int | str | tuple[int, ...]) -> int:
    assert not isinstance(value, str)
    return value if isinstance(value, int) else value[0]
