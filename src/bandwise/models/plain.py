"""Networks without branches: AlexNet, VGG, fully connected.

AlexNet and VGG are convolutions and pools, hidden linear layers sized to the real map, and one classifier. Each has the
published network, designed for 224 px, and smaller ones for the bands of a 2x2 split (`sub4`, 112 px) and of a 4x4
split (`sub16`, 56 px). Parameters are counted with 3 channels and 1,000 classes.

- AlexNet in one tower: every pool is 3x3/2, dropout of one half before every hidden linear layer, no batch
  normalisation. Source: Krizhevsky, One weird trick for parallelizing convolutional neural networks (2014).
- VGG: every convolution 3x3 with padding 1, every pool 2x2/2, dropout of one half after every hidden linear layer.
  Source: Simonyan and Zisserman, Very Deep Convolutional Networks (2015), table 1, columns D (16) and E (19).
"""

from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from bandwise.errors import UsageError
from bandwise.models.resnet import initialise

MAX_INPUTS = 8192
_HIDDEN = 4096
_VGG_WIDTHS = (64, 128, 256, 512, 512)
_SEARCH_LIMIT = 1024

Layer = tuple[int, int, int, int] | None
"""A convolution and the ReLU behind it, by its outputs, kernel, stride and padding; or None, a pool."""


class PlainNetwork(nn.Module):
    """A stack without branches: `body` to a square map, `hidden` to a vector, `classifier` to logits.

    The linear layers are sized to the map of one input size. An image of another size (a training crop smaller than
    the test crop) has its map averaged to that size; at the size that the network was built for nothing is averaged.

    The map of `body` has `side` pixels a side at the input size that the network is built for.
    """

    def __init__(self, body: nn.Sequential, hidden: nn.Sequential, classifier: nn.Linear, side: int) -> None:
        super().__init__()
        self.body = body
        self.hidden = hidden
        self.classifier = classifier
        self.side = side
        initialise(self)

    def features(self, images: Tensor) -> Tensor:
        """Return the vector before the classifier, (B, features), of images (B, C, H, W)."""
        maps = self.body(images)
        if maps.shape[-2:] != (self.side, self.side):
            maps = functional.adaptive_avg_pool2d(maps, self.side)
        return self.hidden(maps.flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (B, classes), of images (B, C, H, W)."""
        return self.classifier(self.features(images))


class FullyConnected(nn.Module):
    """`layers - 1` hidden layers (linear, batch normalisation, ReLU) and a classifier.

    At 28x28x1 and 10 classes with buffers: 7.11 MiB for 4 layers and 16.55 MiB for 8. With 8 layers, 1.06 MiB at
    14x14 and 0.07 MiB at 7x7. It takes images of `input_size` pixels a side, and of no other size, with at most 8,192
    values: each hidden layer has the square of that in weights.
    """

    def __init__(self, layers: int, *, num_classes: int, in_channels: int, input_size: int) -> None:
        super().__init__()
        assert layers >= 2
        width = in_channels * input_size**2
        if width > MAX_INPUTS:
            raise UsageError(
                f"fc{layers} cannot take {in_channels}x{input_size}x{input_size} = {width} values: its hidden layers "
                f"are as wide as the input, at most {MAX_INPUTS}; use a smaller crop, fewer bands a branch or a "
                "convolutional network"
            )
        hidden: list[nn.Module] = [nn.Flatten()]
        for _ in range(layers - 1):
            hidden += [nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(inplace=True)]
        self.hidden = nn.Sequential(*hidden)
        self.classifier = nn.Linear(width, num_classes)
        initialise(self)

    def features(self, images: Tensor) -> Tensor:
        """Return the vector before the classifier, (B, C * H * W), of images (B, C, H, W)."""
        return self.hidden(images)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (B, classes), of images (B, C, H, W)."""
        return self.classifier(self.features(images))


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


def _build(
    name: str,
    layers: Sequence[Layer],
    hidden: int,
    *,
    vgg: bool = False,
    batch_norm: bool = False,
    num_classes: int,
    in_channels: int,
    input_size: int,
) -> PlainNetwork:
    """Build an AlexNet, or a VGG, with so many hidden layers."""
    body, inputs = nn.Sequential(), in_channels
    for layer in layers:
        if layer is None:
            body.append(nn.MaxPool2d(2 if vgg else 3, stride=2))
            continue
        outputs, kernel, stride, padding = layer
        body.append(nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding))
        if batch_norm:
            body.append(nn.BatchNorm2d(outputs))
        body.append(nn.ReLU(inplace=True))
        inputs = outputs
    side = _require_map_side(name, body, input_size)
    values, linear = inputs * side**2, nn.Sequential()
    for _ in range(hidden):
        dropout, dense = nn.Dropout(0.5), [nn.Linear(values, _HIDDEN), nn.ReLU(inplace=True)]
        linear.extend([*dense, dropout] if vgg else [dropout, *dense])
        values = _HIDDEN
    return PlainNetwork(body, linear, nn.Linear(values, num_classes), side)


def _require_map_side(name: str, layers: nn.Sequential, side: int) -> int:
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


def _vgg(name: str, depths: tuple[int, ...], hidden: int, *, batch_norm: bool) -> Callable[..., PlainNetwork]:
    layers: list[Layer] = []
    for depth, width in zip(depths, _VGG_WIDTHS, strict=False):
        layers += [(width, 3, 1, 1)] * depth + [None]
    return partial(_build, name, layers, hidden, vgg=True, batch_norm=batch_norm)


_LAST_THREE: list[Layer] = [(384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1), None]
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    # 61,100,840 parameters.
    "alexnet": partial(_build, "alexnet", [(64, 11, 4, 2), None, (192, 5, 1, 2), None, *_LAST_THREE], 2),
    # Map 3x3 at 112 px, 16,000,296 parameters.
    "alexnet-sub4": partial(_build, "alexnet-sub4", [(64, 9, 3, 4), None, (192, 5, 1, 2), None, *_LAST_THREE], 1),
    # Map 2x2 at 56 px, 9,891,176 parameters.
    "alexnet-sub16": partial(
        _build, "alexnet-sub16", [(192, 9, 2, 4), None, (384, 3, 1, 1), None, (256, 3, 1, 1), None], 1
    ),
    "fc4": partial(FullyConnected, 4),
    "fc8": partial(FullyConnected, 8),
    # 138,357,544 parameters.
    "vgg16": _vgg("vgg16", (2, 2, 3, 3, 3), 2, batch_norm=False),
    # Map 3x3 at 112 px, 54,479,912 parameters.
    "vgg16-sub4": _vgg("vgg16-sub4", (2, 2, 3, 3, 3), 2, batch_norm=True),
    # VGG-19 without its fifth block, the design whose size is the published one. Map 3x3 at 56 px, 33,567,528
    # parameters.
    "vgg16-sub16": _vgg("vgg16-sub16", (2, 2, 4, 4), 1, batch_norm=True),
}
"""What builds each network from `num_classes`, `in_channels` and `input_size`."""
