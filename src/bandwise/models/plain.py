"""The frame that AlexNet and VGG share: convolutions and pools, hidden linear layers, one classifier."""

from torch import Tensor, nn
from torch.nn import functional

from bandwise.models.initialise import initialise


class PlainNetwork(nn.Module):
    """A stack without branches: `body` to a square map, `hidden` to a vector, `classifier` to logits.

    The linear layers are sized to the map of one input size. An image of another size (a training crop smaller than
    the test crop) has its map averaged to that size; at the size that the network was built for nothing is averaged.

    Args:
        body: convolutions, pools and what stands between them; (B, C, H, W) to (B, width, side, side).
        hidden: linear layers; (B, width * side * side) to (B, features).
        classifier: (B, features) to (B, classes).
        side: side of the map in pixels at the input size that the network is built for.
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
