"""Networks without branches (AlexNet, VGG, fully connected), and how all networks of ours are initialised.

AlexNet and VGG are convolutions and pools, hidden linear layers sized to the real map, and one classifier. Each has the
published network, designed for 224 px, and smaller ones for the bands of a 2x2 split (`sub4`, 112 px) and of a 4x4
split (`sub16`, 56 px). Parameters are counted with 3 channels and 1,000 classes.

- AlexNet in one tower: every pool is 3x3/2, dropout of one half before every hidden linear layer, no batch
  normalisation. Source: Krizhevsky, One weird trick for parallelizing convolutional neural networks (2014).
- VGG: every convolution 3x3 with padding 1, every pool 2x2/2, dropout of one half after every hidden linear layer.
  Source: Simonyan and Zisserman, Very Deep Convolutional Networks (2015), table 1, columns D (16) and E (19).
"""

from torch import Tensor, nn
from torch.nn import functional

from bandwise.errors import UsageError

MAX_INPUTS = 8192
_LINEAR_STD = 0.01
_HIDDEN = 4096
_VGG_WIDTHS = (64, 128, 256, 512, 512)
_SEARCH_LIMIT = 1024


def initialise(network: nn.Module) -> None:
    """Draw the weights of a network again, by torchvision's rule for VGG and ResNet convolutions.

    - Convolutions: normal with variance 2 / (outputs * kernel area), biases 0.
    - Linear layers: normal with standard deviation 0.01, biases 0, so that training starts near equal probabilities.
    - Batch normalisation keeps weight 1 and bias 0.

    Networks without batch normalisation need the small linear weights. With He initialisation of the hidden layers
    too, the features are so large that SGD with a learning rate of 0.01 overshoots in its first steps, and the loss
    stays at chance.

    Source: He et al., Delving Deep into Rectifiers (2015), equation 14, for the convolutions.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=_LINEAR_STD)
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


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


def alexnet(*, num_classes: int, in_channels: int, input_size: int) -> PlainNetwork:
    """Build the full network: convolutions 64-192-384-256-256, two hidden layers of 4096; 61,100,840 parameters."""
    first = [*_convolution(in_channels, 64, 11, stride=4, padding=2), _pool(), *_convolution(64, 192, 5), _pool()]
    return _alexnet("alexnet", [*first, *_last_three(192)], 2, num_classes, input_size)


def alexnet_sub4(*, num_classes: int, in_channels: int, input_size: int) -> PlainNetwork:
    """Build convolutions 64 (9x9/3)-192-384-256-256 and one hidden layer; map 3x3 at 112 px, 16,000,296 parameters."""
    first = [*_convolution(in_channels, 64, 9, stride=3), _pool(), *_convolution(64, 192, 5), _pool()]
    return _alexnet("alexnet-sub4", [*first, *_last_three(192)], 1, num_classes, input_size)


def alexnet_sub16(*, num_classes: int, in_channels: int, input_size: int) -> PlainNetwork:
    """Build convolutions 192 (9x9/2)-384-256 and one hidden layer; map 2x2 at 56 px, 9,891,176 parameters."""
    body = [*_convolution(in_channels, 192, 9, stride=2), _pool(), *_convolution(192, 384, 3), _pool()]
    body += [*_convolution(384, 256, 3), _pool()]
    return _alexnet("alexnet-sub16", body, 1, num_classes, input_size)


def vgg16(*, num_classes: int, in_channels: int, input_size: int) -> PlainNetwork:
    """Build VGG-16 without batch normalisation; 138,357,544 parameters."""
    return _vgg("vgg16", (2, 2, 3, 3, 3), False, 2, num_classes, in_channels, input_size)


def vgg16_sub4(*, num_classes: int, in_channels: int, input_size: int) -> PlainNetwork:
    """Build VGG-16 with batch normalisation; map 3x3 at 112 px, 54,479,912 parameters."""
    return _vgg("vgg16-sub4", (2, 2, 3, 3, 3), True, 2, num_classes, in_channels, input_size)


def vgg16_sub16(*, num_classes: int, in_channels: int, input_size: int) -> PlainNetwork:
    """Build VGG-19 with batch normalisation, without its fifth block and with one hidden layer.

    Map 3x3 at 56 px, 33,567,528 parameters. It is no VGG-16; it is the design whose size is the published one.
    """
    return _vgg("vgg16-sub16", (2, 2, 4, 4), True, 1, num_classes, in_channels, input_size)


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


def _alexnet(name: str, body: list[nn.Module], hidden: int, num_classes: int, input_size: int) -> PlainNetwork:
    convolutions = nn.Sequential(*body)
    side = _require_map_side(name, convolutions, input_size)
    layers: list[nn.Module] = []
    inputs = 256 * side**2
    for _ in range(hidden):
        layers += [nn.Dropout(0.5), nn.Linear(inputs, _HIDDEN), nn.ReLU(inplace=True)]
        inputs = _HIDDEN
    return PlainNetwork(convolutions, nn.Sequential(*layers), nn.Linear(_HIDDEN, num_classes), side)


def _convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int | None = None
) -> list[nn.Module]:
    padding = kernel // 2 if padding is None else padding
    return [nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding), nn.ReLU(inplace=True)]


def _last_three(inputs: int) -> list[nn.Module]:
    return [*_convolution(inputs, 384, 3), *_convolution(384, 256, 3), *_convolution(256, 256, 3), _pool()]


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2)


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
    for depth, width in zip(depths, _VGG_WIDTHS, strict=False):
        for _ in range(depth):
            layers.append(nn.Conv2d(inputs, width, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
            inputs = width
        layers.append(nn.MaxPool2d(2, stride=2))
    body = nn.Sequential(*layers)
    side = _require_map_side(name, body, input_size)
    inputs *= side**2
    layers = []
    for _ in range(hidden):
        layers += [nn.Linear(inputs, _HIDDEN), nn.ReLU(inplace=True), nn.Dropout(0.5)]
        inputs = _HIDDEN
    return PlainNetwork(body, nn.Sequential(*layers), nn.Linear(_HIDDEN, num_classes), side)


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
