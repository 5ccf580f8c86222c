"""ResNets with an explicit stem, and how all networks of ours are initialised.

Parameters are named as in torchvision and timm, so their weights load as they are; the stride of a bottleneck is on
its 3x3 convolution, as there. Source: He et al., Deep Residual Learning for Image Recognition (2016).
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

StemName = Literal["stock", "dense"]

# Channels that oneDNN takes at once on processors with AVX-512.
_BLOCK = 16
_LINEAR_STD = 0.01


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


@dataclass(frozen=True, slots=True)
class Stem:
    """First convolution (`kernel`, `stride`) and the 3x3 max pool behind it; `pool_stride` 0 is no pool."""

    kernel: int
    stride: int
    pool_stride: int


_STOCK = Stem(kernel=7, stride=2, pool_stride=2)


def choose_stem(stem: StemName, input_size: int) -> Stem:
    """Return the stem of a name at an input size in pixels.

    `stock` is 7x7/2 and a pool/2 at every size: the least memory. `dense` keeps the first stage near 56x56, the map
    that a ResNet has at 224 px: the stock stem from 160 px on, 7x7/2 and a pool/1 from 80 px on (112 px), and 3x3/1
    without a pool below (56 px and less). The borders lie between the sizes of the designs such that a training crop of
    160 of 224 px has the stem of its test crop at every stride.
    """
    if stem == "stock" or input_size >= 160:
        return _STOCK
    if input_size >= 80:
        return Stem(kernel=7, stride=2, pool_stride=1)
    return Stem(kernel=3, stride=1, pool_stride=0)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut; `planes` outputs."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int, drop_path: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, planes, stride)
        self.drop_path = _drop_path(drop_path)
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, planes, H / stride, W / stride) of (B, inputs, H, W)."""
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.drop_path(self.bn2(self.conv2(residual)))
        return self.relu(residual + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; `4 * planes` outputs."""

    expansion = 4

    def __init__(self, inputs: int, planes: int, stride: int, drop_path: float) -> None:
        super().__init__()
        outputs = planes * self.expansion
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, outputs, stride)
        self.drop_path = _drop_path(drop_path)
        nn.init.zeros_(self.bn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, 4 * planes, H / stride, W / stride) of (B, inputs, H, W)."""
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        residual = self.drop_path(self.bn3(self.conv3(residual)))
        return self.relu(residual + self.downsample(x))


class ResNet(nn.Module):
    """A ResNet of any depth, width and stem.

    The last batch normalisation of every block starts at weight 0, so that a block starts as its shortcut (Goyal et
    al., Accurate, Large Minibatch SGD, 2017, section 5.1). It takes images of any size; `input_size` chooses the stem.

    `depths` are the blocks in every stage, of which the first halves the map but in the first stage; `widths` the
    planes of every stage, and the stem has as many as the first. `drop_path` is the probability of skipping the last
    block in training; it grows linearly over the blocks from 0 at the first (stochastic depth, Huang et al., 2016; the
    rates are timm's).
    """

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        depths: tuple[int, ...],
        widths: tuple[int, ...],
        *,
        num_classes: int,
        in_channels: int,
        input_size: int,
        stem: StemName,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        assert len(depths) == len(widths)
        design = choose_stem(stem, input_size)
        self.conv1 = nn.Conv2d(
            in_channels, widths[0], design.kernel, stride=design.stride, padding=design.kernel // 2, bias=False
        )
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=design.pool_stride, padding=1) if design.pool_stride else nn.Identity()
        inputs, placed, last = widths[0], 0, max(1, sum(depths) - 1)
        self.stages = tuple(f"layer{number}" for number in range(1, len(depths) + 1))
        for number, (name, depth, planes) in enumerate(zip(self.stages, depths, widths, strict=True)):
            blocks = nn.Sequential()
            for position in range(depth):
                blocks.append(block(inputs, planes, 2 if number and not position else 1, drop_path * placed / last))
                inputs, placed = planes * block.expansion, placed + 1
            self.add_module(name, blocks)
        self.fc = nn.Linear(inputs, num_classes)
        initialise(self)

    def features(self, images: Tensor) -> Tensor:
        """Return the vector before the classifier, (B, features), of images (B, C, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return functional.adaptive_avg_pool2d(x, 1).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (B, classes), of images (B, C, H, W)."""
        return self.fc(self.features(images))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    kind = nn.Conv2d if inputs >= _BLOCK else _Thinned
    return nn.Sequential(kind(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


class _Thinned(nn.Conv2d):
    """A 1x1 convolution that takes the pixels it looks at first, and then has stride 1.

    The gradient of few channels with a stride ends in a segmentation fault on processors with AVX2 or AVX-512: oneDNN
    writes past its workspace where they are fewer than its blocks hold (uxlfoundation/oneDNN, issue 6035).
    """

    def forward(self, input: Tensor) -> Tensor:
        down, across = self.stride
        return functional.conv2d(input[:, :, ::down, ::across], self.weight)


def _drop_path(rate: float) -> nn.Module:
    if not rate:
        return nn.Identity()
    # Here, because it takes a second to import timm.
    from timm.layers import DropPath  # pyright: ignore[reportPrivateImportUsage]

    return DropPath(rate)
