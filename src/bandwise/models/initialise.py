"""How every network of ours starts: He initialisation, drawn from torch's global generator, which the caller seeds."""

from typing import Literal

from torch import nn

_CLASSIFIER_STD = 0.01


def initialise(network: nn.Module, classifier: nn.Linear, fan: Literal["fan_in", "fan_out"]) -> None:
    """Draw the weights of a network again.

    - Convolutions: normal with variance 2 / fan, biases 0. `fan_in` keeps the size of activations on the way forward,
      which networks without batch normalisation need; `fan_out` is the usual choice for ResNets.
    - Hidden linear layers: normal with variance 2 / fan_in, biases 0.
    - The classifier: normal with standard deviation 0.01, bias 0, so that training starts near equal probabilities.
    - Batch normalisation keeps weight 1 and bias 0.

    Source: He et al., Delving Deep into Rectifiers (2015), equations 10 and 14.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode=fan, nonlinearity="relu")
        elif layer is classifier:
            nn.init.normal_(classifier.weight, std=_CLASSIFIER_STD)
        elif isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
        if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
