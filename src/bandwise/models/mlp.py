"""Fully connected networks of the MNIST experiments: every hidden layer is as wide as the input."""

from torch import Tensor, nn

from bandwise.errors import UsageError
from bandwise.models.initialise import initialise

MAX_INPUTS = 8192


class FullyConnected(nn.Module):
    """`layers - 1` hidden layers (linear, batch normalisation, ReLU) and a classifier.

    At 28x28x1 and 10 classes with buffers: 7.11 MiB for 4 layers and 16.55 MiB for 8. With 8 layers, 1.06 MiB at
    14x14 and 0.07 MiB at 7x7.

    Args:
        layers: linear layers in all, the classifier included; at least 2.
        num_classes: number of logits.
        in_channels: channels of an image.
        input_size: side of an image in pixels. The network takes no other size.

    Raises:
        UsageError: an image has more than 8,192 values; each hidden layer would have the square of that in weights.
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
