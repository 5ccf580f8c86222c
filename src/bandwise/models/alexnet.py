"""AlexNet in one tower, and the two smaller designs for the bands of a 2x2 and a 4x4 split.

Every pool is 3x3/2, and dropout of one half stands before every hidden linear layer. There is no batch normalisation.
Source: Krizhevsky, One weird trick for parallelizing convolutional neural networks (2014), for the full network.
"""

from torch import nn

from bandwise.models.plain import PlainNetwork
from bandwise.models.shapes import require_map_side

_HIDDEN = 4096


def alexnet(*, num_classes: int, in_channels: int, input_size: int) -> PlainNetwork:
    """Build the full network, designed for 224 px: convolutions 64-192-384-256-256, two hidden layers of 4096.

    61,100,840 parameters with 3 channels and 1,000 classes.

    Raises:
        UsageError: the input is smaller than 63 px.
    """
    body = nn.Sequential(
        *_convolution(in_channels, 64, 11, stride=4, padding=2),
        _pool(),
        *_convolution(64, 192, 5),
        _pool(),
        *_convolution(192, 384, 3),
        *_convolution(384, 256, 3),
        *_convolution(256, 256, 3),
        _pool(),
    )
    return _finish("alexnet", body, 256, hidden=2, num_classes=num_classes, input_size=input_size)


def alexnet_sub4(*, num_classes: int, in_channels: int, input_size: int) -> PlainNetwork:
    """Build the network for 112 px: convolutions 64 (9x9/3)-192-384-256-256, one hidden layer of 4096.

    16,000,296 parameters with 3 channels and 1,000 classes: the map is 3x3 at 112 px.

    Raises:
        UsageError: the input is too small for its three pools.
    """
    body = nn.Sequential(
        *_convolution(in_channels, 64, 9, stride=3),
        _pool(),
        *_convolution(64, 192, 5),
        _pool(),
        *_convolution(192, 384, 3),
        *_convolution(384, 256, 3),
        *_convolution(256, 256, 3),
        _pool(),
    )
    return _finish("alexnet-sub4", body, 256, hidden=1, num_classes=num_classes, input_size=input_size)


def alexnet_sub16(*, num_classes: int, in_channels: int, input_size: int) -> PlainNetwork:
    """Build the network for 56 px: convolutions 192 (9x9/2)-384-256, one hidden layer of 4096.

    9,891,176 parameters with 3 channels and 1,000 classes: the map is 2x2 at 56 px.

    Raises:
        UsageError: the input is too small for its three pools.
    """
    body = nn.Sequential(
        *_convolution(in_channels, 192, 9, stride=2),
        _pool(),
        *_convolution(192, 384, 3),
        _pool(),
        *_convolution(384, 256, 3),
        _pool(),
    )
    return _finish("alexnet-sub16", body, 256, hidden=1, num_classes=num_classes, input_size=input_size)


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int | None = None
) -> list[nn.Module]:
    padding = kernel // 2 if padding is None else padding
    return [nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding), nn.ReLU(inplace=True)]


def _pool() -> nn.MaxPool2d:
    return nn.MaxPool2d(3, stride=2)


def _finish(
    name: str, body: nn.Sequential, width: int, *, hidden: int, num_classes: int, input_size: int
) -> PlainNetwork:
    side = require_map_side(name, body, input_size)
    layers: list[nn.Module] = []
    inputs = width * side**2
    for _ in range(hidden):
        layers += [nn.Dropout(0.5), nn.Linear(inputs, _HIDDEN), nn.ReLU(inplace=True)]
        inputs = _HIDDEN
    return PlainNetwork(body, nn.Sequential(*layers), nn.Linear(_HIDDEN, num_classes), side)
