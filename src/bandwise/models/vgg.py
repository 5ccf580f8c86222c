"""VGG-16 and the two designs that the bands of a 2x2 and a 4x4 split use.

Every convolution is 3x3 with padding 1, every pool 2x2/2, and dropout of one half stands after every hidden linear
layer. The linear layers are sized to the real map; nothing is pooled to 7x7.
Source: Simonyan and Zisserman, Very Deep Convolutional Networks (2015), table 1, columns D (16) and E (19).
"""

from torch import nn

from bandwise.models.plain import PlainNetwork
from bandwise.models.shapes import require_map_side

_HIDDEN = 4096
_WIDTHS = (64, 128, 256, 512, 512)


def vgg16(*, num_classes: int, in_channels: int, input_size: int) -> PlainNetwork:
    """Build VGG-16 without batch normalisation, designed for 224 px.

    138,357,544 parameters with 3 channels and 1,000 classes.

    Raises:
        UsageError: the input is smaller than 32 px.
    """
    return _vgg("vgg16", (2, 2, 3, 3, 3), False, 2, num_classes, in_channels, input_size)


def vgg16_sub4(*, num_classes: int, in_channels: int, input_size: int) -> PlainNetwork:
    """Build VGG-16 with batch normalisation for 112 px.

    54,479,912 parameters with 3 channels and 1,000 classes: the map is 3x3 at 112 px.

    Raises:
        UsageError: the input is smaller than 32 px.
    """
    return _vgg("vgg16-sub4", (2, 2, 3, 3, 3), True, 2, num_classes, in_channels, input_size)


def vgg16_sub16(*, num_classes: int, in_channels: int, input_size: int) -> PlainNetwork:
    """Build VGG-19 with batch normalisation, without its fifth block and with one hidden layer, for 56 px.

    33,567,528 parameters with 3 channels and 1,000 classes: the map is 3x3 at 56 px. It is no VGG-16; it is the
    design whose size is the published one.

    Raises:
        UsageError: the input is smaller than 16 px.
    """
    return _vgg("vgg16-sub16", (2, 2, 4, 4), True, 1, num_classes, in_channels, input_size)


def _vgg(
    name: str,
    depths: tuple[int, ...],
    batch_norm: bool,
    hidden: int,
    num_classes: int,
    in_channels: int,
    input_size: int,
) -> PlainNetwork:
    layers: list[nn.Module] = []
    inputs = in_channels
    for depth, width in zip(depths, _WIDTHS, strict=False):
        for _ in range(depth):
            layers.append(nn.Conv2d(inputs, width, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
            inputs = width
        layers.append(nn.MaxPool2d(2, stride=2))
    body = nn.Sequential(*layers)
    side = require_map_side(name, body, input_size)
    inputs *= side**2
    layers = []
    for _ in range(hidden):
        layers += [nn.Linear(inputs, _HIDDEN), nn.ReLU(inplace=True), nn.Dropout(0.5)]
        inputs = _HIDDEN
    return PlainNetwork(body, nn.Sequential(*layers), nn.Linear(_HIDDEN, num_classes), side)
