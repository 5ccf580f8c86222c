"""The temperature of a classifier: the one number that makes it as confident as it is right.

Source: Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks, ICML 2017.
"""

import numpy as np

from bandwise.fusion.convex import FloatArray, IntArray, Problem, minimise

MAX_TEMPERATURE = 1e3
"""Where logits say nothing about the labels, the best temperature is infinite; this one is as good."""


def negative_log_likelihood(logits: FloatArray, labels: IntArray) -> float:
    """Mean negative log-likelihood in nats of logits (N, K) and labels (N,)."""
    top = logits.max(axis=1)
    own = logits[np.arange(labels.size), labels]
    return float((top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - own).mean())


def best_temperature(logits: FloatArray, labels: IntArray) -> float:
    """Return the temperature T, at most 1000, that gives `logits / T` the least NLL.

    It is the one-branch case of `convex`: convex in 1/T, with the same small ridge, so that separable samples do not
    make it zero.

    Args:
        logits: (N, K).
        labels: (N,).
    """
    multiplier = float(minimise(Problem(logits[None], labels)).multipliers[0])
    return 1.0 / max(multiplier, 1.0 / MAX_TEMPERATURE)
