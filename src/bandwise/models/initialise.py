"""How every network of ours starts, drawn from torch's global generator, which the caller seeds."""

from torch import nn

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
